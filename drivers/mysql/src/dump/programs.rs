//! Views, triggers, routines and events. What a login may not see, a server leaves out without a word: so first it is
//! asked what the login may.

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::pin::Pinned;
use super::view_tables::reads;
use crate::archived::{Event, Routine, Trigger, View};
use crate::catalog::{self, Kind, Rights};
use crate::config::Setup;
use crate::connect::{Session, code};
use crate::quote;

/// Who asks for them.
pub(super) struct Readers<'a> {
    /// A session that sees what was pinned. Whatever needs a table's lock is asked of it: it has that lock, and does not wait
    /// behind those who wait to change the table.
    pub(super) lane: &'a mut Session,
    /// One that sees what is there now. In a transaction that only reads, nothing is told of a view that may write.
    pub(super) apart: &'a mut Session,
}

impl Readers<'_> {
    /// The number of the error that there is if a view is used, and who has found out.
    async fn why_broken(&mut self, name: &str) -> Result<(Option<u16>, &mut Session)> {
        /// It is a transaction that only reads.
        const ONLY_READS: u16 = 1792;
        match catalog::why_broken(self.lane, name).await? {
            Some(ONLY_READS) => Ok((catalog::why_broken(self.apart, name).await?, self.apart)),
            why => Ok((why, self.lane)),
        }
    }
}

/// All of them, and what has to be told of them.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pub(super) views: Vec<View>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) routines: Vec<Routine>,
    pub(super) events: Vec<Event>,
    pub(super) ledger: Vec<LedgerEntry>,
}

impl Programs {
    /// Reads those that the configuration wants.
    pub(super) async fn read(setup: &Setup, pinned: &Pinned, readers: &mut Readers<'_>) -> Result<Self> {
        let session = &mut *readers.apart;
        let rights = Rights::of(session).await?;
        let database = pinned.database.as_str();
        if setup.tables.is_empty() && !rights.on_database(database, "SELECT") {
            return Err(unlisted());
        }
        let mut programs = Self::default();
        programs.read_views(pinned, readers).await?;
        let session = &mut *readers.apart;
        let mut libraries = Vec::new();
        let mut left_out = |what: &str| {
            programs.ledger.push(LedgerEntry::note(what, format!("left out by `{what}: false`")));
        };
        if setup.triggers {
            let tables =
                pinned.relations.iter().filter(|table| table.is_table() && !pinned.chosen.omits(&table.name));
            for table in tables {
                if !rights.on_table(database, &table.name, "TRIGGER") {
                    return Err(unseen("triggers", "TRIGGER"));
                }
            }
            let is_meant = |trigger: &&Trigger| !pinned.chosen.omits(&trigger.table);
            programs.triggers = pinned.triggers.iter().filter(is_meant).cloned().collect();
        } else {
            left_out("triggers");
        }
        if setup.routines {
            if !may_list_routines(&rights, database) {
                return Err(unseen("routines", "EXECUTE"));
            }
            programs.routines = catalog::routines(session, database).await?;
            libraries = catalog::library_names(session, database).await?;
        } else {
            left_out("routines");
        }
        if setup.events {
            if !rights.on_database(database, "EVENT") {
                return Err(unseen("events", "EVENT"));
            }
            programs.events = catalog::events(session, database).await?;
        } else {
            left_out("events");
        }
        let why = "a library: it is not dumped, and routines that use it can't be made without it";
        programs.ledger.extend(libraries.iter().map(|name| LedgerEntry::degrading(name, why)));
        Ok(programs)
    }

    async fn read_views(&mut self, pinned: &Pinned, readers: &mut Readers<'_>) -> Result<()> {
        for relation in pinned.relations.iter().filter(|relation| relation.kind == Kind::View) {
            if !pinned.chosen.omits(&relation.name) {
                self.views.push(catalog::view(readers.apart, &relation.name).await?);
            }
        }
        self.drop_views_of_nothing(pinned);
        for view in &mut self.views {
            let (why, session) = readers.why_broken(&view.name).await?;
            view.broken = why.is_some();
            if view.broken {
                let why = "does not work: what it reads is not there, or its definer may not read it";
                self.ledger.push(LedgerEntry::note(&view.name, why));
                view.of_nothing = reads_nothing(session, view).await?;
            }
        }
        self.tell_of_nothing();
        Ok(())
    }

