//! The programs of a state, in the live database: after it, what belongs to the tables that are live is there, and what
//! belongs to those that are not is gone. It may be cut off anywhere, and begun again.

use dumprestore_driver::{Cancel, Error, LedgerEntry, Result};

use super::head::{Changed, Kind};
use super::keys;
use super::programs::{Program, make_views};
use super::server::Server;
use super::state::{Grant, State, Whole};
use super::swap::Patience;
use crate::archived::{RoutineKind, Trigger};
use crate::catalog;
use crate::connect::{Session, code};
use crate::quote;

/// Two states of one database, of which one is to take the place of the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) live: &'a str,
    /// Where the tables of `to` were before, and where those of `from` are now.
    pub(crate) aside: &'a str,
    pub(crate) from: &'a State,
    pub(crate) to: &'a State,
}

impl Turn<'_> {
    /// Puts triggers on tables that were just swapped in: before anything else, for writers do not wait.
    pub(crate) async fn put_triggers(&self, session: &mut Session) -> Result<()> {
        self.put_triggers_on(session, |_| true).await
    }

    /// The same for those tables that are meant. Others are not looked at: they may be locked.
    pub(crate) async fn put_triggers_on(
        &self,
        session: &mut Session,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let wanted = self.to.triggers.iter().filter(|trigger| is_meant(&trigger.table));
        let wanted: Vec<Trigger> = wanted.cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        session.run(format!("USE {}", quote::name(self.live))).await?;
        let is_wanted = |table: &str| wanted.iter().any(|trigger| trigger.table == table);
        let there = catalog::triggers_of(session, self.live, is_wanted).await?;
        put_triggers(session, self.live, &there, &wanted).await
    }

    /// The same for one table, on which nobody else writes.
    pub(crate) async fn put_triggers_of(&self, session: &mut Session, table: &str) -> Result<()> {
        session.run(format!("USE {}", quote::name(self.live))).await?;
        for trigger in self.to.triggers.iter().filter(|trigger| trigger.table == table) {
            Program::from(trigger).make(session, self.live, Changed::default()).await?;
        }
        Ok(())
    }

    /// Everything else, once no lock of somebody else's is in the way. Gives what a user must be told.
    pub(crate) async fn perform(
        &self,
        session: &mut Session,
        server: &Server,
        cancel: Option<&Cancel>,
    ) -> Result<Vec<LedgerEntry>> {
        let patience = Patience::new(server, cancel);
        loop {
            match self.apply(session).await {
                Ok(told) => return Ok(told),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    /// What belongs to the database as a whole, before its tables: triggers keep for ever what it was when they were made.
    pub(crate) async fn begin(
        &self,
        session: &mut Session,
        server: &Server,
        cancel: Option<&Cancel>,
    ) -> Result<()> {
        let patience = Patience::new(server, cancel);
        while let Err(error) = self.set_database(session).await {
            patience.wait(error).await?;
        }
        Ok(())
    }

    async fn apply(&self, session: &mut Session) -> Result<Vec<LedgerEntry>> {
        self.set_database(session).await?;
        self.put_triggers(session).await?;
        for default in &self.to.defaults {
            let table = quote::qualified(self.live, &default.table);
            let column = quote::name(&default.column);
            session
                .run(format!("ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT ({})", default.sql))
                .await?;
        }
        keys::take(session, self.aside, &self.from.keys).await?;
        keys::put(session, self.live, &self.to.keys).await?;
        let mut told = Vec::new();
        if self.from.programs() + self.to.programs() > 0 {
            session.run(format!("USE {}", quote::name(self.live))).await?;
            self.drop_others(session).await?;
            self.put_routines(session).await?;
            told.extend(self.put_views(session).await?);
            self.put_events(session).await?;
        }
        told.extend(self.put_grants(session).await?);
        session.run("USE information_schema").await?;
        Ok(told)
    }

    async fn set_database(&self, session: &mut Session) -> Result<()> {
        let Whole::Is(wanted) = &self.to.database else { return Ok(()) };
        let Some(found) = catalog::database(session, self.live).await? else { return Ok(()) };
        let name = quote::name(self.live);
        if (&found.charset, &found.collation) != (&wanted.charset, &wanted.collation) {
            session
                .run(format!(
                    "ALTER DATABASE {name} CHARACTER SET {} COLLATE {}",
                    wanted.charset, wanted.collation
                ))
                .await?;
        }
        if found.comment != wanted.comment && session.server().is_mariadb_since(10, 5, 0) {
            session
                .run(format!("ALTER DATABASE {name} COMMENT {}", quote::portable(&wanted.comment)))
                .await?;
        }
        Ok(())
    }

    /// Drops what only the other state has.
    async fn drop_others(&self, session: &mut Session) -> Result<()> {
        let (from, to) = (all(self.from), all(self.to));
        for program in from {
            // Triggers went before their tables, and views before tables of their name.
            let is_gone = program.kind == Kind::Trigger
                || program.kind == Kind::View && self.to.has_table(program.name);
            if !is_gone && !to.iter().any(|other| other.is_named_as(&program)) {
                program.drop(session, self.live).await?;
            }
        }
        Ok(())
    }

    async fn put_routines(&self, session: &mut Session) -> Result<()> {
        if self.to.routines.is_empty() {
            return Ok(());
        }
        let there = catalog::routines(session, self.live).await?;
        for routine in &self.to.routines {
            let program = Program::from(routine);
            if !there.iter().any(|found| Program::from(found).is_same(&program)) {
                program.replace(session, self.live).await?;
            }
        }
        Ok(())
    }

    async fn put_views(&self, session: &mut Session) -> Result<Vec<LedgerEntry>> {
        if self.to.views.is_empty() {
            return Ok(Vec::new());
        }
        // Of others nothing need be known, nor may be, perhaps.
        let mut there = Vec::new();
        for relation in catalog::relations(session, self.live).await? {
            let is_wanted = self.to.views.iter().any(|view| view.name == relation.name);
            if is_wanted && relation.kind == catalog::Kind::View {
                there.push(catalog::view(session, &relation.name).await?);
            }
        }
        let is_there = |view: &&crate::archived::View| {
            there.iter().any(|found| Program::from(found).is_same(&Program::from(*view)))
        };
        let missing = self.to.views.iter().filter(|view| !is_there(view));
        let (_, failed) = make_views(session, self.live, missing, false).await?;
        let told = |(view, error): (&crate::archived::View, Error)| {
            LedgerEntry::degrading(format!("view {}", view.name), format!("could not be made again: {error}"))
        };
        Ok(failed.into_iter().map(told).collect())
    }

    async fn put_events(&self, session: &mut Session) -> Result<()> {
        if self.to.events.is_empty() {
            return Ok(());
        }
        let there = catalog::events(session, self.live).await?;
        for event in &self.to.events {
            let program = Program::from(event);
            if !there.iter().any(|found| Program::from(found).is_same(&program)) {
                program.replace(session, self.live).await?;
            }
        }
        Ok(())
    }

    async fn put_grants(&self, session: &mut Session) -> Result<Vec<LedgerEntry>> {
        if self.to.grants.is_empty() {
            return Ok(Vec::new());
        }
        let there = grants(session, self.live).await?.unwrap_or_default();
        let mut told = Vec::new();
        for grant in self.to.grants.iter().filter(|grant| !there.contains(grant)) {
            if let Err(error) = session.run(grant.statement(self.live)).await {
                code(&error).ok_or(()).map_err(|()| Error::environment("the connection was lost"))?;
                told.push(LedgerEntry::degrading(
                    format!("rights on the {} {}", grant.kind.keyword().to_lowercase(), grant.routine),
                    format!("could not be granted again to `{}`@`{}`: {error}", grant.user, grant.host),
                ));
            }
        }
        Ok(told)
    }
}

/// All programs of a state.
fn all(state: &State) -> Vec<Program<'_>> {
    let views = state.views.iter().map(Program::from);
    let triggers = state.triggers.iter().map(Program::from);
    let routines = state.routines.iter().map(Program::from);
    views.chain(triggers).chain(routines).chain(state.events.iter().map(Program::from)).collect()
}

/// Makes the triggers of each table what they are to be. Those of one table are all made anew if one of them differs, for
/// they fire in the order in which they were made.
async fn put_triggers(
    session: &mut Session,
    live: &str,
    there: &[Trigger],
    wanted: &[Trigger],
) -> Result<()> {
    let mut tables: Vec<&str> = wanted.iter().map(|trigger| trigger.table.as_str()).collect();
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        let of = |triggers: &'_ [Trigger]| -> Vec<Trigger> {
            triggers.iter().filter(|trigger| trigger.table == table).cloned().collect()
        };
        let (there, wanted) = (of(there), of(wanted));
        let same = there.len() == wanted.len()
            && there
                .iter()
                .zip(&wanted)
                .all(|(one, other)| Program::from(one).is_same(&Program::from(other)));
        if same {
            continue;
        }
        for trigger in &there {
            Program::from(trigger).drop(session, live).await?;
        }
        for trigger in &wanted {
            Program::from(trigger).make(session, live, Changed::default()).await?;
        }
    }
    Ok(())
}

