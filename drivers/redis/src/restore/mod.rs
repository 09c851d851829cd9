//! One restore: new keys are made where nobody looks, checked, and become live all at once.
//!
//! - [`Restore`] (here, `staging.rs`): the steps, as the engine calls them. `entry.rs` is what the journal has of it, `mark.rs` what
//!   the server has: where a restore stands is told from that alone. `line.rs` is a connection. `neighbours.rs`: other nodes.
//! - Before (`plan.rs`, `archived.rs`, `changes.rs`): which databases, and what would refuse them.
//! - Method *swap* (`swap/`): new keys are made in databases that are empty, and `SWAPDB` has them and the live ones change places, all
//!   pairs in one transaction, with the functions (`functions.rs`).
//! - Method *rename* (`rename/`): new keys are made in the live database under other names (`place.rs`), and renamed one after the other.
//! - In a cluster (`cluster/`, `lines.rs`): the same, slot by slot at each primary.
//! - Load (`load.rs`, `room.rs`): keys in transactions of some hundreds, each of which counts them in the mark. So what is ours can be
//!   told from what somebody else has written there, whatever is cut off.
//! - Links (`links.rs`): what is staged answers for itself.

mod archived;
mod begin;
mod changes;
mod cluster;
mod durable;
mod entry;
mod extras;
mod followers;
mod functions;
mod lifetime;
mod line;
mod lines;
mod links;
mod load;
mod mark;
mod neighbours;
mod noted;
mod permitted;
mod place;
mod plan;
mod prepare;
mod rename;
mod room;
mod send;
mod staging;
mod swap;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dumprestore_driver::{ArchivedNode, Cancel, Error, LedgerEntry, Result, StageContext, Token};

use crate::config::Setup;

pub(crate) use changes::changes;
pub(crate) use mark::MARK;
pub(crate) use place::OURS;

use entry::{Entry, Kept, Pair, Staged};
use line::{Count, Line};
use mark::{Fields, Standing, standing};
pub(crate) use neighbours::Neighbour;

/// Where a restore comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It was planned in this run.
    Planned,
    /// It was picked up from the journal.
    Resumed,
}

/// A restore of the databases of one node.
#[derive(Clone)]
pub(crate) struct Restore {
    setup: Setup,
    entry: Entry,
    origin: Origin,
    cancel: Cancel,
    /// Not there after a crash, nor where nothing is loaded.
    archived: Option<Arc<dyn ArchivedNode>>,
    shared: Arc<Shared>,
    /// Has other nodes of the run keep out of our live databases.
    _neighbour: Arc<Neighbour>,
}

/// What its steps, each on a thread of its own, tell each other.
#[derive(Default)]
struct Shared {
    loaded: Mutex<Loaded>,
    ledger: Mutex<Vec<LedgerEntry>>,
    /// How many keys the server had evicted before the first new one was made.
    evicted: OnceLock<u64>,
}

/// What was read from the archive.
#[derive(Default, Clone)]
struct Loaded {
    /// By live database.
    counts: BTreeMap<u64, Made>,
    /// Keys that are in the archive and had expired when it was their turn.
    expired: u64,
    /// Keys that are in the archive, and that the node's patterns leave out.
    left_out: u64,
    functions: Vec<Vec<u8>>,
}

/// Keys that were made in one database.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Made {
    count: Count,
    /// Of those that don't expire: as many as hold fields that do.
    fading: u64,
}

impl Restore {
    /// Picks up what a crash has left.
    pub(crate) fn of_token(setup: &Setup, token: &Token, cx: StageContext) -> Result<Self> {
        Ok(Self::new(setup, Entry::parse(token)?, Origin::Resumed, cx))
    }

    fn new(setup: &Setup, entry: Entry, origin: Origin, cx: StageContext) -> Self {
        let live = entry.pairs.iter().map(|pair| pair.live).collect();
        let neighbour = Neighbour::enter(&entry.run, &entry.server, live);
        Self {
            setup: setup.clone(),
            entry,
            origin,
            cancel: cx.cancel,
            archived: None,
            shared: Arc::default(),
            _neighbour: Arc::new(neighbour),
        }
    }

    /// A connection for work that ends when the run is to stop.
    fn line(&self) -> Result<Line> {
        Line::open(&self.setup.target, &self.cancel)
    }

    /// A connection for work that must be done whatever the user wishes.
    fn steadfast_line(&self) -> Result<Line> {
        Line::open(&self.setup.target, &Cancel::default())
    }

    fn tell(&self, entry: LedgerEntry) {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn loaded(&self) -> Loaded {
        self.shared.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fields(&self, pair: &Pair) -> Fields {
        Fields::of(&self.entry.run, pair.live)
    }

    /// Where each database stands.
    fn standings(&self, line: &mut Line) -> Result<Vec<(Pair, Standing)>> {
        let pairs = self.entry.pairs.iter();
        pairs
            .map(|pair| {
                let standing = standing(line, &self.fields(pair), pair.live, &self.entry.candidates(pair))?;
                Ok((*pair, standing))
            })
            .collect()
    }

    /// The run that has kept what is put back, if that is what is done.
    fn kept_by(&self) -> Option<&str> {
        match &self.entry.staged {
            Staged::Made => None,
            Staged::Kept { run } => Some(run),
        }
    }
}

/// Does what blocks, where it may.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::defect("a step of a restore ended early").with_source(error))?
}

/// Drops what an earlier restore has kept. Twice is once.
pub(crate) async fn discard(setup: &Setup, kept: &Token) -> Result<()> {
    let (setup, kept) = (setup.clone(), Kept::parse(kept)?);
    aside(move || swap::discard(&setup, &kept)).await
}