    /// What reads a view of nothing is one itself.
    fn tell_of_nothing(&mut self) {
        let names = |view: &View| view.of_nothing.then(|| view.name.clone());
        let mut nothing: Vec<String> = self.views.iter().filter_map(names).collect();
        while let Some(name) = nothing.pop() {
            for view in self.views.iter_mut().filter(|view| view.broken && !view.of_nothing) {
                view.of_nothing = reads(view.create.as_bytes(), &name);
                nothing.extend(names(view));
            }
        }
    }

    /// Views go with what they read. Those of views that go, go as well.
    fn drop_views_of_nothing(&mut self, pinned: &Pinned) {
        let omitted = pinned.relations.iter().map(|one| &one.name).filter(|name| pinned.chosen.omits(name));
        let mut out: Vec<String> = omitted.cloned().collect();
        while let Some(name) = out.pop() {
            let (gone, kept) =
                self.views.drain(..).partition::<Vec<_>, _>(|view| reads(view.create.as_bytes(), &name));
            self.views = kept;
            for view in gone {
                let why = format!("left out, since it reads `{}`, which is left out", name.escape_debug());
                self.ledger.push(LedgerEntry::note(&view.name, why));
                out.push(view.name);
            }
        }
    }
}

/// Whether what a view reads is not there. The view itself does not tell that from what may not be read.
async fn reads_nothing(session: &mut Session, view: &View) -> Result<bool> {
    // No such table, column, function, database.
    const NOTHING: [u16; 4] = [1146, 1054, 1305, 1049];
    let create = view.create.as_bytes();
    let name = format!(" VIEW {}", quote::name(&view.name));
    let Some(at) = memchr::memmem::find(create, name.as_bytes()) else { return Ok(false) };
    let behind = create.get(at + name.len()..).unwrap_or_default();
    // Behind its columns, if they are named: no name of them is followed by that.
    let Some(at) = memchr::memmem::find(behind, b" AS ") else { return Ok(false) };
    let select = behind.get(at + 4..).and_then(|select| std::str::from_utf8(select).ok());
    let Some(select) = select else { return Ok(false) };
    // Made ready, it is not run.
    session.run(format!("SET @dumprestore_view = {}", quote::portable(select))).await?;
    match session.run("PREPARE dumprestore_view FROM @dumprestore_view").await {
        Ok(_) => session.run("DEALLOCATE PREPARE dumprestore_view").await.map(|_| false),
        Err(error) => match code(&error) {
            Some(code) => Ok(NOTHING.contains(&code)),
            None => Err(error),
        },
    }
}

/// Without any right to them, routines are not even listed.
pub(crate) fn may_list_routines(rights: &Rights, database: &str) -> bool {
    let on_database = ["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE"];
    on_database.into_iter().any(|right| rights.on_database(database, right))
        || ["SELECT", "SHOW_ROUTINE"].into_iter().any(|right| rights.everywhere_and_in(database, right))
        || rights.on_table("mysql", "proc", "SELECT")
}

/// Tables that were not granted are not even listed: a restore of what was dumped would remove them.
fn unlisted() -> Error {
    Error::environment(
        "this login sees only those tables that were granted to it one by one, and a server leaves out the others without \
         a word",
    )
    .with_hint("grant it `SELECT` on the database, or name what is to be dumped in `tables`")
}

fn unseen(what: &str, right: &str) -> Error {
    Error::environment(format!("this login may not see {what}, and a server leaves them out without a word"))
        .with_hint(format!(
            "grant it `{right}` on the database, or set `{what}: false` if there are none to keep"
        ))
}
