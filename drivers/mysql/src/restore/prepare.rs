//! All that can fail, before anything live is touched.

use std::sync::PoisonError;

use dumprestore_driver::{Content, Error, Extras, LedgerEntry, Result};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};

use super::choice::Choice;
use super::entry::{Staged, Step};
use super::head::{self, Changed};
use super::programs::Program;
use super::staged::{AS_ANYBODY, Stageable, noted};
use super::state::{Key, State, Whole};
use super::tables::Plan;
use super::views::stage_views;
use super::{Restore, keys, live};
use crate::archived::{CreateTable, ElementKind, Event, ForeignKey, Sql, View};
use crate::catalog;
use crate::config::Definers;
use crate::connect::Session;
use crate::quote;

/// How many foreign keys are verified at once.
const AT_ONCE: usize = 4;
/// As many rows that lead nowhere are counted; more are `more than`.
const MOST_COUNTED: u64 = 1000;

/// Makes the indexes of a table whose rows are in, and has the server look what the rows are like.
pub(super) async fn complete_table(lane: &mut Session, plan: &Plan) -> Result<()> {
    let name = quote::name(&plan.name);
    if plan.later.is_empty() {
        return Ok(());
    }
    let is_fulltext = |add: &&Vec<u8>| add.starts_with(b"ADD FULLTEXT");
    let others: Vec<&[u8]> = plan.later.iter().filter(|add| !is_fulltext(add)).map(Vec::as_slice).collect();
    // A server makes one index of words at a time, or else copies the table.
    let fulltext = plan.later.iter().filter(is_fulltext).map(|add| add.to_vec());
    for adds in [others.join(&b", "[..])].into_iter().chain(fulltext).filter(|adds| !adds.is_empty()) {
        let alter = [format!("ALTER TABLE {name} ").as_bytes(), &adds].concat();
        lane.run_single(&alter).await.map_err(|error| {
            Error::new(error.kind(), "can't make the indexes of a table")
                .with_context("table", plan.name.escape_debug())
                .with_source(error)
        })?;
    }
    lane.run(format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {name}")).await.map(drop)
}

/// Makes the foreign keys of a table, one table after the other: MariaDB 10.11 has been seen to crash where a table was
/// made to refer to one that was being altered.
async fn refer(lane: &mut Session, plan: &Plan) -> Result<()> {
    if plan.references.is_empty() {
        return Ok(());
    }
    let name = quote::name(&plan.name);
    let alter = [format!("ALTER TABLE {name} ").as_bytes(), &plan.references.join(&b", "[..])].concat();
    lane.run_single(&alter).await.map(drop).map_err(|error| {
        Error::new(error.kind(), "can't make the foreign keys of a table")
            .with_context("table", plan.name.escape_debug())
            .with_source(error)
    })
}

impl Restore {
    pub(super) async fn prepare(&mut self) -> Result<()> {
        if self.entry.step >= Step::Prepared {
            return Ok(());
        }
        if let Staged::Made = self.entry.staged {
            self.prepare_made().await?;
        }
        let mut session = self.server.session().await?;
        session.heed(&self.cancel);
        self.make_old(&mut session).await?;
        session.close().await;
        self.entry.step = Step::Prepared;
        Ok(())
    }

    async fn prepare_made(&self) -> Result<()> {
        let choice = self.choice()?;
        self.check_loaded(&choice)?;
        let mut lane = self.lanes.take().await?;
        for plan in &self.plans {
            refer(&mut lane, plan).await?;
        }
        self.lanes.give_back(lane);
        self.verify_keys(&choice).await?;
        self.verify_children(&choice).await?;
        let mut lane = self.lanes.take().await?;
        let mut state = State { complete: true, covers: choice.covers, ..State::of_run(&self.entry.run) };
        if choice.is_whole {
            state.database = Whole::Is(choice.contents.database.clone());
        }
        state.tables = choice.tables();
        state.keys = self.plans.iter().flat_map(|plan| plan.crossing.iter().cloned()).collect();
        if choice.content == Content::DataOnly {
            let tables = choice.contents.tables.iter();
            state.loaded_for = tables.map(|table| (table.name.clone(), table.create.clone())).collect();
            state.keys = self.live_keys(&mut lane, &choice).await?;
        }
        state.defaults = self.plans.iter().flat_map(|plan| plan.defaults.iter().cloned()).collect();
        state.live_triggers = choice.live_triggers();
        self.try_programs(&mut lane, &choice, &mut state).await?;
        if self.entry.extras == Extras::Fail {
            let there = live::outgoing(&mut lane, &self.names.live, &self.entry.run, &state).await?;
            self.refuse_extras(&there, &state)?;
        }
        self.refuse_taken_names(&mut lane, &state).await?;
        state.store(&mut lane, &self.names.staging).await?;
        self.lanes.give_back(lane);
        // That was put on disk, and with it all that was loaded, if the server has run through.
        self.lanes.check().await?;
        self.lanes.close().await;
        Ok(())
    }

    fn check_loaded(&self, choice: &Choice) -> Result<()> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = choice.contents.tables.iter().flat_map(|table| &table.parts);
        match parts.into_iter().find(|part| !loaded.contains(*part)) {
            None => Ok(()),
            Some(part) => {
                Err(Error::archive("a part of the archive was not loaded").with_context("part", part))
            }
        }
    }

    /// Sees whether every foreign key finds what it leads to: the server has not looked while rows were loaded.
    async fn verify_keys(&self, choice: &Choice) -> Result<()> {
        let tables = choice.tables();
        let mut checks = Vec::new();
        for table in choice.contents.tables.iter().filter(|table| !table.parts.is_empty()) {
            for key in &table.foreign_keys {
                let is_staged = key.to_database.is_none() && tables.contains(&key.to_table);
                let database = match (&key.to_database, is_staged) {
                    (Some(other), _) => other,
                    (None, true) => &self.names.staging,
                    (None, false) => &self.names.live,
                };
                checks.push((table.name.as_str(), key, database.as_str()));
            }
        }
        let mut begun: Vec<BoxFuture<'_, Result<()>>> = Vec::with_capacity(checks.len());
        for (table, key, database) in checks {
            begun.push(Box::pin(self.verify_key(table, key, database)));
        }
        futures_util::stream::iter(begun).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }

    async fn verify_key(&self, table: &str, key: &ForeignKey, database: &str) -> Result<()> {
        let mut lane = self.lanes.take().await?;
        let columns: Vec<String> = key.columns.iter().map(|column| quote::name(column)).collect();
        let to_columns: Vec<String> = key.to_columns.iter().map(|column| quote::name(column)).collect();
        let Some(first) = to_columns.first() else { return Ok(()) };
        let pairs = columns.iter().zip(&to_columns);
        let on: Vec<String> = pairs.map(|(column, to)| format!("p.{to} = c.{column}")).collect();
        let known: Vec<String> = columns.iter().map(|column| format!("c.{column} IS NOT NULL")).collect();
        let to = quote::qualified(database, &key.to_table);
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} c LEFT JOIN {to} p ON {} WHERE {} AND p.{first} IS NULL \
             LIMIT {}) bad",
            quote::name(table),
            on.join(" AND "),
            known.join(" AND "),
            MOST_COUNTED + 1,
        );
        let what = format!("foreign key {} of {table}", key.name);
        match lane.rows(&sql).await {
            Ok(rows) => {
                let bad = rows.first().map_or(Ok(0), |row| row.number(0))?;
                if bad > 0 {
                    let bad = match bad > MOST_COUNTED {
                        true => format!("more than {MOST_COUNTED}"),
                        false => bad.to_string(),
                    };
                    let why = format!("rows that lead to nothing in {}: {bad}", key.to_table);
                    self.tell(LedgerEntry::degrading(what, why));
                }
            }
            // The other table is not there: it was left out, or is of a database that this server does not have.
            Err(error) if matches!(crate::connect::code(&error), Some(1146 | 1049 | 1142)) => {
                self.tell(LedgerEntry::degrading(
                    what,
                    format!("{} is not there, or may not be read", key.to_table),
                ));
            }
            Err(error) => return Err(error),
        }
        self.lanes.give_back(lane);
        Ok(())
    }

    /// Foreign keys that lead out of what is swapped, by the definitions that are live.
    async fn live_keys(&self, lane: &mut Session, choice: &Choice) -> Result<Vec<Key>> {
        let tables = choice.tables();
        let mut found = Vec::new();
        for table in &choice.contents.tables {
            for element in CreateTable::parse(table.create.as_bytes())?.elements {
                if element.kind == ElementKind::ForeignKey {
                    let key = keys::key(&self.names.live, &table.name, &element.name, &element.text)?;
                    if key.to.0 != self.names.live || !tables.contains(&key.to.1) {
                        found.push(key);
                    }
                }
            }
        }
        lane.run(format!("USE {}", quote::name(&self.names.staging))).await?;
        Ok(found)
    }

    /// Makes all programs once, to see that they can be made, and notes how this server shows them.
    async fn try_programs(&self, lane: &mut Session, choice: &Choice, state: &mut State) -> Result<()> {
        let staging = &self.names.staging;
        let without_definer = self.server.setup.definers == Definers::Strip;
        let contents = &choice.contents;
        let changed = Changed { without_definer, ..Changed::default() };
        if !without_definer {
            let views = contents.views.iter().map(|view| &view.made);
            let triggers = contents.triggers.iter().map(|trigger| &trigger.made);
            let routines = contents.routines.iter().map(|routine| &routine.made);
            self.try_definers(lane, staging, views.chain(triggers).chain(routines)).await?;
        }
        for routine in &contents.routines {
            Program::from(routine).make(lane, staging, AS_ANYBODY).await?;
        }
        let failed = stage_views(lane, staging, &contents.views).await?;
        state.left = self.of_failed_views(failed)?;
        for trigger in &contents.triggers {
            Program::from(trigger).make(lane, staging, AS_ANYBODY).await?;
        }
        for event in &contents.events {
            let changed = Changed { status: Some(b"DISABLE"), ..changed };
            Program::from(event).make(lane, staging, changed).await?;
        }
        lane.run(format!("USE {}", quote::name(staging))).await?;
        let definers = self.server.setup.definers;
        state.routines = noted(catalog::routines(lane, staging).await?, &contents.routines, definers)?;
        state.triggers = noted(catalog::triggers(lane, staging).await?, &contents.triggers, definers)?;
        for view in contents.views.iter().filter(|view| !state.left.contains(&view.name)) {
            let shown = catalog::view(lane, &view.name).await?;
            state.views.push(shown.of_live(view, definers)?);
        }
        for event in catalog::events(lane, staging).await? {
            state.events.push(with_status_of(event, &contents.events)?);
        }
        for event in
            contents.events.iter().filter(|event| !state.events.iter().any(|made| made.name == event.name))
        {
            self.tell(LedgerEntry::note(
                format!("event {}", event.name),
                "it was to run once, and that is over: the server does not keep it",
            ));
        }
        // They stay, for who migrates them: see `take.rs`.
        Ok(())
    }

    /// A view that did not work when it was dumped need not work now. Gives the names of those.
    fn of_failed_views(&self, failed: Vec<(&View, Error)>) -> Result<Vec<String>> {
        let is_partial = !self.entry.selection.is_whole();
        let mut names = Vec::new();
        for (view, error) in failed {
            if !view.broken && !is_partial {
                return Err(error);
            }
            if is_partial && !view.broken {
                return Err(error.with_hint("name with `--only` the tables and views that it reads as well"));
            }
            self.tell(LedgerEntry::degrading(
                format!("view {}", view.name),
                format!("it did not work when it was dumped, and can't be made: {error}"),
            ));
            names.push(view.name.clone());
        }
        Ok(names)
    }
}

/// An event as it is shown here, to run as it did when it was dumped.
pub(super) fn with_status_of(event: Event, archived: &[Event]) -> Result<Event> {
    let of_archived = archived.iter().find(|archived| archived.name == event.name);
    let Some(status) = of_archived.and_then(|archived| head::status(archived.create.as_bytes())) else {
        return Ok(event);
    };
    let changed = Changed { status: Some(status), ..Changed::default() };
    let create = head::statement(head::Kind::Event, event.create.as_bytes(), changed)?;
    Ok(Event { create: Sql::new(create), ..event })
}
