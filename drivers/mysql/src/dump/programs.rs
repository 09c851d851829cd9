//! Views, triggers, routines and events. What a login may not see, a server leaves out without a word: so first it is
//! asked what the login may.

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::pin::Pinned;
use super::view_tables::reads;
use crate::archived::{Event, Routine, Trigger, View};
use crate::catalog::{self, Kind, Rights};
use crate::config::Setup;
use crate::connect::Session;

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
    pub(super) async fn read(setup: &Setup, pinned: &Pinned, session: &mut Session) -> Result<Self> {
        let rights = Rights::of(session).await?;
        let database = pinned.database.as_str();
        let mut programs = Self::default();
        programs.read_views(pinned, session).await?;
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
            programs.triggers = catalog::triggers(session, database).await?;
            programs.triggers.retain(|trigger| !pinned.chosen.omits(&trigger.table));
        } else {
            left_out("triggers");
        }
        if setup.routines {
            if !may_list_routines(&rights, database) {
                return Err(unseen("routines", "EXECUTE"));
            }
            programs.routines = catalog::routines(session, database).await?;
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
        Ok(programs)
    }

    async fn read_views(&mut self, pinned: &Pinned, session: &mut Session) -> Result<()> {
        for relation in pinned.relations.iter().filter(|relation| relation.kind == Kind::View) {
            if !pinned.chosen.omits(&relation.name) {
                self.views.push(catalog::view(session, &relation.name).await?);
            }
        }
        self.drop_views_of_nothing(pinned);
        for view in &mut self.views {
            view.broken = catalog::is_broken(session, &view.name).await?;
            if view.broken {
                let why = "does not work: what it reads is not there, or its definer may not read it";
                self.ledger.push(LedgerEntry::note(&view.name, why));
            }
        }
        Ok(())
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

/// Without any right to them, routines are not even listed.
pub(crate) fn may_list_routines(rights: &Rights, database: &str) -> bool {
    let on_database = ["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE"];
    on_database.into_iter().any(|right| rights.on_database(database, right))
        || ["SELECT", "SHOW_ROUTINE"].into_iter().any(|right| rights.everywhere(right))
        || rights.on_table("mysql", "proc", "SELECT")
}

fn unseen(what: &str, right: &str) -> Error {
    Error::environment(format!("this login may not see {what}, and a server leaves them out without a word"))
        .with_hint(format!(
            "grant it `{right}` on the database, or set `{what}: false` if there are none to keep"
        ))
}
