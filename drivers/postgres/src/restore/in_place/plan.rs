//! What a restore in place would change, what it costs others, and what is in its way.

use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Changes, Error, Result, StageContext};

use super::super::beside_tables::BesideTables;
use super::super::changes::{Plan, refuse_extras, tables_there};
use super::super::items::Policies;
use super::super::names::Names;
use super::super::needs::{self, Login, Obstacle, listed};
use super::super::server::Server;
use super::super::{policies_of, public, read_contents, server_of};
use super::choice::{Chosen, Scope};
use super::holdings::Holdings;
use super::relations::Relation;
use super::{data, database, emptied, lost_objects, sequences, tables};
use crate::archived::{Contents, Database};
use crate::catalog;
use crate::config::{Policy, Setup};
use crate::connect::{Connection, sqlstate};

/// As many as a message names.
const NAMED: usize = 5;

pub(super) async fn changes(
    setup: &Setup,
    archived: Arc<dyn ArchivedNode>,
    cx: &StageContext,
) -> Result<Changes> {
    let names = Names::new(&setup.target.database, &cx.run);
    let server = server_of(setup, &names);
    let policies = policies_of(setup);
    let contents = read_contents(archived.clone()).await?;
    // What is not in the archive is a mistake, whatever the server says.
    let mut chosen = Chosen::of(contents, &cx.selection, &*archived)?;
    let session = open(&server).await?;
    public::leave_as_new(&session, &mut chosen.contents).await?;
    let changes = match chosen.scope {
        Scope::Database => {
            let plan = Plan { server: &server, names: &names, policies, contents: &chosen.contents };
            whole(&plan, &session, cx, chosen.with_data).await
        }
        Scope::Tables => tables::changes(&session, &chosen, policies, cx.extras).await,
        Scope::Rows => data::changes(&session, &chosen, policies, cx.extras).await,
    };
    session.close().await;
    changes
}

/// A session of the live database, which must be there.
async fn open(server: &Server) -> Result<Connection> {
    server.session(&server.target.database).await.map_err(|error| match sqlstate(&error) {
        Some("3D000") => Error::config("there is no such database to restore in place")
            .with_context("database", &server.target.database)
            .with_hint("make it, empty; or restore without `--in-place`"),
        _ => error,
    })
}

async fn whole(plan: &Plan<'_>, session: &Connection, cx: &StageContext, with_data: bool) -> Result<Changes> {
    let login = Login::look(session).await?;
    let live = catalog::database(session).await?;
    let holdings = Holdings::look(session, plan.contents).await?;
    let needed = needed(plan, &live, &login, &holdings);
    let mut obstacles = needs::obstacles(session, &needed, plan.policies, &login).await?;
    obstacles.extend(not_ours(&holdings));
    obstacles.extend(others_large_objects(session, &login).await?);
    obstacles.extend(may_not_create(session, plan.contents).await?);
    Obstacle::refuse(obstacles)?;
    if !with_data {
        emptied::refuse_data(session).await?;
    }
    let mut changes = plan.count(&tables_there(session).await?);
    let besides = BesideTables::look(session, plan.contents).await?;
    refuse_extras(&changes, &besides, cx.extras)?;
    plan.note_besides(&besides, &mut changes);
    plan.note_archived(session, &mut changes).await?;
    if !with_data {
        changes.notes.push(SEQUENCES_ANEW.to_owned());
    }
    changes.notes.extend(costs());
    changes.notes.extend(notes(plan.contents, &live, &holdings));
    changes.notes.extend(locks(session, plan.contents).await?);
    changes.needs_bytes = Some(plan.contents.tables.iter().map(|table| table.bytes).sum());
    Ok(changes)
}

/// What definitions alone mean for sequences.
pub(super) const SEQUENCES_ANEW: &str =
    "all definitions that are there are replaced, and sequences begin anew: the rows are not restored";

/// What everybody who restores in place should know.
fn costs() -> [String; 3] {
    [
        "one transaction: from its first step to its commit, whoever reads or writes the tables waits",
        "the server keeps the files of the old tables until the commit, and needs room for both",
        "no old state can be kept as `:previous`, and hooks before the swap get no URL",
    ]
    .map(str::to_owned)
}

/// Sequences that the tables take values from, and that would have to be set by hand.
async fn sequences_behind(session: &Connection, chosen: &Chosen) -> Result<Vec<String>> {
    let told = sequences::behind(session, &chosen.lent_sequences).await?;
    Ok(told.into_iter().map(|entry| format!("{}: {}", entry.what, entry.why)).collect())
}

/// What the archive needs of a database that is there already.
fn needed(plan: &Plan<'_>, live: &Database, login: &Login, holdings: &Holdings) -> Contents {
    let mut needed = plan.contents.clone();
    let stays = |name: &str| holdings.extensions.iter().any(|extension| extension.name == name);
    needed.items.retain(|item| item.kind != "EXTENSION" || !stays(&item.name));
    // Without owners nobody asks for the archived one, but its privileges are known by it.
    let is_archived = login.is_superuser || plan.policies.owners == Policy::None;
    let owner = if is_archived { &plan.contents.database.owner } else { &login.name };
    needed.database = Database {
        encoding: live.encoding.clone(),
        collate: live.collate.clone(),
        ctype: live.ctype.clone(),
        locale_provider: live.locale_provider.clone(),
        tablespace: None,
        owner: owner.clone(),
        ..needed.database
    };
    needed
}

