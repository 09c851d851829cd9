//! What a restore would change, and what is in its way.

use std::collections::BTreeSet;

use dumprestore_driver::{Changes, Error, ErrorKind, Extras, Result};

use super::beside_tables::BesideTables;
use super::databases::Database;
use super::items::Policies;
use super::names::Names;
use super::needs::{self, Login, Obstacle};
use super::server::Server;
use super::swap::refuse_prepared_transactions;
use super::{held, prepare, roles};
use crate::archived::Contents;
use crate::config::Policy;
use crate::connect::{Connection, connect, sqlstate};

/// A restore, before anything of it is done.
pub(crate) struct Plan<'a> {
    pub(crate) server: &'a Server,
    pub(crate) names: &'a Names,
    pub(crate) policies: Policies,
    pub(crate) contents: &'a Contents,
}

/// From so many bytes on it is worth a look whether there is room for them.
const MUCH: u64 = 1 << 30;

/// Schema and name of a table.
pub(super) type TableName = (String, String);

impl Plan<'_> {
    /// Counts tables, and refuses what can't work. The session is of another database of the server.
    pub(crate) async fn changes(&self, session: Connection, extras: Extras) -> Result<Changes> {
        let login = Login::look(&session).await?;
        let mut obstacles = needs::obstacles(&session, self.contents, self.policies, &login).await?;
        let live = Database::named(&session, &self.names.live).await?;
        obstacles.extend(self.rights(&session, &login).await?);
        if let Some(live) = &live {
            obstacles.extend(held::obstacles(&session, live).await?);
        }
        Obstacle::refuse(obstacles)?;
        if let Some(live) = &live {
            refuse_prepared_transactions(&session, &[live.oid]).await?;
        }
        self.refuse_not_admitted().await?;
        if let Some(kept) = Database::named(&session, &self.names.kept).await? {
            prepare::refuse_foreign(&kept)?;
        }
        let (there, besides) = self.there(live.is_some()).await?;
        let mut changes = self.count(&there);
        refuse_extras(&changes, &besides, extras)?;
        self.note_besides(&besides, &mut changes);
        self.note(&session, live.as_ref(), &mut changes).await?;
        changes.needs_bytes = Some(self.contents.tables.iter().map(|table| table.bytes).sum());
        session.close().await;
        Ok(changes)
    }

    /// `pg_hba.conf` may admit the login to some databases only, and is asked before the server looks for the database: so
    /// this tells whether the login may enter the one that is to be made.
    async fn refuse_not_admitted(&self) -> Result<()> {
        let staged = &self.names.staged;
        match connect(&self.server.target.with_database(staged), "plan").await {
            Ok(session) => session.close().await,
            Err(error) if sqlstate(&error).is_some_and(|code| code.starts_with("28")) => {
                return Err(error.with_context("database", staged).with_hint(
                    "the server admits this login to some databases only, and the one that is made beside the live one is \
                     none of them: admit it in `pg_hba.conf` to all, or to the same name with `.dumprestore-…` after it; \
                     or restore with `--in-place`",
                ));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Tables that the archive makes.
    fn tables_archived(&self) -> BTreeSet<TableName> {
        let tables = self.contents.items.iter().filter(|item| item.kind == "TABLE");
        tables.map(|item| (item.schema.clone(), item.name.clone())).collect()
    }

    /// What there is now: tables, and what else the archive does not have.
    async fn there(&self, is_there: bool) -> Result<(BTreeSet<TableName>, BesideTables)> {
        if !is_there {
            return Ok(Default::default());
        }
        let session = match connect(&self.server.target, "plan").await {
            Ok(session) => session,
            // It was made to let nobody in, perhaps because nobody should.
            Err(error) if sqlstate(&error) == Some("55000") => return Ok(Default::default()),
            Err(error) => return Err(error),
        };
        let found = (tables_there(&session).await?, BesideTables::look(&session, self.contents).await?);
        session.close().await;
        Ok(found)
    }

    /// What else than tables is lost.
    pub(super) fn note_besides(&self, besides: &BesideTables, changes: &mut Changes) {
        if let Some(told) = besides.told() {
            changes.notes.push(format!("removed as well, as the archive does not have it: {told}"));
        }
        changes.notes.extend(besides.told_of_large_objects(self.contents));
    }

    pub(super) fn count(&self, there: &BTreeSet<TableName>) -> Changes {
        let archived = self.tables_archived();
        let mut changes = Changes::of("tables");
        changes.create = archived.difference(there).count() as u64;
        changes.replace = archived.intersection(there).count() as u64;
        for (schema, name) in there.difference(&archived) {
            changes.count_removed(|| format!("{schema}.{name}"));
        }
        changes
    }

    /// Who may not do what a swap does must know before.
    async fn rights(&self, session: &Connection, login: &Login) -> Result<Option<Obstacle>> {
        const HINT: &str = "give the login the right `CREATEDB` and make it a member of the owner, restore as a \
            superuser, or restore with `--in-place`";
        if !login.may_create_databases {
            let message = format!("the login `{}` may not make databases", login.name);
            return Ok(Some(Obstacle::new(message, HINT)));
        }
        let Some(live) = prepare::Live::look(session, &self.names.live).await? else { return Ok(None) };
        let asked = "SELECT pg_catalog.pg_has_role(current_user, oid, 'USAGE') FROM pg_catalog.pg_roles \
            WHERE rolname = $1";
        let is_owner = session
            .query_opt(asked, &[&live.owner])
            .await
            .map_err(|error| session.fault(error, "can't read who owns the live database"))?
            .is_some_and(|row| row.get(0));
        let message = format!("the login `{}` does not own the database `{}`", login.name, self.names.live);
        Ok((!is_owner).then(|| Obstacle::new(message, HINT)))
    }

    /// What a person should know before saying yes.
    async fn note(&self, session: &Connection, live: Option<&Database>, changes: &mut Changes) -> Result<()> {
        self.note_archived(session, changes).await?;
        match live {
            None => changes.notes.push(format!("the database `{}` is made", self.names.live)),
            Some(live) => self.note_live(session, live, changes).await?,
        }
        Ok(())
    }

    /// What there is to know of the archive.
    pub(super) async fn note_archived(&self, session: &Connection, changes: &mut Changes) -> Result<()> {
        let archived: Vec<&str> = self.contents.roles.iter().map(|role| role.name.as_str()).collect();
        let missing = roles::missing(session, &archived).await?;
        if !missing.is_empty() {
            changes.notes.push(format!("roles that are made, without passwords: `{}`", missing.join("`, `")));
        }
        if self.policies.owners == Policy::None {
            changes.notes.push("what is restored belongs to who restores it".to_owned());
        }
        if needs::major(session.version()) > needs::major(self.contents.origin.server_version) {
            changes.notes.push(format!(
                "the dump is of PostgreSQL {}, and the server of a newer version, {}",
                needs::major(self.contents.origin.server_version),
                needs::major(session.version())
            ));
        }
        let without = self.contents.without_rows();
        if !without.is_empty() {
            changes.notes.push(format!("the dump is without the rows of `{}`", without.join("`, `")));
        }
        changes.notes.extend(loose_keys(self.contents));
        changes.notes.extend(self.room(session).await?);
        if !self.contents.whole {
            changes.notes.push("the dump is of a selection, and the database is replaced by it".to_owned());
        }
        Ok(())
    }

    /// No server tells how much is free where its files are: so people have to look, where it is much.
    async fn room(&self, session: &Connection) -> Result<Option<String>> {
        let bytes: u64 = self.contents.tables.iter().map(|table| table.bytes).sum();
        if bytes < MUCH {
            return Ok(None);
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let asked = session.query_one("SELECT pg_catalog.pg_size_pretty($1::bigint)", &[&bytes]).await;
        let row = asked.map_err(|error| session.fault(error, "can't say how much room is needed"))?;
        let pretty: &str = row.get(0);
        Ok(Some(format!(
            "the server needs room for {pretty} of rows, besides indexes and its write-ahead log, and can't tell \
             whether it has it"
        )))
    }

    async fn note_live(&self, session: &Connection, live: &Database, changes: &mut Changes) -> Result<()> {
        let count = async |query: &str| -> Result<Vec<String>> {
            let found = session.query(query, &[&live.oid]).await;
            let found = found.map_err(|error| session.fault(error, "can't look at the live database"))?;
            Ok(found.iter().map(|row| row.get(0)).collect())
        };
        let sessions = count(
            "SELECT pid::text FROM pg_catalog.pg_stat_activity \
             WHERE datid = $1 AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend' \
             AND NOT (usename = session_user AND application_name LIKE '%: plan')",
        )
        .await?;
        if !sessions.is_empty() {
            changes.notes.push(format!("sessions that are ended at the swap: {} now", sessions.len()));
        }
        let slots = count(
            "SELECT slot_name::text FROM pg_catalog.pg_replication_slots s \
            JOIN pg_catalog.pg_database d ON d.datname = s.database WHERE d.oid = $1 ORDER BY 1",
        )
        .await?;
        if !slots.is_empty() {
            changes.notes.push(format!(
                "logical replication slots that stay with the old database: `{}`. They are dropped with it; while it \
                 is kept as `:previous`, they hold the server's write-ahead log",
                slots.join("`, `")
            ));
        }
        let settings = count(
            "SELECT coalesce(r.rolname::text || ': ', '') || c.setting FROM pg_catalog.pg_db_role_setting s \
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) AS c (setting) \
             WHERE s.setdatabase = $1 ORDER BY 1",
        )
        .await?;
        let archived: Vec<String> = self
            .contents
            .database
            .settings
            .iter()
            .map(|s| {
                format!(
                    "{}{}={}",
                    s.role.as_ref().map(|r| format!("{r}: ")).unwrap_or_default(),
                    s.name,
                    s.value
                )
            })
            .collect();
        let lost: Vec<&String> = settings.iter().filter(|setting| !archived.contains(setting)).collect();
        if !lost.is_empty() {
            let lost: Vec<&str> = lost.into_iter().map(String::as_str).collect();
            changes.notes.push(format!("settings of the database that are lost: `{}`", lost.join("`, `")));
        }
        Ok(())
    }
}

/// Foreign keys that are not made as they were.
pub(super) fn loose_keys(contents: &Contents) -> impl Iterator<Item = String> {
    let told = |left_out: bool, how: &str| {
        let keys = contents.loose_keys.iter().filter(|key| key.left_out == left_out);
        let names: Vec<String> =
            keys.map(|key| format!("{}.{}.{}", key.schema, key.table, key.name)).collect();
        let names = names.join("`, `");
        (!names.is_empty())
            .then(|| format!("foreign keys to rows that the dump is without are {how}: `{names}`"))
    };
    [told(false, "made `NOT VALID`"), told(true, "left out as well")].into_iter().flatten()
}

/// Tables of the live database, but those of extensions.
pub(super) async fn tables_there(session: &Connection) -> Result<BTreeSet<TableName>> {
    let asked = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = c.oid \
            AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)";
    let found = session.query(asked, &[]).await;
    let found = found.map_err(|error| session.fault(error, "can't list the tables of the live database"))?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A database is restored whole: it can't keep what the archive does not have.
pub(super) fn refuse_extras(changes: &Changes, besides: &BesideTables, extras: Extras) -> Result<()> {
    let others = besides.told();
    let what = match (changes.remove, &others) {
        _ if extras == Extras::Remove => return Ok(()),
        (0, None) => return Ok(()),
        (0, Some(_)) => "things",
        (_, _) => "tables",
    };
    let (kind, message, hint) = match extras {
        Extras::Keep => (
            ErrorKind::Unsupported,
            format!("a database is restored whole, and can't keep {what} of its own"),
            "restore with `--extras remove` if they may go, or leave this node out with `--only`",
        ),
        Extras::Fail | Extras::Remove => (
            ErrorKind::Environment,
            format!("the database has {what} that the archive does not have"),
            "restore with `--extras remove` if they may go",
        ),
    };
    let mut error = Error::new(kind, message).with_hint(hint);
    if changes.remove > 0 {
        error = error.with_context("tables", changes.removes.join(", "));
    }
    Err(others.into_iter().fold(error, |error, others| error.with_context("besides tables", others)))
}
