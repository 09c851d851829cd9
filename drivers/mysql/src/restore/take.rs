//! What is staged, as it is when it is committed: what was migrated since it was prepared goes live as it was migrated.

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::entry::Staged;
use super::names::is_ours;
use super::prepare::with_status_of;
use super::programs::Program;
use super::state::{ColumnDefault, State};
use super::swap::{Patience, tables};
use super::{Restore, live};
use crate::catalog::{self, Kind};
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
        let there = tables(session, &self.names.live).await?;
        let is_in_the_way =
            |table: &&String| !state.covers.tables && !state.has_table(table) && there.contains(*table);
        if let Some(table) = staged.iter().find(is_in_the_way) {
            return Err(Error::environment(
                "a table was made that would take the place of one that is to stay",
            )
            .with_context("table", format!("{staging}.{}", table.escape_debug()))
            .with_hint("give it another name in the migration, or restore the whole database"));
        }
        state.tables = staged;
        state.views = Vec::new();
        for relation in relations.iter().filter(|relation| relation.kind == Kind::View) {
            match catalog::is_broken(session, &relation.name).await? {
                false => state.views.push(catalog::view(session, &relation.name).await?),
                true => self.tell(LedgerEntry::degrading(
                    format!("view {}", relation.name),
                    "it does not work any more, after what was changed before the swap, and is left out",
                )),
            }
        }
        state.triggers = catalog::triggers(session, staging).await?;
        state.routines = catalog::routines(session, staging).await?;
        let events = catalog::events(session, staging).await?;
        let known = std::mem::take(&mut state.events);
        state.events =
            events.into_iter().map(|event| with_status_of(event, &known)).collect::<Result<_>>()?;
        self.take_rest(session, state).await
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
