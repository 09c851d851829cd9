//! What an archive needs of a server: found by the plan, and not halfway through a restore.

use std::collections::BTreeSet;

use dumprestore_driver::{Error, Result};

use super::changes::listed;
use super::choice::Choice;
use super::names::{Names, is_ours};
use crate::archived::Contents;
use crate::catalog::Rights;
use crate::config::{Definers, Setup};
use crate::connect::{Session, code};
use crate::quote;

/// Refuses what can't work, all of it at once.
pub(crate) async fn check(
    session: &mut Session,
    setup: &Setup,
    names: &Names,
    choice: &Choice,
) -> Result<()> {
    let mut found = Obstacles::default();
    read_only(session, &mut found).await?;
    rights(session, names, choice, &mut found).await?;
    engines(session, &choice.contents, &mut found).await?;
    collations(session, &choice.contents, &mut found).await?;
    names_that_clash(session, choice, &mut found).await?;
    sequences(session, choice, &mut found);
    definers(session, setup, names, choice, &mut found).await?;
    found.refuse()
}

/// What stands in the way, and what to do about it.
#[derive(Debug, Default)]
struct Obstacles(Vec<(String, String)>);

impl Obstacles {
    fn add(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push((message.into(), hint.into()));
    }

    fn refuse(self) -> Result<()> {
        let mut all = self.0.into_iter();
        let Some((first, hint)) = all.next() else { return Ok(()) };
        let mut hints = vec![hint];
        let mut error = Error::environment(first);
        for (message, hint) in all {
            error = error.with_context("also", message);
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        Err(error.with_hint(hints.join("; ")))
    }
}

async fn read_only(session: &mut Session, found: &mut Obstacles) -> Result<()> {
    let asked = match session.server().is_mariadb() {
        true => "SELECT @@global.read_only, 0",
        false => "SELECT @@global.read_only, @@global.super_read_only",
    };
    let rows = session.rows(asked).await?;
    let is = |column| {
        rows.first().and_then(|row| row.bytes(column)).is_some_and(|value| value != b"0" && value != b"OFF")
    };
    let may = Rights::of(session).await?;
    let passes = ["SUPER", "READ_ONLY ADMIN", "READ ONLY ADMIN", "CONNECTION_ADMIN"];
    let is_past = passes.iter().any(|right| may.everywhere(right));
    if is(1) || is(0) && !is_past {
        found.add(
            "the server is read-only: it is a replica, perhaps",
            "restore into the primary, or make the server writable",
        );
    }
    Ok(())
}

async fn rights(session: &mut Session, names: &Names, choice: &Choice, found: &mut Obstacles) -> Result<()> {
    let may = Rights::of(session).await?;
    let there = Replaced::of(session, &names.live, choice).await?;
    let contents = &choice.contents;
    let mut needed = vec!["CREATE", "DROP", "ALTER", "INSERT", "SELECT", "INDEX", "DELETE"];
    let has_triggers = there.triggers || !contents.triggers.is_empty();
    if has_triggers && !session.server().is_mariadb() {
        needed.push("LOCK TABLES");
    }
    let lacks = |database: &str| needed.iter().any(|right| !may.on_database(database, right));
    if lacks(&names.staging) || lacks(&names.old) {
        found.add(
            format!("the login may not make a database beside `{}`", names.live),
            format!("`GRANT ALL PRIVILEGES ON {} TO` the login", Names::grantable(&names.live)),
        );
    }
    let mut on_live = vec!["CREATE", "DROP", "ALTER", "INSERT", "SELECT"];
    if there.views || !contents.views.is_empty() {
        on_live.extend(["CREATE VIEW", "SHOW VIEW"]);
    }
    if has_triggers {
        // They can't go along with their tables, which are locked while they are made anew.
        on_live.extend(["TRIGGER", "LOCK TABLES"]);
    }
    if there.routines || !contents.routines.is_empty() {
        on_live.extend(["CREATE ROUTINE", "ALTER ROUTINE"]);
    }
    if there.events || !contents.events.is_empty() {
        on_live.push("EVENT");
    }
    let lacks: Vec<&str> = on_live.into_iter().filter(|right| !may.on_database(&names.live, right)).collect();
    if !lacks.is_empty() {
        found.add(
            format!("the login lacks rights on `{}`: `{}`", names.live, lacks.join("`, `")),
            "grant them to the login",
        );
    }
    Ok(())
}

/// Of which kinds the live database has what is replaced, or goes: it has to be put back if all is undone.
struct Replaced {
    triggers: bool,
    views: bool,
    routines: bool,
    events: bool,
}

impl Replaced {
    async fn of(session: &mut Session, live: &str, choice: &Choice) -> Result<Self> {
        let tables = choice.tables();
        let of =
            |column: &str| format!("CAST({column} AS BINARY) = CAST({} AS BINARY)", quote::literal(live));
        let is_table = |name: &String| choice.covers.tables || tables.contains(name);
        let is_view =
            |name: &String| is_table(name) || choice.contents.views.iter().any(|view| view.name == *name);
        let tables_of = format!(
            "SELECT event_object_table FROM information_schema.triggers WHERE {}",
            of("trigger_schema")
        );
        let views = format!("SELECT table_name FROM information_schema.views WHERE {}", of("table_schema"));
        let routines =
            format!("SELECT routine_name FROM information_schema.routines WHERE {}", of("routine_schema"));
        let events = format!("SELECT event_name FROM information_schema.events WHERE {}", of("event_schema"));
        Ok(Self {
            triggers: texts(session, &tables_of).await?.iter().any(is_table),
            views: texts(session, &views).await?.iter().any(is_view),
            routines: choice.covers.routines && !texts(session, &routines).await?.is_empty(),
            events: choice.covers.events && !texts(session, &events).await?.is_empty(),
        })
    }
}

async fn engines(session: &mut Session, contents: &Contents, found: &mut Obstacles) -> Result<()> {
    let asked = "SELECT LOWER(engine) FROM information_schema.engines WHERE support IN ('YES', 'DEFAULT')";
    let there = texts(session, asked).await?;
    let needed: BTreeSet<String> = contents
        .tables
        .iter()
        .map(|table| table.engine.to_lowercase())
        .filter(|engine| !engine.is_empty())
        .collect();
    let missing: Vec<String> = needed.difference(&there).cloned().collect();
    if !missing.is_empty() {
        found.add(
            format!("the server has no engines {}", listed(&missing)),
            "install their plugins at the server, or convert the tables before they are dumped",
        );
    }
    Ok(())
}

async fn collations(session: &mut Session, contents: &Contents, found: &mut Obstacles) -> Result<()> {
    // Collations of MariaDB that fit several character sets have a full name of their own.
    let full = "SELECT full_collation_name FROM information_schema.collation_character_set_applicability";
    let mut there = texts(session, "SELECT collation_name FROM information_schema.collations").await?;
    match texts(session, full).await {
        Ok(full) => there.extend(full),
        Err(error) if code(&error).is_some() => {}
        Err(error) => return Err(error),
    }
    let of_tables = contents.tables.iter().flat_map(|table| table.collations.iter().cloned());
    let needed: BTreeSet<String> = of_tables.chain([contents.database.collation.clone()]).collect();
    let missing: Vec<String> = needed.difference(&there).cloned().collect();
    if !missing.is_empty() {
        found.add(
            format!("the server has no collations {}", listed(&missing)),
            "restore into a server of the version that was dumped, or a newer one of the same family; or convert the tables \
             before they are dumped",
        );
    }
    Ok(())
}

/// Where case does not count, names that differ by it alone are one; and ours must stay ours.
async fn names_that_clash(session: &mut Session, choice: &Choice, found: &mut Obstacles) -> Result<()> {
    let rows = session.rows("SELECT @@lower_case_table_names").await?;
    let counts = rows.first().and_then(|row| row.bytes(0)) == Some(b"0");
    let names = choice.tables();
    if !counts {
        let folded: Vec<String> =
            names.iter().filter(|name| **name != name.to_lowercase()).cloned().collect();
        if !folded.is_empty() {
            found.add(
                format!("the server takes no capitals in names of tables: {}", listed(&folded)),
                "restore into a server with `lower_case_table_names = 0`",
            );
        }
    }
    let ours: Vec<String> = names.into_iter().filter(|name| is_ours(name)).collect();
    if !ours.is_empty() {
        found.add(format!("tables have names that a restore needs: {}", listed(&ours)), "rename them");
    }
    Ok(())
}

fn sequences(session: &Session, choice: &Choice, found: &mut Obstacles) {
    if !choice.contents.sequences.is_empty() && !session.server().is_mariadb() {
        found.add("the server has no sequences", "restore into MariaDB");
    }
    let is_versioned = choice.contents.tables.iter().any(|table| table.history.is_some());
    if is_versioned && !session.server().is_mariadb() {
        found.add("the server has no tables with versions", "restore into MariaDB");
    }
}

/// Whoever may not set another definer than itself must not find out halfway, nor when it has to put back what was there.
async fn definers(
    session: &mut Session,
    setup: &Setup,
    names: &Names,
    choice: &Choice,
    found: &mut Obstacles,
) -> Result<()> {
    const HINT: &str = "grant it `SET USER` (MariaDB) or `SET_ANY_DEFINER` (MySQL)";
    let may = Rights::of(session).await?;
    if ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"].iter().any(|right| may.everywhere(right)) {
        return Ok(());
    }
    let rows = session.rows("SELECT CURRENT_USER()").await?;
    let ours = rows.first().map_or(Ok(""), |row| row.text(0))?.to_owned();
    let quoted = match ours.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quote::name(user), quote::name(host)),
        None => quote::name(&ours),
    };
    let archived = match setup.definers {
        Definers::Keep => all_definers(&choice.contents),
        Definers::Strip => BTreeSet::new(),
    };
    let others: Vec<String> = archived.into_iter().filter(|definer| *definer != quoted).collect();
    if !others.is_empty() {
        found.add(
            format!("the login may not make what runs as {}", listed(&others)),
            format!("{HINT}, or set `definers: strip`"),
        );
    }
    let mut live = live_definers(session, &names.live, choice).await?;
    live.remove(&ours);
    if !live.is_empty() {
        let live: Vec<String> = live.into_iter().collect();
        found.add(
            format!("the login could not put back what is there now and runs as {}", listed(&live)),
            format!("{HINT}, or restore as somebody who may set them"),
        );
    }
    Ok(())
}

