//! One restore: tables are made and loaded in a database beside the live one, checked, and renamed into it.
//!
//! - [`Restore`] (here, `staging.rs`): the steps, as the engine calls them. `entry.rs` is what the journal has of it,
//!   `names.rs` what databases are called meanwhile, `server.rs` our sessions. `choice.rs` is what of an archive is meant.
//! - Begin (`begin.rs`): tables are made as `tables.rs` plans them, without what is quicker made later.
//! - Load: `rows.rs`. Who loads the last rows of a table makes its indexes.
//! - Prepare (`prepare.rs`): foreign keys are verified, and views, triggers, routines and events made once, to see that they
//!   can be made.
//!   They stay in the staging database (`staged.rs`, `views.rs`), which may be migrated then: commit takes it as it is by then (`take.rs`), unless
//!   something is in the way (`extras.rs`).
//! - Commit (`exchange.rs`) and rollback (`back.rs`): `trial.rs` sees whether all could be had back; `state.rs` is what
//!   belongs to tables, noted before anything is changed; `swap.rs` renames tables, and `apply.rs` has programs (`programs.rs`, `head.rs`) and foreign keys (`keys.rs`) follow them.

mod apply;
mod back;
mod begin;
mod changes;
mod choice;
mod entry;
mod exchange;
mod extras;
mod gate;
mod head;
mod keys;
mod live;
mod names;
mod needs;
mod ours;
mod prepare;
mod programs;
mod rows;
mod server;
mod staged;
mod staging;
mod state;
mod swap;
mod tables;
mod take;
#[cfg(test)]
mod tests;
mod trial;
mod views;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Cancel, Error, LedgerEntry, PartReader, Result, StageContext, Token,
};

use crate::config::Setup;
use crate::connect::Session;

pub(crate) use changes::changes;
pub(crate) use names::{Names, is_of_a_restore};

use choice::Choice;
use entry::{Entry, Kept, Staged};
use rows::Way;
use server::{Lanes, Server};
use tables::Plan;

/// Where a restore comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It was planned in this run.
    Planned,
    /// It was picked up from the journal.
    Resumed,
}

/// A restore of one database.
pub(crate) struct Restore {
    entry: Entry,
    names: Names,
    server: Server,
    lanes: Lanes,
    origin: Origin,
    cancel: Cancel,
    /// Keeps other restores away from the live database, from before it is changed until that is over.
    alone: Option<Session>,
    /// Not there after a crash, nor where nothing is loaded.
    archived: Option<Arc<dyn ArchivedNode>>,
    /// Read when the restore begins.
    choice: Option<Arc<Choice>>,
    plans: Vec<Plan>,
    /// Which table each part belongs to, by its place among them.
    parts: BTreeMap<String, usize>,
    /// How many parts of each table are still to be loaded.
    left: Mutex<HashMap<usize, usize>>,
    loaded: Mutex<HashSet<String>>,
    by_insert: AtomicBool,
    ledger: Mutex<Vec<LedgerEntry>>,
}

impl Restore {
    /// Plans to restore what is archived.
    pub(crate) async fn of_archive(
        setup: &Setup,
        archived: Arc<dyn ArchivedNode>,
        cx: StageContext,
    ) -> Result<Self> {
        let server = server_of(setup, &setup.target.database, &cx.run);
        let mut session = server.session().await?;
        let identity = server::identity(&mut session).await;
        let live = names::as_server_has(&mut session, &setup.target.database).await?;
        session.close().await;
        let mut entry = Entry::new(&live, &cx.run, identity, Staged::Made);
        entry.extras = cx.extras;
        entry.selection = cx.selection.clone();
        Ok(Self { archived: Some(archived), ..Self::new(setup, entry, Origin::Planned, cx) })
    }

    /// Plans to put back what an earlier restore has kept.
    pub(crate) fn of_kept(setup: &Setup, kept: &Token, cx: StageContext) -> Result<Self> {
        let kept = Kept::parse(kept)?;
        Ok(Self::new(setup, Entry::of_kept(&kept, &cx.run), Origin::Planned, cx))
    }

    /// Picks up what a crash has left.
    pub(crate) fn of_token(setup: &Setup, token: &Token, cx: StageContext) -> Result<Self> {
        Ok(Self::new(setup, Entry::parse(token)?, Origin::Resumed, cx))
    }

    fn new(setup: &Setup, entry: Entry, origin: Origin, cx: StageContext) -> Self {
        let server = server_of(setup, &entry.live, &entry.run);
        let names = server.names.clone();
        let database = match &entry.staged {
            Staged::Made => names.staging.clone(),
            Staged::Kept { database, .. } => database.clone(),
        };
        Self {
            lanes: Lanes::new(server.clone(), &database, cx.cancel.clone()),
            entry,
            names,
            server,
            origin,
            cancel: cx.cancel,
            alone: None,
            archived: None,
            choice: None,
            plans: Vec::new(),
            parts: BTreeMap::new(),
            left: Mutex::default(),
            loaded: Mutex::default(),
            by_insert: AtomicBool::new(false),
            ledger: Mutex::default(),
        }
    }

    fn tell(&self, entry: LedgerEntry) {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn way(&self) -> Way {
        if self.by_insert.load(Ordering::Relaxed) { Way::Insert } else { Way::Load }
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let choice = self.choice()?;
        let at = *self.parts.get(part.name.as_str()).ok_or_else(|| {
            Error::archive("a part of the archive belongs to no table").with_context("part", &part.name)
        })?;
        let (Some(table), Some(plan)) = (choice.contents.tables.get(at), self.plans.get(at)) else {
            return Err(Error::defect("a part is loaded whose table was not made"));
        };
        let mut lane = self.lanes.take().await?;
        rows::load(&mut lane, self.way(), table, part, from, &self.cancel, choice.content).await?;
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(part.name.to_string());
        if self.is_last_of(at) {
            prepare::complete_table(&mut lane, plan).await?;
        }
        self.lanes.give_back(lane);
        Ok(())
    }

    /// Counts a part as loaded. Whether it was the last one of its table.
    fn is_last_of(&self, table: usize) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.get_mut(&table) {
            Some(parts) => {
                *parts = parts.saturating_sub(1);
                *parts == 0
            }
            None => false,
        }
    }

    fn choice(&self) -> Result<Arc<Choice>> {
        self.choice.clone().ok_or_else(|| Error::defect("a restore is loaded or prepared that has not begun"))
    }
}

fn server_of(setup: &Setup, live: &str, run: &str) -> Server {
    Server { setup: setup.clone(), names: Names::new(live, run) }
}

/// Drops what an earlier restore has kept. Twice is once.
pub(crate) async fn discard(setup: &Setup, kept: &Token) -> Result<()> {
    ours::discard(setup, &Kept::parse(kept)?).await
}