/// Rights on single routines. `None`: the login may not read them.
pub(crate) async fn grants(session: &mut Session, database: &str) -> Result<Option<Vec<Grant>>> {
    let asked = format!(
        "SELECT routine_type, routine_name, user, host, proc_priv FROM mysql.procs_priv \
         WHERE CAST(db AS BINARY) = CAST({} AS BINARY)",
        quote::literal(database)
    );
    let rows = match session.rows(asked).await {
        Ok(rows) => rows,
        Err(error) if code(&error).is_some() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut grants = Vec::new();
    for row in rows {
        let kind = match row.text(0)? {
            "FUNCTION" => RoutineKind::Function,
            "PACKAGE" => RoutineKind::Package,
            "PACKAGE BODY" => RoutineKind::PackageBody,
            _ => RoutineKind::Procedure,
        };
        grants.push(Grant {
            kind,
            routine: row.text(1)?.to_owned(),
            user: row.text(2)?.to_owned(),
            host: row.text(3)?.to_owned(),
            rights: row.text(4)?.to_owned(),
        });
    }
    Ok(Some(grants))
}

impl Grant {
    fn statement(&self, database: &str) -> String {
        let mut rights: Vec<&str> = self.rights.split(',').filter(|right| !right.is_empty()).collect();
        let count = rights.len();
        rights.retain(|right| !right.eq_ignore_ascii_case("Grant"));
        let with = if rights.len() < count { " WITH GRANT OPTION" } else { "" };
        let rights = if rights.is_empty() { "USAGE".to_owned() } else { rights.join(", ") };
        let to = match self.host.as_str() {
            // A role of MariaDB.
            "" => quote::name(&self.user),
            host => format!("{}@{}", quote::name(&self.user), quote::name(host)),
        };
        format!(
            "GRANT {rights} ON {} {} TO {to}{with}",
            self.kind.keyword(),
            quote::qualified(database, &self.routine)
        )
    }
}
