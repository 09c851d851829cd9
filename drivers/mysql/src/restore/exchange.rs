//! What is staged takes the place of what is live, and gives it back.
//!
//! At every moment a database beside the live one says what belongs to the tables that are not live (`state.rs`), and a
//! marker which those are (`swap.rs`). So commit and rollback begin by looking, and go on from wherever a crash has left
//! them. Nothing that was there before goes until `finish`.

use std::collections::BTreeSet;

use dumprestore_driver::{Error, LedgerEntry, OldState, Result};

use super::apply::Turn;
use super::entry::{Kept, Staged, Step};
use super::live;
use super::names::{DEFINITIONS, MARKER};
pub(super) use super::ours::refuse_foreign;
use super::ours::{drop_kept, drop_ours, is_empty, refuse_strangers, refuse_unfinished};
use super::server::{SHORT, identity};
use super::state::{State, Whole};
use super::swap::{Swap, drop_views_in_the_way, tables};
use super::{Origin, Restore};
use crate::archived::Trigger;
use crate::catalog;
use crate::connect::{Session, code};
use crate::quote;

/// MySQL does not find the file of a table.
const MISSING_TABLESPACE: u16 = 1812;
/// How many seconds what is undone waits for another restore of the same database.
const LONG: u32 = 30;

impl Restore {
    /// The database that the tables come from.
    pub(super) fn source(&self) -> &str {
        match &self.entry.staged {
            Staged::Made => &self.names.staging,
            Staged::Kept { database, .. } => database,
        }
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        self.exchange().await.map_err(of_crashed)
    }

