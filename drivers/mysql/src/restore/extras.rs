//! What is live and not in the archive, and names that it has taken.

use dumprestore_driver::{Error, Extras, Result};

use super::Restore;
use super::changes::listed;
use super::entry::Staged;
use super::programs::Program;
use super::state::State;
use crate::connect::Session;
use crate::quote;

impl Restore {
    /// Refuses to let go what is live and not `meant`, if it is not to go: live may have changed since the plan, and
    /// nothing goes but what is in `outgoing`.
    pub(super) fn refuse_extras(&self, outgoing: &State, meant: &State) -> Result<()> {
        if self.entry.extras != Extras::Fail || self.entry.staged != Staged::Made {
            return Ok(());
        }
        let extras = extras(outgoing, meant);
        match extras.is_empty() {
            true => Ok(()),
            false => Err(Error::environment("the database has what the archive does not have")
                .with_context("extras", listed(&extras))
                .with_hint(
                    "restore with `--extras remove` if they may go, or `--extras keep` if they may stay",
                )),
        }
    }

    /// Refuses triggers and views whose names tables that stay have, or their triggers.
    pub(super) async fn refuse_taken_names(&self, session: &mut Session, state: &State) -> Result<()> {
        let live = &self.names.live;
        let stays = |table: &str| !state.covers.tables && !state.has_table(table);
        let taken = |what: &str, name: &str, by: &str| {
            Error::environment(format!("a {what} is to be made whose name is taken"))
                .with_context("name", name.escape_debug())
                .with_context("taken by", by.escape_debug())
                .with_hint("rename or drop the one that is there, or restore its table as well")
        };
        if !state.triggers.is_empty() {
            let is_mariadb = session.server().is_mariadb();
            let is_one = |one: &str, other: &str| match is_mariadb {
                true => one == other,
                false => one.to_lowercase() == other.to_lowercase(),
            };
            let asked = format!(
                "SELECT trigger_name, event_object_table FROM information_schema.triggers \
                 WHERE CAST(trigger_schema AS BINARY) = CAST({} AS BINARY)",
                quote::literal(live)
            );
            for row in session.rows(asked).await? {
                let (name, table) = (row.text(0)?, row.text(1)?);
                if stays(table) && state.triggers.iter().any(|trigger| is_one(&trigger.name, name)) {
                    return Err(taken("trigger", name, table));
                }
            }
        }
        let there = super::swap::tables(session, live).await?;
        if let Some(view) = state.views.iter().find(|view| stays(&view.name) && there.contains(&view.name)) {
            return Err(taken("view", &view.name, "a table"));
        }
        Ok(())
    }
}

/// What of a live database is not in a state that covers its kind.
fn extras(outgoing: &State, meant: &State) -> Vec<String> {
    let mut found = Vec::new();
    if meant.covers.tables {
        let is_known = |name: &String| meant.has_table(name) || meant.has_view(name);
        let tables = outgoing.tables.iter().filter(|name| !meant.has_table(name));
        found.extend(tables.map(|name| format!("table {name}")));
        let views = outgoing.views.iter().filter(|view| !is_known(&view.name));
        found.extend(views.map(|view| format!("view {}", view.name)));
    }
    for program in outgoing.routines.iter().map(Program::from) {
        if meant.covers.routines && !meant.routines.iter().any(|other| program.is_named_as(&other.into())) {
            found.push(format!("{} {}", program.kind.keyword().to_lowercase(), program.name));
        }
    }
    for program in outgoing.events.iter().map(Program::from) {
        if meant.covers.events && !meant.events.iter().any(|other| program.is_named_as(&other.into())) {
            found.push(format!("event {}", program.name));
        }
    }
    found
}
