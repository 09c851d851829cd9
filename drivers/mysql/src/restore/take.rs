//! What is staged, as it is when it is committed: what was migrated since it was prepared goes live as it was migrated.

use std::collections::BTreeSet;

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::entry::Staged;
use super::names::is_ours;
use super::prepare::with_status_of;
use super::programs::Program;
use super::staged::{Stageable, taken};
use super::state::{ColumnDefault, State};
use super::swap::Patience;
use super::views::stage_views;
use super::{Restore, head, live};
use crate::archived::Event;
use crate::catalog::{self, Kind, Relation};
use crate::config::Definers;
use crate::connect::Session;
use crate::quote;

impl Restore {
    /// Takes into `state` what the staging database has by now, and removes from there what can't be moved.
    pub(super) async fn take_staged(&self, session: &mut Session, state: &mut State) -> Result<()> {
        if self.entry.staged != Staged::Made {
            return Ok(());
        }
        if !state.taken {
            self.look_again(session, state).await?;
            state.taken = true;
            state.store(session, &self.names.staging).await?;
        }
        let patience = Patience::new(&self.server, Some(&self.cancel));
        while let Err(error) = self.drop_programs(session, state).await {
            patience.wait(error).await?;
        }
        session.run("USE information_schema").await.map(drop)
    }

    async fn look_again(&self, session: &mut Session, state: &mut State) -> Result<()> {
        let staging = &self.names.staging;
        session.run(format!("USE {}", quote::name(staging))).await?;
        let relations = catalog::relations(session, staging).await?;
        let staged = relations.iter().filter(|relation| live::is_moved(relation) && !is_ours(&relation.name));
        let staged: Vec<String> = staged.map(|relation| relation.name.clone()).collect();
        let there = catalog::names(session, &self.names.live).await?;
        let is_in_the_way = |name: &&String| {
            !state.covers.tables && !state.has_table(name) && !state.has_view(name) && there.contains(*name)
        };
        let is_view = |relation: &&Relation| relation.kind == Kind::View;
        let views: Vec<String> =
            relations.iter().filter(is_view).map(|relation| relation.name.clone()).collect();
        if let Some(table) = staged.iter().chain(&views).find(is_in_the_way) {
            return Err(Error::environment(
                "a table or view was made that would take the place of one that is to stay",
            )
            .with_context("name", format!("{staging}.{}", table.escape_debug()))
            .with_hint("give it another name in the migration, or restore the whole database"));
        }
        state.tables = staged;
        self.take_views(session, state, &relations).await?;
        let triggers = catalog::triggers(session, staging).await?;
        state.triggers = taken(triggers, &state.triggers)?;
        let routines = catalog::routines(session, staging).await?;
        state.routines = taken(routines, &state.routines)?;
        let events = catalog::events(session, staging).await?;
        let known = std::mem::take(&mut state.events);
        // None of them runs there, unless somebody has migrated it to.
        let is_off = |event: &Event| {
            head::status(event.create.as_bytes()).is_none_or(|status| !status.eq_ignore_ascii_case(b"ENABLE"))
        };
        let as_it_ran = |event: Event| if is_off(&event) { with_status_of(event, &known) } else { Ok(event) };
        state.events = events.into_iter().map(as_it_ran).collect::<Result<_>>()?;
        self.take_rest(session, state).await
    }

    /// Views run as whoever asks there, but those that were migrated: their definers need not have rights there.
    async fn take_views(
        &self,
        session: &mut Session,
        state: &mut State,
        relations: &[Relation],
    ) -> Result<()> {
        let staging = &self.names.staging;
        let noted = std::mem::take(&mut state.views);
        let mut unworking = Vec::new();
        for relation in relations.iter().filter(|relation| relation.kind == Kind::View) {
            if catalog::is_broken(session, &relation.name).await? {
                unworking.push(catalog::view(session, &relation.name).await?);
            }
        }
        let failed = stage_views(session, staging, &unworking).await?;
        let failed: BTreeSet<&str> = failed.iter().map(|(view, _)| view.name.as_str()).collect();
        session.run(format!("USE {}", quote::name(staging))).await?;
        for relation in relations.iter().filter(|relation| relation.kind == Kind::View) {
            let name = &relation.name;
            if failed.contains(name.as_str()) {
                state.left.push(name.clone());
                self.tell(LedgerEntry::degrading(
                    format!("view {name}"),
                    "it does not work any more, after what was changed before the swap, and is left out",
                ));
                continue;
            }
            let shown = catalog::view(session, name).await?;
            let before = unworking.iter().find(|view| view.name == *name).unwrap_or(&shown);
            let like = noted.iter().find(|noted| shown.is_staged(noted)).unwrap_or(before);
            state.views.push(shown.of_live(like, Definers::Keep)?);
        }
        Ok(())
    }

    /// What follows the swap, where it still finds its place.
    async fn take_rest(&self, session: &mut Session, state: &mut State) -> Result<()> {
        let keys = std::mem::take(&mut state.keys);
        let (kept, gone): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.database.is_some() || state.has_table(&key.table));
        state.keys = kept;
        for key in gone {
            self.tell(LedgerEntry::degrading(
                format!("foreign key {} of {}", key.name, key.table),
                "its table was renamed or dropped before the swap: it is not made",
            ));
        }
        for default in std::mem::take(&mut state.defaults) {
            match self.default_of(session, &default).await? {
                None => self.tell(LedgerEntry::degrading(
                    format!("default of {}.{}", default.table, default.column),
                    "the column was renamed or dropped before the swap: it takes no values from its sequence",
                )),
                Some(set) if set.is_empty() || set == "NULL" => state.defaults.push(default),
                // It was given another one.
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The default that a staged column has: none is empty. `None`: there is no such column.
    async fn default_of(&self, session: &mut Session, default: &ColumnDefault) -> Result<Option<String>> {
        let asked = format!(
            "SELECT COALESCE(column_default, '') FROM information_schema.columns \
             WHERE table_schema = {} AND table_name = {} AND column_name = {}",
            quote::literal(&self.names.staging),
            quote::literal(&default.table),
            quote::literal(&default.column)
        );
        let rows = session.rows(asked).await?;
        rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    /// Triggers would be in the way of the swap, and all of them would work on what is not there any more after it.
    async fn drop_programs(&self, session: &mut Session, state: &State) -> Result<()> {
        let staging = &self.names.staging;
        let triggers = state.triggers.iter().map(Program::from);
        let events = state.events.iter().map(Program::from);
        for program in triggers.chain(events).chain(state.views.iter().map(Program::from)) {
            program.drop(session, staging).await?;
        }
        Ok(())
    }
}
