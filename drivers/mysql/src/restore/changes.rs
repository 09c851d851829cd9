//! What a restore would change, and what is in its way.

mod hidden_keys;

use std::collections::BTreeSet;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Changes, Content, Error, Extras, Result, StageContext};

use super::begin::take_live_definitions;
use super::choice::Choice;
use super::exchange::refuse_foreign;
use super::names::as_server_has;
use super::needs;
use super::rows::Way;
use super::{keys, server_of, swap};
use crate::archived::{Family, read_contents};
use crate::catalog::{self, Kind};
use crate::config::Setup;
use crate::connect::Session;
use crate::quote;

pub(super) use hidden_keys::{Hidden, hidden_keys};

/// From so many bytes on it is worth a look whether there is room for them.
const MUCH: u64 = 1 << 30;

/// Counts what restoring `archived` would create, replace and remove, and refuses what can't work.
pub(crate) async fn changes(
    setup: &Setup,
    archived: Arc<dyn ArchivedNode>,
    cx: &StageContext,
) -> Result<Changes> {
    let contents = read_contents(archived).await?;
    let mut choice = Choice::new(contents, &cx.selection, cx.extras)?;
    let mut session = server_of(setup, &setup.target.database, &cx.run).session().await?;
    let live = as_server_has(&mut session, &setup.target.database).await?;
    let server = server_of(setup, &live, &cx.run);
    let origin = (choice.contents.origin.clone(), choice.contents.held);
    take_live_definitions(&mut session, &server.names.live, &mut choice).await?;
    needs::check(&mut session, setup, &server.names, &choice).await?;
    for database in [&server.names.staging, &server.names.old] {
        refuse_foreign(&mut session, database, &cx.run).await?;
    }
    let mut plan = Plan { choice: &choice, live: &server.names.live, changes: Changes::of("tables") };
    plan.count(&mut session, cx.extras).await?;
    plan.note_archived(&mut session).await?;
    plan.note_programs(&mut session, setup).await?;
    if !origin.1.all_tables && choice.is_whole {
        plan.note("the dump is of a choice of tables: what it was not made of stays");
    }
    plan.note_family(&session, origin.0.family, &origin.0.version);
    let mut changes = plan.changes;
    changes.needs_bytes = Some(choice.contents.tables.iter().map(|table| table.bytes).sum());
    session.close().await;
    Ok(changes)
}

struct Plan<'a> {
    choice: &'a Choice,
    live: &'a str,
    changes: Changes,
}

