//! What is live and not in the archive, and names that it has taken.

use dumprestore_driver::{Error, Extras, Result};

use super::Restore;
use super::changes::listed;
use super::entry::Staged;
use super::state::State;
use crate::catalog::{self, Kind};
use crate::connect::Session;
use crate::quote;

impl Restore {
    /// Refuses what would go, if it is not to. What is live may have changed since the plan.
    pub(super) async fn refuse_extras(&self, session: &mut Session, state: &State) -> Result<()> {
        if self.entry.extras != Extras::Fail || self.entry.staged != Staged::Made {
            return Ok(());
        }
        let extras = extras(session, &self.names.live, state).await?;
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
async fn extras(session: &mut Session, live: &str, state: &State) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if state.covers.tables {
        for relation in catalog::relations(session, live).await? {
            let name = &relation.name;
            let is_view = relation.kind == Kind::View;
            let is_known =
                state.has_table(name) || is_view && state.views.iter().any(|view| view.name == *name);
            if !is_known {
                found.push(format!("{} {name}", if is_view { "view" } else { "table" }));
            }
        }
    }
    if state.covers.routines {
        for (kind, name) in catalog::routine_names(session, live).await? {
            let is_known = state.routines.iter().any(|routine| {
                routine.kind.keyword() == kind && routine.name.to_lowercase() == name.to_lowercase()
            });
            if !is_known {
                found.push(format!("{} {name}", kind.to_lowercase()));
            }
        }
    }
    if state.covers.events {
        for name in catalog::event_names(session, live).await? {
            if !state.events.iter().any(|event| event.name.to_lowercase() == name.to_lowercase()) {
                found.push(format!("event {name}"));
            }
        }
    }
    Ok(found)
}