/// Definers of what is there and may be replaced.
async fn live_definers(session: &mut Session, live: &str, choice: &Choice) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let of = |column: &str| format!("CAST({column} AS BINARY) = CAST({} AS BINARY)", quote::literal(live));
    let tables = choice.tables();
    let asked = format!(
        "SELECT definer, event_object_table FROM information_schema.triggers WHERE {} \
         UNION SELECT definer, table_name FROM information_schema.views WHERE {}",
        of("trigger_schema"),
        of("table_schema")
    );
    for row in session.rows(asked).await? {
        let name = row.text(1)?;
        let is_view = choice.contents.views.iter().any(|view| view.name == name);
        if choice.covers.tables || is_view || tables.iter().any(|table| table == name) {
            found.insert(row.text(0)?.to_owned());
        }
    }
    if !choice.contents.routines.is_empty() || choice.covers.routines {
        let asked = format!("SELECT definer FROM information_schema.routines WHERE {}", of("routine_schema"));
        found.extend(texts(session, &asked).await?);
    }
    if !choice.contents.events.is_empty() || choice.covers.events {
        let asked = format!("SELECT definer FROM information_schema.events WHERE {}", of("event_schema"));
        found.extend(texts(session, &asked).await?);
    }
    Ok(found)
}

fn all_definers(contents: &Contents) -> BTreeSet<String> {
    let views = contents.views.iter().map(|view| &view.made);
    let triggers = contents.triggers.iter().map(|trigger| &trigger.made);
    let routines = contents.routines.iter().map(|routine| &routine.made);
    let events = contents.events.iter().map(|event| &event.made);
    let all = views.chain(triggers).chain(routines).chain(events);
    all.map(|made| made.definer.clone()).filter(|definer| !definer.is_empty()).collect()
}

/// Definers that the server has no account for, if the login may know.
pub(super) async fn missing_definers(
    session: &mut Session,
    contents: &Contents,
    setup: &Setup,
) -> Result<Vec<String>> {
    let needed = all_definers(contents);
    if setup.definers == Definers::Strip || needed.is_empty() {
        return Ok(Vec::new());
    }
    let asked =
        "SELECT CONCAT('`', REPLACE(user, '`', '``'), '`@`', REPLACE(host, '`', '``'), '`') FROM mysql.user";
    match texts(session, asked).await {
        // A role has no host.
        Ok(there) => Ok(needed
            .into_iter()
            .filter(|definer| !there.contains(definer) && !there.contains(&format!("{definer}@``")))
            .collect()),
        Err(error) if code(&error).is_some() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn texts(session: &mut Session, sql: &str) -> Result<BTreeSet<String>> {
    let rows = session.rows(sql).await?;
    rows.iter()
        .filter_map(|row| row.text_or_null(0).transpose())
        .map(|text| text.map(str::to_owned))
        .collect()
}
