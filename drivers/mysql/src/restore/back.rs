//! The way back: everything as it was before a swap, wherever that was left.

use dumprestore_driver::{Error, Result};

use super::Restore;
use super::apply::{Lost, Turn};
use super::changes::listed;
use super::entry::Step;
use super::exchange::of_crashed;
use super::keys;
use super::names::{DEFINITIONS, MARKER};
use super::programs::Program;
use super::state::State;
use super::swap::{Swap, drop_views_in_the_way, tables};
use super::trial::remade;
use super::views::make_views;
use crate::archived::Routine;
use crate::catalog;
use crate::connect::Session;
use crate::quote;

/// As many things that could not be made again are told one by one, with their texts.
const MOST_TOLD: usize = 20;

impl Restore {
    /// Has everything as it was. Nothing is changed that is as it was already.
    pub(super) async fn put_back(&self, session: &mut Session, mut outgoing: State) -> Result<()> {
        let incoming = match &outgoing.incoming {
            Some(incoming) => State::clone(incoming),
            None => self.incoming(session).await?,
        };
        if catalog::database(session, &self.names.live).await?.is_none() {
            // It was to be made, and was not.
            return Ok(());
        }
        let moved = tables(session, &self.names.old).await?;
        let is_swapped = moved.contains(MARKER) || outgoing.tables.iter().any(|table| moved.contains(table));
        let lost = match is_swapped || outgoing.returning {
            true => self.put_back_swapped(session, &incoming, &mut outgoing).await?,
            false => self.put_back_unswapped(session, &incoming, &outgoing).await?,
        };
        self.drop_live_if_absent(session, &outgoing).await?;
        self.account_for(session, &incoming, &mut outgoing, lost).await
    }

    async fn put_back_swapped(
        &self,
        session: &mut Session,
        incoming: &State,
        outgoing: &mut State,
    ) -> Result<Vec<Lost>> {
        if !outgoing.returning {
            // A commit that was cut off may have dropped a key to make it again.
            if self.entry.step == Step::Committed {
                keys::forget_dropped(session, &mut outgoing.keys).await?;
            }
            // From here on where the tables are no longer tells what else was changed.
            outgoing.returning = true;
            outgoing.store(session, &self.names.old).await?;
        }
        if catalog::database(session, self.source()).await?.is_none() {
            // It was empty, and somebody took it for a left-over.
            session.run(format!("CREATE DATABASE IF NOT EXISTS {}", quote::name(self.source()))).await?;
            incoming.store(session, self.source()).await?;
        }
        let turn = Turn { live: &self.names.live, aside: self.source(), from: incoming, to: outgoing };
        let swap = Swap { server: &self.server, turn, source: &self.names.old, aside: self.source() };
        if !tables(session, self.source()).await?.contains(MARKER) {
            drop_views_in_the_way(session, turn).await?;
        }
        let ungranted = self.ungranted(session, outgoing).await?;
        turn.begin(session, &self.server, None).await?;
        swap.perform(session, None).await?;
        self.open_all(session, outgoing).await?;
        let mut lost = turn.perform(session, &self.server, None).await?;
        lost.extend(ungranted);
        Ok(lost)
    }

    /// Routines that were dropped, or are about to be, come back without what was granted on them, where nobody could read
    /// that.
    async fn ungranted(&self, session: &mut Session, outgoing: &State) -> Result<Option<Lost>> {
        if !outgoing.grants_unknown || outgoing.routines.is_empty() {
            return Ok(None);
        }
        session.run(format!("USE {}", quote::name(&self.names.live))).await?;
        let there = catalog::routines(session, &self.names.live).await?;
        session.run("USE information_schema").await?;
        let mut names = remade(session, &there, &outgoing.routines);
        let is_there = |routine: &Routine| {
            there.iter().any(|found| Program::from(found).is_named_as(&Program::from(routine)))
        };
        names.extend(outgoing.routines.iter().filter(|one| !is_there(one)).map(|one| one.name.clone()));
        Ok((!names.is_empty()).then(|| Lost {
            what: format!("rights on procedures and functions {}", listed(&names)),
            why: "may be lost: they were dropped, and the login could not read what was granted on each"
                .to_owned(),
            view: None,
        }))
    }

    /// Before the swap only triggers are dropped, and views whose names tables are to have. All else is as it was, or was
    /// changed by somebody since, and is theirs.
    async fn put_back_unswapped(
        &self,
        session: &mut Session,
        incoming: &State,
        outgoing: &State,
    ) -> Result<Vec<Lost>> {
        let turn = Turn { live: &self.names.live, aside: &self.names.old, from: outgoing, to: incoming };
        let swap = Swap { server: &self.server, turn, source: self.source(), aside: &self.names.old };
        self.open_all(session, outgoing).await?;
        turn.take_back_begin(session, &self.server).await?;
        swap.keep_triggers(session).await?;
        let there = catalog::names(session, &self.names.live).await?;
        let missing = outgoing
            .views
            .iter()
            .filter(|view| incoming.has_table(&view.name) && !there.contains(&view.name));
        let failed = make_views(session, &self.names.live, missing, &outgoing.views).await?;
        let lost = failed.into_iter().map(Lost::from).collect();
        session.run("USE information_schema").await?;
        Ok(lost)
    }

    /// What could not be made again is not passed over: it is kept until it can be, or, where it never can, was told.
    async fn account_for(
        &self,
        session: &mut Session,
        incoming: &State,
        outgoing: &mut State,
        lost: Vec<Lost>,
    ) -> Result<()> {
        let mut found = Vec::new();
        for lost in lost {
            if !self.is_replaced_since(session, incoming, &lost).await? {
                found.push(lost);
            }
        }
        let unworking = |name: &String| outgoing.views.iter().any(|view| view.broken && view.name == *name);
        let is_for_good = |lost: &Lost| lost.view.as_ref().is_none_or(unworking);
        let is_all_for_good = found.iter().all(is_for_good);
        if found.is_empty() || is_all_for_good && outgoing.told {
            return Ok(());
        }
        let mut error = Error::stuck("all is as it was, but what could not be made again");
        for lost in found.iter().take(MOST_TOLD) {
            error = error.with_context("lost", format!("{} {}", lost.what, lost.why));
            let view = outgoing.views.iter().find(|view| Some(&view.name) == lost.view.as_ref());
            if let Some(view) = view {
                let text = String::from_utf8_lossy(view.create.as_bytes());
                error = error.with_context("its text", text.escape_debug());
            }
        }
        let hint = match is_all_for_good {
            true => {
                outgoing.told = true;
                outgoing.store(session, &self.names.old).await?;
                "make it by hand if it is needed: `dumprestore recover` ends what is left"
            }
            false => {
                "see what is missing, and make that, or grant it to the login, or make the view by hand; then run \
                 `dumprestore recover`"
            }
        };
        Err(error.with_context("kept in", format!("{}.{DEFINITIONS}", self.names.old)).with_hint(hint))
    }

    /// Whether somebody has made another view in the place of one that can't be made again.
    async fn is_replaced_since(&self, session: &mut Session, incoming: &State, lost: &Lost) -> Result<bool> {
        let Some(name) = &lost.view else { return Ok(false) };
        if !catalog::names(session, &self.names.live).await?.contains(name) {
            return Ok(false);
        }
        session.run(format!("USE {}", quote::name(&self.names.live))).await?;
        let there = catalog::view(session, name).await;
        session.run("USE information_schema").await?;
        let there = there?;
        let ours = incoming.views.iter().find(|view| view.name == *name);
        Ok(ours.is_none_or(|ours| !Program::from(ours).is_same(&Program::from(&there))))
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