    async fn exchange(&mut self) -> Result<()> {
        match self.entry.step {
            Step::Committed => return Ok(()),
            Step::Prepared => {}
            Step::Planned | Step::Begun => {
                return Err(Error::defect("a restore is committed that is not prepared"));
            }
        }
        self.lanes.close().await;
        let mut session = self.changing().await?;
        self.be_alone(SHORT).await?;
        if self.is_over(&mut session).await? {
            session.close().await;
            self.entry.step = Step::Committed;
            return Ok(());
        }
        let mut incoming = self.incoming(&mut session).await?;
        let is_swapped = tables(&mut session, &self.names.old).await?.contains(MARKER);
        let outgoing = match is_swapped {
            true => self.outgoing(&mut session).await?,
            false => self.note_outgoing(&mut session, &mut incoming).await?,
        };
        let turn = Turn { live: &self.names.live, aside: &self.names.old, from: &outgoing, to: &incoming };
        let swap = Swap { server: &self.server, turn, source: self.source(), aside: &self.names.old };
        if !is_swapped {
            self.cancel.check()?;
            if outgoing.database == Whole::Absent {
                self.make_live(&mut session, &incoming).await?;
            }
            drop_views_in_the_way(&mut session, turn).await?;
        }
        turn.begin(&mut session, &self.server, Some(&self.cancel)).await?;
        self.server.still_alone(&mut session, self.alone.as_ref().map(Session::id)).await?;
        swap.perform(&mut session, Some(&self.cancel)).await?;
        self.open_all(&mut session, &incoming).await?;
        let lost = turn.perform(&mut session, &self.server, None).await?;
        self.drop_live_if_absent(&mut session, &incoming).await?;
        session.close().await;
        lost.into_iter().for_each(|lost| self.tell(lost.into()));
        self.entry.step = Step::Committed;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<()> {
        self.go_back().await.map_err(of_crashed)
    }

    async fn go_back(&mut self) -> Result<()> {
        self.lanes.close().await;
        self.server.wait_until_up().await;
        let mut session = self.changing().await?;
        let outgoing = State::load(&mut session, &self.names.old).await?;
        let outgoing = outgoing.filter(|state| state.run == self.entry.run && state.complete);
        match outgoing {
            Some(outgoing) => {
                self.be_alone(LONG).await?;
                self.put_back(&mut session, outgoing).await.map_err(|error| self.stuck(error))?;
            }
            None => self.refuse_lost(&mut session).await?,
        }
        self.drop_ours(&mut session, &self.names.old, &self.entry.run, &[]).await?;
        if self.entry.staged == Staged::Made {
            let staged = State::load(&mut session, &self.names.staging).await?;
            let known = staged.filter(|state| state.run == self.entry.run);
            if known.is_some() {
                // If it is dropped in part, what is left of it is not taken for more.
                State::of_run(&self.entry.run).store(&mut session, &self.names.staging).await?;
            }
            // What is not yet noted there was made by us as well: nobody else makes tables in a database of that name.
            let tables = tables(&mut session, &self.names.staging).await?;
            let all: Vec<String> = known.map(|_| tables.into_iter().collect()).unwrap_or_default();
            self.drop_ours(&mut session, &self.names.staging, &self.entry.run, &all).await?;
        }
        session.close().await;
        self.be_no_longer_alone().await;
        self.entry.step = Step::Planned;
        Ok(())
    }

    /// Once tables were swapped, only the database that the old ones went to knows what was there before.
    async fn refuse_lost(&self, session: &mut Session) -> Result<()> {
        let source = self.source();
        let state = State::load(session, source).await?;
        let was_ready = state.is_some_and(|state| state.complete && state.run == self.entry.run_of_staged());
        if !was_ready || tables(session, source).await?.contains(MARKER) {
            return Ok(());
        }
        Err(Error::stuck("tables were swapped, and those that were live before are gone")
            .with_context("live", &self.names.live)
            .with_context("missing", format!("{}.{MARKER}", self.names.old))
            .with_hint(format!(
                "somebody has dropped `{}`, or changed it: what is live is what was restored. If that is to stay, drop `{}`, \
                 which holds none of its tables, and run `dumprestore recover` again; else restore from an archive",
                self.names.old.escape_debug(),
                source.escape_debug()
            )))
    }

    pub(super) async fn finish(&mut self, old: OldState) -> Result<Option<Kept>> {
        if self.entry.step != Step::Committed {
            return Err(Error::defect("a restore is finished that is not committed"));
        }
        let mut session = self.changing().await?;
        let source = self.source().to_owned();
        // While anything is not where it belongs, the old state may be needed.
        refuse_strangers(&mut session, &source, &[]).await?;
        let kept = match old {
            OldState::Drop => {
                drop_kept(&mut session, &self.server, &self.names.old, &self.entry.run).await?;
                None
            }
            OldState::Keep => {
                let state = State::load(&mut session, &self.names.old).await?;
                if let Some(state) = state.filter(|state| state.run == self.entry.run && !state.kept) {
                    State { kept: true, ..state }.store(&mut session, &self.names.old).await?;
                }
                Some(self.entry.kept())
            }
        };
        // Its tables have gone to the live database: what is left is ours.
        self.drop_ours(&mut session, &source, self.entry.run_of_staged(), &[]).await?;
        session.close().await;
        self.be_no_longer_alone().await;
        Ok(kept)
    }

    /// Keeps other restores away, which would be undone with this one, or undo it. `patience` is in seconds.
    async fn be_alone(&mut self, patience: u32) -> Result<()> {
        if let Some(alone) = &mut self.alone
            && alone.run("DO 1").await.is_ok()
        {
            return Ok(());
        }
        self.alone = Some(self.server.alone(patience).await?);
        Ok(())
    }

    async fn be_no_longer_alone(&mut self) {
        if let Some(alone) = self.alone.take() {
            alone.close().await;
        }
    }

    /// A session to change the live database from, once it is sure that it is the right server, and nobody of an earlier
    /// process is at work.
    async fn changing(&self) -> Result<Session> {
        let mut session = self.server.session().await?;
        self.entry.check_server(identity(&mut session).await.as_deref())?;
        if self.origin == Origin::Resumed || self.entry.step < Step::Committed {
            let ours = self.alone.as_ref().map_or(0, Session::id);
            self.server.end_left_sessions(&mut session, ours).await?;
        }
        session.close().await;
        self.server.changing().await
    }

    /// Whether an earlier process has swapped and begun to finish: then what was to be swapped in is live, and the database
    /// that it was in is gone.
    async fn is_over(&self, session: &mut Session) -> Result<bool> {
        if self.origin == Origin::Planned || catalog::database(session, self.source()).await?.is_some() {
            return Ok(false);
        }
        if catalog::database(session, &self.names.old).await?.is_none() {
            return Err(Error::stuck("neither what was to be swapped in nor what was live before is to be found")
                .with_context("missing", self.source())
                .with_context("missing too", &self.names.old)
                .with_hint(format!(
                    "somebody has dropped both: look whether `{}` is as it should be; if it is not, restore it again",
                    self.names.live.escape_debug()
                )));
        }
        Ok(tables(session, &self.names.old).await?.contains(MARKER))
    }

    /// Makes the database that the live tables go to.
    pub(super) async fn make_old(&self, session: &mut Session) -> Result<()> {
        let old = &self.names.old;
        session.run(format!("CREATE DATABASE IF NOT EXISTS {}", quote::name(old))).await?;
        refuse_foreign(session, old, &self.entry.run).await?;
        if State::load(session, old).await?.is_none() {
            State::of_run(&self.entry.run).store(session, old).await?;
        }
        Ok(())
    }

    /// What is swapped in.
    pub(super) async fn incoming(&self, session: &mut Session) -> Result<State> {
        let database = self.source();
        let state = State::load(session, database).await?;
        let run = self.entry.run_of_staged();
        state.filter(|state| state.run == run && state.complete).ok_or_else(|| {
            Error::environment("what is to be swapped in is gone")
                .with_context("database", database)
                .with_hint("somebody has dropped it, or the restore was rolled back: restore again")
        })
    }

    async fn outgoing(&self, session: &mut Session) -> Result<State> {
        let state = State::load(session, &self.names.old).await?;
        state.filter(|state| state.run == self.entry.run && state.complete).ok_or_else(|| {
            Error::stuck("it is not known what the live database was like before")
                .with_context("table", format!("{}.{DEFINITIONS}", self.names.old))
                .with_hint(
                    "somebody has changed it: its tables can be moved back by hand, with `RENAME TABLE`",
                )
        })
    }

    /// Writes down everything that is swapped out, before anything of it is changed.
    async fn note_outgoing(&self, session: &mut Session, incoming: &mut State) -> Result<State> {
        let live = &self.names.live;
        refuse_unfinished(session, &self.names).await?;
        let before = State::load(session, &self.names.old).await?;
        if let Some(before) = before.filter(|before| before.run == self.entry.run && before.complete) {
            // A crash came before the swap was whole, but perhaps after something of it was done.
            self.put_back(session, before).await?;
        }
        // What a migration has dropped from what was restored is no extra.
        let meant = incoming.clone();
        self.take_staged(session, incoming).await?;
        self.refuse_taken_names(session, incoming).await?;
        self.refuse_changed_source(session, incoming).await?;
        self.refuse_migrated(session, incoming).await?;
        let mut outgoing = live::outgoing(session, live, &self.entry.run, incoming).await?;
        self.refuse_extras(&outgoing, &meant)?;
        self.leave_broken_views(session, incoming, &mut outgoing).await?;
        if incoming.live_triggers {
            let of_incoming = outgoing.triggers.iter().filter(|trigger| incoming.has_table(&trigger.table));
            let of_incoming: Vec<Trigger> = of_incoming.cloned().collect();
            incoming.triggers.retain(|own| !of_incoming.iter().any(|trigger| trigger.name == own.name));
            incoming.triggers.extend(of_incoming);
        }
        // Those of tables elsewhere are what they are by now, and not what they were when it was kept.
        let tables: BTreeSet<String> = incoming.tables.iter().cloned().collect();
        incoming.keys.retain(|key| key.database.is_none() && tables.contains(&key.table));
        self.add_outer_keys(incoming, &outgoing)?;
        live::keep_grants(incoming, &outgoing);
        // What it was swapped for once is over.
        incoming.incoming = None;
        incoming.store(session, self.source()).await?;
        self.make_old(session).await?;
        self.refuse_unmakeable(session, incoming, &outgoing).await?;
        self.tell_of_grants(session, incoming, &outgoing);
        outgoing.added = incoming.added_to(&outgoing);
        outgoing.incoming = Some(Box::new(incoming.clone()));
        outgoing.store(session, &self.names.old).await?;
        Ok(outgoing)
    }

    /// What is swapped in is all that is there, and all of that is there.
    async fn refuse_changed_source(&self, session: &mut Session, incoming: &State) -> Result<()> {
        let source = self.source();
        refuse_strangers(session, source, &incoming.tables).await?;
        let there = tables(session, source).await?;
        match incoming.tables.iter().find(|table| !there.contains(*table)) {
            None => Ok(()),
            Some(missing) => Err(Error::environment("a table that is to be swapped in is gone")
                .with_context("table", format!("{source}.{}", missing.escape_debug()))
                .with_hint("somebody has dropped or renamed it: restore again")),
        }
    }

    /// A view that does not work can't be made again once it is dropped. So it stays, but where its name is taken.
    async fn leave_broken_views(
        &self,
        session: &mut Session,
        incoming: &State,
        outgoing: &mut State,
    ) -> Result<()> {
        if outgoing.views.is_empty() {
            return Ok(());
        }
        session.run(format!("USE {}", quote::name(&self.names.live))).await?;
        let mut gone = Vec::with_capacity(outgoing.views.len());
        for mut view in std::mem::take(&mut outgoing.views) {
            view.broken = catalog::is_broken(session, &view.name).await?;
            if !view.broken || incoming.has_table(&view.name) || incoming.has_view(&view.name) {
                gone.push(view);
                continue;
            }
            self.tell(LedgerEntry::note(
                format!("view {}", view.name),
                "it is not in the archive, and stays: it does not work, and could not be made again",
            ));
        }
        outgoing.views = gone;
        session.run("USE information_schema").await.map(drop)
    }

    /// Keys of tables elsewhere that lead to what is swapped out are to lead to what is swapped in.
    fn add_outer_keys(&self, incoming: &mut State, outgoing: &State) -> Result<()> {
        let live = &self.names.live;
        for key in &outgoing.keys {
            let is_of_swapped = key.database.is_none() && outgoing.has_table(&key.table);
            if is_of_swapped || incoming.keys.contains(key) {
                continue;
            }
            if key.to.0 == *live && !incoming.has_table(&key.to.1) {
                return Err(Error::environment("a table is to go that others lead to")
                    .with_context("table", key.to.1.escape_debug())
                    .with_context("foreign key", format!("{} of {}", key.name, key.table).escape_debug())
                    .with_hint("drop the foreign key, or restore with `--extras keep`"));
            }
            incoming.keys.push(key.clone());
        }
        Ok(())
    }

    async fn make_live(&self, session: &mut Session, incoming: &State) -> Result<()> {
        let options = match &incoming.database {
            Whole::Is(database) => {
                format!(" CHARACTER SET {} COLLATE {}", database.charset, database.collation)
            }
            Whole::Untouched | Whole::Absent => String::new(),
        };
        let name = quote::name(&self.names.live);
        session.run(format!("CREATE DATABASE IF NOT EXISTS {name}{options}")).await.map(drop)
    }

    /// After a crash MySQL may not find the files of tables that it lists. Nothing may be dropped before it does.
    pub(super) async fn open_all(&self, session: &mut Session, state: &State) -> Result<()> {
        if session.server().is_mariadb() {
            return Ok(());
        }
        for table in &state.tables {
            let looked = session
                .run(format!("SELECT 1 FROM {} LIMIT 1", quote::qualified(&self.names.live, table)))
                .await;
            if let Err(error) = looked
                && matches!(code(&error), Some(MISSING_TABLESPACE) | None)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Drops the live database where there is to be none, if nothing is in it.
    pub(super) async fn drop_live_if_absent(&self, session: &mut Session, wanted: &State) -> Result<()> {
        let live = &self.names.live;
        if wanted.database != Whole::Absent || !is_empty(session, live).await? {
            return Ok(());
        }
        session.run(format!("DROP DATABASE IF EXISTS {}", quote::name(live))).await.map(drop)
    }

    async fn drop_ours(
        &self,
        session: &mut Session,
        database: &str,
        run: &str,
        known: &[String],
    ) -> Result<()> {
        drop_ours(session, &self.server, database, run, known).await
    }
}

/// After a crash in the middle of the swap MySQL has to be started twice.
pub(super) fn of_crashed(error: Error) -> Error {
    match code(&error) {
        Some(MISSING_TABLESPACE) => error.with_hint(
            "restart the server once more: after a crash in the middle of the swap MySQL moves its files back while it \
             starts, and only finds them when it starts again; then run `dumprestore recover`",
        ),
        _ => error,
    }
}
