//! The programs of a state, in the live database: after it, what belongs to the tables that are live is there, and what
//! belongs to those that are not is gone. It may be cut off anywhere, and begun again.

use dumprestore_driver::{Cancel, Error, LedgerEntry, Result};

use super::head::{Changed, Kind};
use super::keys;
use super::programs::Program;
use super::server::Server;
use super::state::{Grant, State, Whole};
use super::swap::Patience;
use super::views::{Failed, make_views};
use crate::archived::{Database, RoutineKind, Trigger};
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

/// What could not be made again.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) what: String,
    pub(crate) why: String,
    /// Its name, if it is a view.
    pub(crate) view: Option<String>,
}

impl From<Failed<'_>> for Lost {
    fn from((view, error): Failed<'_>) -> Self {
        let why = format!("could not be made again: {error}");
        Self { what: format!("view {}", view.name), why, view: Some(view.name.clone()) }
    }
}

impl From<Lost> for LedgerEntry {
    fn from(lost: Lost) -> Self {
        Self::degrading(lost.what, lost.why)
    }
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

    /// Puts triggers back on a table that was not swapped. If somebody has changed one since, only those that are missing
    /// are made: the others are theirs.
    pub(crate) async fn keep_triggers_of(&self, session: &mut Session, table: &str) -> Result<()> {
        let wanted = self.to.triggers.iter().filter(|trigger| trigger.table == table);
        let wanted: Vec<Trigger> = wanted.cloned().collect();
        session.run(format!("USE {}", quote::name(self.live))).await?;
        let there = catalog::triggers_of(session, self.live, |meant| meant == table).await?;
        let is_known =
            |one: &Trigger| wanted.iter().any(|other| Program::from(other).is_same(&Program::from(one)));
        if there.iter().all(is_known) {
            return put_triggers(session, self.live, &there, &wanted).await;
        }
        for trigger in wanted.iter().filter(|one| !there.iter().any(|found| found.name == one.name)) {
            Program::from(trigger).make(session, self.live, Changed::default()).await?;
        }
        Ok(())
    }

    /// The same for one table, on which nobody else writes.
    pub(crate) async fn put_triggers_of(&self, session: &mut Session, table: &str) -> Result<()> {
        session.run(format!("USE {}", quote::name(self.live))).await?;
        for trigger in self.to.triggers.iter().filter(|trigger| trigger.table == table) {
            Program::from(trigger).make(session, self.live, Changed::default()).await?;
        }
        Ok(())
    }

    /// Everything else, once no lock of somebody else's is in the way. Gives what could not be made.
    pub(crate) async fn perform(
        &self,
        session: &mut Session,
        server: &Server,
        cancel: Option<&Cancel>,
    ) -> Result<Vec<Lost>> {
        let patience = Patience::new(server, cancel);
        loop {
            match self.apply(session).await {
                Ok(lost) => return Ok(lost),
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

    /// Takes back what `begin` may have done to the database. Whatever somebody else has changed since stays.
    pub(crate) async fn take_back_begin(&self, session: &mut Session, server: &Server) -> Result<()> {
        let (Whole::Is(before), Whole::Is(ours)) = (&self.from.database, &self.to.database) else {
            return Ok(());
        };
        let patience = Patience::new(server, None);
        loop {
            let Some(mut wanted) = catalog::database(session, self.live).await? else { return Ok(()) };
            if is_collated_as(&wanted, ours) {
                wanted.charset.clone_from(&before.charset);
                wanted.collation.clone_from(&before.collation);
            }
            if wanted.comment == ours.comment {
                wanted.comment.clone_from(&before.comment);
            }
            match set_database(session, self.live, &wanted).await {
                Ok(()) => return Ok(()),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    async fn apply(&self, session: &mut Session) -> Result<Vec<Lost>> {
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
        let mut lost = Vec::new();
        if self.from.programs() + self.to.programs() > 0 {
            session.run(format!("USE {}", quote::name(self.live))).await?;
            self.drop_others(session).await?;
            self.put_routines(session).await?;
            lost.extend(self.put_views(session).await?);
            self.put_events(session).await?;
        }
        lost.extend(self.put_grants(session).await?);
        session.run("USE information_schema").await?;
        Ok(lost)
    }

    async fn set_database(&self, session: &mut Session) -> Result<()> {
        match &self.to.database {
            Whole::Is(wanted) => set_database(session, self.live, wanted).await,
            Whole::Untouched | Whole::Absent => Ok(()),
        }
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

    async fn put_views(&self, session: &mut Session) -> Result<Vec<Lost>> {
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
        let failed = make_views(session, self.live, missing, &self.to.views).await?;
        Ok(failed.into_iter().map(Lost::from).collect())
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

    async fn put_grants(&self, session: &mut Session) -> Result<Vec<Lost>> {
        if self.to.grants.is_empty() {
            return Ok(Vec::new());
        }
        let there = grants(session, self.live).await?.unwrap_or_default();
        let mut lost = Vec::new();
        for grant in self.to.grants.iter().filter(|grant| !there.contains(grant)) {
            let statement = grant.statement(self.live);
            if let Err(error) = session.run(&statement).await {
                code(&error).ok_or(()).map_err(|()| Error::environment("the connection was lost"))?;
                let kind = grant.kind.keyword().to_lowercase();
                lost.push(Lost {
                    what: format!("rights on the {kind} {}", grant.routine),
                    why: format!("could not be granted again by `{statement}`: {error}"),
                    view: None,
                });
            }
        }
        Ok(lost)
    }
}

async fn set_database(session: &mut Session, live: &str, wanted: &Database) -> Result<()> {
    let Some(found) = catalog::database(session, live).await? else { return Ok(()) };
    let name = quote::name(live);
    if !is_collated_as(&found, wanted) {
        session
            .run(format!(
                "ALTER DATABASE {name} CHARACTER SET {} COLLATE {}",
                wanted.charset, wanted.collation
            ))
            .await?;
    }
    if found.comment != wanted.comment && session.server().is_mariadb_since(10, 5, 0) {
        session.run(format!("ALTER DATABASE {name} COMMENT {}", quote::portable(&wanted.comment))).await?;
    }
    Ok(())
}

fn is_collated_as(one: &Database, other: &Database) -> bool {
    (&one.charset, &one.collation) == (&other.charset, &other.collation)
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
