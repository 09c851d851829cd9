//! The way back: everything as it was before a swap, wherever that was left.

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::Restore;
use super::apply::Turn;
use super::entry::Step;
use super::exchange::of_crashed;
use super::keys;
use super::names::MARKER;
use super::programs::make_views;
use super::state::{State, Whole};
use super::swap::{Swap, drop_views_in_the_way, tables};
use crate::catalog;
use crate::connect::Session;

impl Restore {
    /// Has everything as it was. Nothing is changed that is as it was already.
    pub(super) async fn put_back(&self, session: &mut Session, mut outgoing: State) -> Result<()> {
        let incoming = self.incoming(session).await?;
        if catalog::database(session, &self.names.live).await?.is_none() {
            // It was to be made, and was not.
            return Ok(());
        }
        let moved = tables(session, &self.names.old).await?;
        if !outgoing.returning {
            if !moved.contains(MARKER) && !outgoing.tables.iter().any(|table| moved.contains(table)) {
                return self.put_back_unswapped(session, &incoming, &outgoing).await;
            }
            // A commit that was cut off may have dropped a key to make it again.
            if self.entry.step == Step::Committed {
                keys::forget_dropped(session, &mut outgoing.keys).await?;
            }
            // From here on where the tables are no longer tells what else was changed.
            outgoing.returning = true;
            outgoing.store(session, &self.names.old).await?;
        }
        let outgoing = &outgoing;
        let turn = Turn { live: &self.names.live, aside: self.source(), from: &incoming, to: outgoing };
        let swap = Swap { server: &self.server, turn, source: &self.names.old, aside: self.source() };
        if !tables(session, self.source()).await?.contains(MARKER) {
            drop_views_in_the_way(session, turn).await?;
        }
        turn.begin(session, &self.server, None).await?;
        swap.perform(session, None).await?;
        self.open_all(session, outgoing).await?;
        let told = turn.perform(session, &self.server, None).await?;
        told.into_iter().for_each(|entry| self.tell(entry));
        self.drop_live_if_absent(session, outgoing).await
    }

    /// Before the swap only triggers are dropped, and views whose names tables are to have. All else is as it was, or was
    /// changed by somebody since, and is theirs.
    async fn put_back_unswapped(
        &self,
        session: &mut Session,
        incoming: &State,
        outgoing: &State,
    ) -> Result<()> {
        let turn = Turn { live: &self.names.live, aside: &self.names.old, from: outgoing, to: incoming };
        let swap = Swap { server: &self.server, turn, source: self.source(), aside: &self.names.old };
        self.open_all(session, outgoing).await?;
        // Whoever has changed it since meant it.
        if catalog::database(session, &self.names.live).await?.map(Whole::Is).as_ref()
            == Some(&incoming.database)
        {
            let back = Turn { from: incoming, to: outgoing, ..turn };
            back.begin(session, &self.server, None).await?;
        }
        swap.keep_triggers(session).await?;
        let there = catalog::names(session, &self.names.live).await?;
        let missing = outgoing
            .views
            .iter()
            .filter(|view| incoming.has_table(&view.name) && !there.contains(&view.name));
        let (_, failed) = make_views(session, &self.names.live, missing, false).await?;
        for (view, error) in failed {
            self.tell(LedgerEntry::degrading(
                format!("view {}", view.name),
                format!("could not be made again: {error}"),
            ));
        }
        session.run("USE information_schema").await?;
        self.drop_live_if_absent(session, outgoing).await
    }

    pub(super) fn stuck(&self, error: Error) -> Error {
        let error = of_crashed(error);
        Error::stuck("the database could not be put back to how it was")
            .with_context("database", &self.names.live)
            .with_context("before", &self.names.old)
            .with_hint(error.hint().unwrap_or("remove the cause, then run `dumprestore recover`").to_owned())
            .with_source(error)
    }
}
