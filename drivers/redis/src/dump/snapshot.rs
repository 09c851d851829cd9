//! A server, or the primaries of a cluster, that are being dumped.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dumprestore_driver::{
    CutContext, CutMode, Dumped, Edge, Error, Facts, KeySink, LedgerEntry, Links, OpenContext, Part,
    PartStream, PartWriter, Reference, Result, Source, Unresolved, async_trait, part_stream,
};
use futures_util::future::try_join_all;

use super::arrival::{Again, Begun, receive};
use super::collect::{self, Collected, Collecting};
use super::hold::Hold;
use super::pin::{Asked, Asking, ask};
use super::reading::{Incoming, Reading, Waited, apart, facts, primaries};
use super::scan::{self, Scanned};
use super::shard::{Layout, Shard};
use super::told::Tally;
use super::transfer::Transfer;
use crate::config::{Mode, Setup};
use crate::links::Declared;

/// How often a save may be one of another instant, or fail.
const TRIES: u32 = 5;

/// One dump, from `open` to `release`.
pub(crate) struct Snapshot {
    setup: Setup,
    declared: Declared,
    cx: OpenContext,
    layout: Arc<Layout>,
    stage: Mutex<Stage>,
    /// Each keeps writers of a server waiting.
    holds: Vec<Hold>,
    facts: Mutex<Facts>,
    ledger: Mutex<Vec<LedgerEntry>>,
    /// What was read key by key so far.
    scanned: Mutex<(Tally, BTreeSet<u64>)>,
}

/// How far it has come.
enum Stage {
    /// Nothing is held.
    Idle,
    /// The servers make a save.
    Pinned(Vec<Asked>),
    /// The saves arrive.
    Arrives(Box<Reading>),
    /// All was read, into these parts.
    Read(Vec<Part>, Box<Collected>),
}