/// Who restores some of an archive, and what of the server stands in the way.
pub(super) async fn obstacles_within(
    session: &Connection,
    contents: &Contents,
    policies: Policies,
) -> Result<(Login, Vec<Obstacle>)> {
    let login = Login::look(session).await?;
    let needed = within(contents, catalog::database(session).await?, &login);
    let obstacles = needs::obstacles(session, &needed, policies, &login).await?;
    Ok((login, obstacles))
}

/// What everybody who restores some of an archive should know.
pub(super) async fn notes_within(session: &Connection, chosen: &Chosen) -> Result<Vec<String>> {
    let mut notes = sequences_behind(session, chosen).await?;
    notes.extend(chosen.leaves_large_objects.then(|| lost_objects::STAY.to_owned()));
    notes.extend(costs());
    Ok(notes)
}

/// What some of an archive needs, if nothing is done to the database as such.
fn within(contents: &Contents, live: Database, login: &Login) -> Contents {
    let owner = if login.is_superuser { live.owner.clone() } else { login.name.clone() };
    Contents { database: Database { owner, acl: None, settings: Vec::new(), ..live }, ..contents.clone() }
}

const OWN_IT: &str =
    "restore as their owner or as a superuser, or make the login a member of the role that owns them";

/// Who does not own a table can't replace it, nor its rows.
pub(super) fn not_owned<'a>(relations: impl Iterator<Item = &'a Relation>) -> Option<Obstacle> {
    let others: Vec<String> = relations.filter(|one| !one.is_ours).take(NAMED).map(Relation::label).collect();
    (!others.is_empty())
        .then(|| Obstacle::new(format!("the login does not own `{}`", others.join("`, `")), OWN_IT))
}

/// Who does not own what is there can't drop it.
fn not_ours(holdings: &Holdings) -> Option<Obstacle> {
    let others = holdings.drops.iter().filter(|holding| !holding.is_ours);
    let others: Vec<&str> = others.map(|holding| holding.label.as_str()).collect();
    (!others.is_empty())
        .then(|| Obstacle::new(format!("the login may not drop {}", listed(&others, NAMED)), OWN_IT))
}

pub(super) async fn others_large_objects(session: &Connection, login: &Login) -> Result<Option<Obstacle>> {
    if login.is_superuser {
        return Ok(None);
    }
    let asked = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata \
        WHERE NOT pg_catalog.pg_has_role(lomowner, 'USAGE')";
    let count = count(session, asked).await?;
    Ok((count > 0)
        .then(|| Obstacle::new(format!("the login may not remove {count} large objects of others"), OWN_IT)))
}

async fn may_not_create(session: &Connection, contents: &Contents) -> Result<Option<Obstacle>> {
    if !contents.items.iter().any(|item| item.kind == "SCHEMA" && item.name != "public") {
        return Ok(None);
    }
    let asked = "SELECT CASE WHEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') \
        THEN 0::bigint ELSE 1 END";
    Ok((count(session, asked).await? > 0).then(|| {
        Obstacle::new(
            "the login may not make schemas in the database",
            "grant it `CREATE` on the database, or restore as its owner",
        )
    }))
}

async fn count(session: &Connection, asked: &str) -> Result<i64> {
    let row = session.query_one(asked, &[]).await;
    Ok(row.map_err(|error| session.fault(error, "can't look at the live database"))?.get(0))
}

fn notes(contents: &Contents, live: &Database, holdings: &Holdings) -> Vec<String> {
    let mut notes = Vec::new();
    let names: Vec<&str> = holdings.extensions.iter().map(|extension| extension.name.as_str()).collect();
    if !names.is_empty() {
        notes.push(format!("extensions that stay as they are: `{}`", names.join("`, `")));
    }
    if !holdings.subscriptions.is_empty() {
        let names = holdings.subscriptions.join(", ");
        notes.push(format!(
            "subscriptions that are dropped, while their slots stay at the publisher: {names}"
        ));
    }
    notes.extend(
        database::locale(live, &contents.database).map(|why| format!("locale of the database: {why}")),
    );
    let archived = |name: &str, role: &Option<String>| {
        contents.database.settings.iter().any(|setting| setting.name == name && setting.role == *role)
    };
    let lost = live.settings.iter().filter(|setting| !archived(&setting.name, &setting.role));
    let lost: Vec<String> = lost.map(|setting| format!("{}={}", setting.name, setting.value)).collect();
    if !lost.is_empty() {
        notes.push(format!("settings of the database that are lost: `{}`", lost.join("`, `")));
    }
    notes
}

/// A transaction holds a lock on all that it drops, and on all that it makes.
async fn locks(session: &Connection, contents: &Contents) -> Result<Option<String>> {
    let asked = "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE oid >= 16384) \
        + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata)";
    let needed = count(session, asked).await? + i64::try_from(contents.items.len()).unwrap_or(i64::MAX);
    let asked = "SELECT pg_catalog.current_setting('max_locks_per_transaction')::bigint * \
        (pg_catalog.current_setting('max_connections')::bigint \
        + pg_catalog.current_setting('max_prepared_transactions')::bigint)";
    let room = count(session, asked).await?;
    Ok((needed > room).then(|| {
        format!(
            "it needs some {needed} locks at once, and the server has room for {room} or so: \
             raise `max_locks_per_transaction`"
        )
    }))
}