impl Plan<'_> {
    fn note(&mut self, note: impl Into<String>) {
        self.changes.notes.push(note.into());
    }

    async fn count(&mut self, session: &mut Session, extras: Extras) -> Result<()> {
        let tables: BTreeSet<String> =
            self.choice.contents.tables.iter().map(|table| table.name.clone()).collect();
        let all: BTreeSet<String> = self.choice.tables().into_iter().collect();
        let relations = catalog::relations(session, self.live).await?;
        if relations.is_empty() && catalog::database(session, self.live).await?.is_none() {
            self.note(format!("the database `{}` is made", self.live));
        }
        let there = |kind_of_table: bool, name: &str| {
            relations.iter().any(|relation| relation.name == name && relation.is_table() == kind_of_table)
        };
        for table in &tables {
            match there(true, table) {
                true => self.changes.replace += 1,
                false => self.changes.create += 1,
            }
        }
        let extra: Vec<&catalog::Relation> = relations
            .iter()
            .filter(|relation| relation.kind != Kind::View && !all.contains(&relation.name))
            .collect();
        let others = self.other_extras(session, &relations).await?;
        let goes: Vec<String> = match self.choice.covers.tables {
            true => extra.iter().map(|relation| relation.name.clone()).chain(others).collect(),
            false => others,
        };
        if extras == Extras::Fail && !goes.is_empty() {
            return Err(Error::environment("the database has what the archive does not have")
                .with_context("extras", listed(&goes))
                .with_hint(
                    "restore with `--extras remove` if they may go, or `--extras keep` if they may stay",
                ));
        }
        for name in goes {
            self.changes.count_removed(|| name);
        }
        let replaced: Vec<String> = relations
            .iter()
            .filter(|relation| relation.kind != Kind::View)
            .filter(|relation| all.contains(&relation.name) || self.choice.covers.tables)
            .map(|relation| relation.name.clone())
            .collect();
        self.note_outer_keys(session, &replaced, &all).await
    }

    /// Views, procedures, functions and events that would go. Where all tables go, views are counted as tables are.
    async fn other_extras(
        &self,
        session: &mut Session,
        relations: &[catalog::Relation],
    ) -> Result<Vec<String>> {
        let (covers, contents) = (self.choice.covers, &self.choice.contents);
        let mut found = Vec::new();
        if covers.tables {
            let views = relations.iter().filter(|relation| relation.kind == Kind::View);
            let extra =
                views.filter(|relation| !contents.views.iter().any(|view| view.name == relation.name));
            let tables = self.choice.tables();
            let extra = extra.filter(|relation| !tables.contains(&relation.name));
            found.extend(extra.map(|relation| format!("view {}", relation.name)));
        }
        if covers.routines {
            for (kind, name) in catalog::routine_names(session, self.live).await? {
                let is_archived = |routine: &crate::archived::Routine| {
                    routine.kind.keyword() == kind && routine.name.to_lowercase() == name.to_lowercase()
                };
                if !contents.routines.iter().any(is_archived) {
                    found.push(format!("{} {name}", kind.to_lowercase()));
                }
            }
        }
        if covers.events {
            for name in catalog::event_names(session, self.live).await? {
                if !contents.events.iter().any(|event| event.name.to_lowercase() == name.to_lowercase()) {
                    found.push(format!("event {name}"));
                }
            }
        }
        Ok(found)
    }

    /// Foreign keys of tables that are not swapped.
    async fn note_outer_keys(
        &mut self,
        session: &mut Session,
        replaced: &[String],
        incoming: &BTreeSet<String>,
    ) -> Result<()> {
        if replaced.is_empty() {
            return Ok(());
        }
        let is_replaced = |name: &str| replaced.iter().any(|table| table == name);
        if hidden_keys(session, self.live, is_replaced).await? == Hidden::Unknown {
            self.note(
                "the login is not shown foreign keys of other databases: if some lead to these tables, they lead to the old ones \
                 after the swap, so that the old ones can't be dropped, and rows are refused; `GRANT REFERENCES ON *.*` or \
                 `GRANT PROCESS ON *.*` lets it look",
            );
        }
        session.run(format!("USE {}", quote::name(self.live))).await?;
        let crossing = keys::crossing(session, self.live, replaced).await?;
        session.run("USE information_schema").await?;
        let mut outer = Vec::new();
        for key in &crossing {
            if key.database.is_none() && replaced.contains(&key.table) {
                continue;
            }
            if key.to.0 == self.live && !incoming.contains(&key.to.1) {
                return Err(Error::environment("a table is to go that others lead to")
                    .with_context("table", key.to.1.escape_debug())
                    .with_context("foreign key", format!("{} of {}", key.name, key.table).escape_debug())
                    .with_hint("drop the foreign key, or restore with `--extras keep`"));
            }
            outer.push(format!("{} of {}", key.name, key.table));
        }
        if !outer.is_empty() {
            self.note(format!(
                "foreign keys of tables that stay are made anew right after the swap, and their rows are not looked at: {}",
                listed(&outer)
            ));
        }
        Ok(())
    }

    async fn note_archived(&mut self, session: &mut Session) -> Result<()> {
        let contents = &self.choice.contents;
        let bytes: u64 = contents.tables.iter().map(|table| table.bytes).sum();
        let without: Vec<String> = contents
            .tables
            .iter()
            .filter(|table| table.without_data)
            .map(|table| table.name.clone())
            .collect();
        let way = Way::of(session).await?;
        if bytes >= MUCH {
            self.note(format!(
                "the server needs room for {} MiB of rows, besides indexes and logs, and can't tell whether it has it",
                bytes >> 20
            ));
        }
        if way == Way::Insert && self.choice.content != Content::SchemaOnly {
            self.note(
                "`local_infile` is off at the server: rows are inserted, which takes about twice as long",
            );
        }
        if !without.is_empty() {
            self.note(format!("the dump is without the rows of {}", listed(&without)));
        }
        let foreign: Vec<String> = contents
            .tables
            .iter()
            .filter(|table| !table.transactional)
            .map(|table| table.name.clone())
            .collect();
        if !foreign.is_empty() {
            self.note(format!(
                "tables without transactions: a crash of the server at the wrong moment may damage {}",
                listed(&foreign)
            ));
        }
        Ok(())
    }

    async fn note_programs(&mut self, session: &mut Session, setup: &Setup) -> Result<()> {
        let contents = &self.choice.contents;
        let has_programs =
            !(contents.views.is_empty() && contents.routines.is_empty() && contents.events.is_empty());
        if has_programs {
            self.note(
                "tables are swapped all at once; views, procedures, functions and events that differ are replaced one after \
                 the other right after that",
            );
        }
        if !contents.triggers.is_empty() {
            self.note(
                "writers wait for some tens of milliseconds while triggers change places with their tables",
            );
        }
        if !swap::all_or_nothing(session) {
            self.note(match session.server().is_mariadb() {
                true => {
                    "MariaDB before 10.6 does not rename tables all or nothing: if the server crashes in the very moment of \
                     the swap, tables may have to be repaired by hand"
                }
                false => {
                    "if the server crashes in the very moment of the swap, MySQL has to be started twice before it finds all \
                     tables"
                }
            });
        }
        let missing = needs::missing_definers(session, contents, setup).await?;
        if !missing.is_empty() {
            self.note(format!(
                "accounts that views, triggers, routines or events run as, and that the server does not have: {}",
                listed(&missing)
            ));
        }
        Ok(())
    }

    fn note_family(&mut self, session: &Session, family: Family, version: &str) {
        let here = session.server();
        let is_other = (family == Family::MariaDb) != here.is_mariadb();
        let dumped = match family {
            Family::MariaDb => format!("MariaDB {version}"),
            Family::MySql => format!("MySQL {version}"),
        };
        let major =
            |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>().join(".");
        if is_other {
            self.note(format!("the dump is of {dumped}, and the server is {here}: what it does not understand fails before the swap"));
        } else if major(version) != format!("{}.{}", here.version.0, here.version.1) {
            self.note(format!("the dump is of {dumped}, and the server is {here}"));
        }
    }
}

/// The first of these names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    let more = names.len().saturating_sub(MOST);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let names: Vec<String> =
        names.iter().take(MOST).map(|name| format!("`{}`", name.escape_debug())).collect();
    format!("{}{more}", names.join(", "))
}