impl Snapshot {
    /// Asks the server who it is. What references are declared must be known by now: the data go by only once.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if a reference is about what is not dumped; what the
    /// server says, if it can't be reached.
    pub(crate) async fn open(setup: Setup, cx: OpenContext, declared: Declared) -> Result<Self> {
        collect::check(&setup, &declared)?;
        let layout = Arc::new(layout(&setup, &cx).await?);
        Ok(Self {
            setup,
            declared,
            cx,
            layout,
            stage: Mutex::new(Stage::Idle),
            holds: Vec::new(),
            facts: Mutex::default(),
            ledger: Mutex::default(),
            scanned: Mutex::default(),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Stage {
        std::mem::replace(&mut *self.stage(), Stage::Idle)
    }

    fn note(&self, facts: Facts) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).extend(facts);
    }

    /// Has a server begin a save, on a thread that may block.
    async fn ask(&self, shard: usize, way: Option<Transfer>, cut: Option<SystemTime>) -> Result<Asked> {
        let (layout, cancel) = (self.layout.clone(), self.cx.cancel.clone());
        blocking(move || ask(shard_of(&layout, shard)?, &Asking { way, cut }, &cancel)).await
    }

    /// Waits until what was asked for arrives. What is of another instant is asked for again, unless it must be that of the cut.
    async fn arrival(&self, shard: usize, mut asked: Asked) -> Result<Incoming> {
        for again in 0..TRIES {
            let without_file = asked.without_file;
            let (begun, mut waited) = blocking(move || {
                let waited = Waited::of(&asked);
                receive(asked).map(|begun| (begun, waited))
            })
            .await?;
            let (way, error) = match begun {
                Begun::Ours(arrival) => {
                    waited.begins(&arrival, again);
                    return Ok(Incoming { shard, arrival: *arrival, waited });
                }
                Begun::Again(Again::NotOurs(error)) => (None, error),
                // Perhaps it has no room for a file.
                Begun::Again(Again::Failed(error)) => match without_file {
                    Some(way) if waited.transfer == Transfer::File => (Some(way), error),
                    _ => return Err(error),
                },
            };
            if again + 1 == TRIES {
                return Err(error);
            }
            if self.declared != Declared::default() {
                return Err(error.with_context(
                    "not asked for again",
                    "references of the set are certified as of the cut, which is over",
                ));
            }
            asked = self.ask(shard, way, None).await?;
        }
        Err(Error::defect("a save is asked for without end"))
    }

    fn dump_arrival(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<u64> {
        // One after the other, as what is gathered of references goes through all.
        let mut stage = self.stage();
        let Stage::Arrives(reading) = &mut *stage else {
            return Err(Error::defect("a part of a `redis` source can be dumped once only"));
        };
        let rows = reading.read(&self.layout.shards, part, &self.cx.cancel, out)?;
        if reading.is_over()
            && let Stage::Arrives(reading) = std::mem::replace(&mut *stage, Stage::Idle)
        {
            self.layout.agree(&self.cx.cancel)?;
            let told = reading.told();
            let (parts, collected, tally, spare) = reading.finish()?;
            *stage = Stage::Read(parts, Box::new(collected));
            self.tell(&tally, &spare, told);
        }
        Ok(rows)
    }

    fn dump_scan(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<u64> {
        let meant = self.layout.shards.iter().find(|shard| shard.part == part.name.as_str());
        let shard = meant.ok_or_else(|| Error::defect("a part is dumped that the source does not have"))?;
        self.layout.agree(&self.cx.cancel)?;
        let Scanned { facts, tally, spare } = scan::dump(shard, &self.cx, out)?;
        self.layout.agree(&self.cx.cancel)?;
        let rows = tally.rows();
        let mut all = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = all.0 == Tally::default();
        all.0.add(tally);
        all.1.extend(spare);
        if is_first {
            self.note(facts);
        }
        if self.layout.cluster.is_some() {
            self.note(Facts::from([("primaries".to_owned(), primaries(&self.layout))]));
        }
        self.tell(&all.0, &all.1, Vec::new());
        Ok(rows)
    }

    fn tell(&self, tally: &Tally, spare: &BTreeSet<u64>, told: Vec<LedgerEntry>) {
        self.note(tally.facts(&self.setup));
        let mut ledger = tally.ledger(&self.setup, spare);
        ledger.extend(told);
        ledger.extend(apart(&self.layout, self.facts().get("cut_within_ms").map(String::as_str)));
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }

    fn with_collected<T>(&self, with: impl FnOnce(&Collected) -> Result<T>) -> Result<T> {
        match &*self.stage() {
            Stage::Read(_, collected) => with(collected),
            _ => Err(Error::defect("references of a `redis` source are asked for before it was read")),
        }
    }

    /// Keeps writers of all servers waiting.
    async fn hold(&mut self) -> Result<()> {
        for shard in &self.layout.shards {
            let (target, cancel) = (shard.setup.target.clone(), self.cx.cancel.clone());
            self.holds.push(blocking(move || Hold::begin(&target, &cancel)).await?);
        }
        Ok(())
    }
}

async fn layout(setup: &Setup, cx: &OpenContext) -> Result<Layout> {
    let (setup, cx) = (setup.clone(), cx.clone());
    blocking(move || Layout::of(&setup, &cx)).await
}

fn shard_of(layout: &Layout, at: usize) -> Result<&Shard> {
    layout.shards.get(at).ok_or_else(|| Error::defect("there is no such server"))
}

/// On a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::defect("a thread of a dump has ended").with_source(error))?
}

#[async_trait]
impl Links for Snapshot {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        self.with_collected(|collected| collected.references(edge, keys))
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        self.with_collected(|collected| collected.unresolved(within, references))
    }
}

#[async_trait]
impl Source for Snapshot {
    async fn capture(&mut self) -> Result<PartStream> {
        let Stage::Pinned(all) = self.take() else {
            return Err(Error::defect("a `redis` source is captured without being pinned"));
        };
        let mut incoming = Vec::new();
        for (shard, asked) in all.into_iter().enumerate() {
            incoming.push(self.arrival(shard, asked).await?);
        }
        let (layout, cancel) = (self.layout.clone(), self.cx.cancel.clone());
        blocking(move || layout.agree(&cancel)).await?;
        self.note(facts(&self.layout, &incoming));
        let collecting = Collecting::new(&self.setup, &self.declared, &self.cx.scratch);
        *self.stage() = Stage::Arrives(Box::new(Reading::new(incoming, collecting)));
        let parts = self.layout.shards.iter().map(Shard::part).collect::<Result<Vec<_>>>()?;
        Ok(part_stream(parts))
    }

    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        self.unpin().await?;
        if self.layout.cluster.is_some() {
            // Primaries may be others than at the last cut.
            self.layout = Arc::new(layout(&self.setup, &self.cx).await?);
        }
        if cut.mode == CutMode::Locked {
            self.hold().await?;
        }
        if self.setup.mode == Mode::Replication {
            let shards = 0..self.layout.shards.len();
            let all = try_join_all(shards.map(|shard| self.ask(shard, None, Some(cut.not_before)))).await?;
            *self.stage() = Stage::Pinned(all);
        }
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        if self.holds.is_empty() {
            return Ok(());
        }
        let holds = std::mem::take(&mut self.holds);
        // All are let go, even if one was lost.
        let ended: Vec<_> = blocking(move || Ok(holds.into_iter().map(Hold::end).collect())).await?;
        let waited = ended.into_iter().collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default();
        self.note(Facts::from([("writers_waited_ms".to_owned(), waited.as_millis().to_string())]));
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.scanned.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        self.release().await
    }

    fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn parts(&mut self) -> Result<PartStream> {
        match (&*self.stage(), self.setup.mode) {
            (_, Mode::Scan) => {
                let parts = self.layout.shards.iter().map(Shard::part).collect::<Result<Vec<_>>>()?;
                Ok(part_stream(parts))
            }
            (Stage::Read(parts, _), Mode::Replication) => Ok(part_stream(parts.clone())),
            _ => Err(Error::defect("the parts of a `redis` source are asked for before it was read")),
        }
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let rows = match self.setup.mode {
            Mode::Scan => self.dump_scan(part, out)?,
            Mode::Replication => self.dump_arrival(part, out)?,
        };
        Ok(Dumped::Whole { rows: Some(rows) })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn release(&mut self) -> Result<()> {
        if !self.holds.is_empty() {
            let holds = std::mem::take(&mut self.holds);
            // That one was lost is of no interest any more.
            let _ = blocking(move || {
                drop(holds);
                Ok(())
            })
            .await;
        }
        // Ends the connection, and with it what the server does for us. The ledger is asked for at the end as well.
        drop(self.take());
        Ok(())
    }
}
