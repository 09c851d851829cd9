//! A server that is being dumped.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dumprestore_driver::{
    CutContext, CutMode, Dumped, Edge, Error, Facts, KeySink, LedgerEntry, Links, OpenContext, Part,
    PartName, PartStream, PartWriter, Receipt, Reference, Result, Source, Unresolved, async_trait,
    part_stream,
};

use super::arrival::{Again, Arrival, Begun, receive};
use super::choice::Choice;
use super::collect::{self, Collected, Collecting};
use super::copy::copy;
use super::hold::Hold;
use super::neighbours::Neighbour;
use super::pin::{Asked, Asking, ask};
use super::scan::{self, Scanned};
use super::told::{CUT_AT, PART, Tally};
use super::transfer::Transfer;
use crate::config::{Mode, Setup};
use crate::connect::{Server, Session};
use crate::links::Declared;

/// How often a save may be one of another instant, or fail.
const TRIES: u32 = 5;

/// One dump, from `open` to `release`.
pub(crate) struct Snapshot {
    setup: Setup,
    declared: Declared,
    cx: OpenContext,
    /// Not in `mode: scan`.
    neighbour: Option<Arc<Neighbour>>,
    stage: Mutex<Stage>,
    /// Keeps writers waiting.
    hold: Option<Hold>,
    facts: Mutex<Facts>,
    ledger: Mutex<Vec<LedgerEntry>>,
}

/// How far it has come.
enum Stage {
    /// Nothing is held.
    Idle,
    /// The server makes a save.
    Pinned(Box<Asked>),
    /// The save arrives.
    Arrives(Box<Arrival>, Waited),
    /// All was read, into that part.
    Read(Receipt, u64, Box<Collected>),
}

impl Snapshot {
    /// Asks the server who it is. What references are declared must be known by now: the data go by only once.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if a reference is about what is not dumped; what the
    /// server says, if it can't be reached.
    pub(crate) async fn open(setup: Setup, cx: OpenContext, declared: Declared) -> Result<Self> {
        collect::check(&setup, &declared)?;
        let neighbour = match setup.mode {
            Mode::Scan => None,
            Mode::Replication => Some(Arc::new(neighbour(&setup, &cx).await?)),
        };
        Ok(Self {
            setup,
            declared,
            cx,
            neighbour,
            stage: Mutex::new(Stage::Idle),
            hold: None,
            facts: Mutex::default(),
            ledger: Mutex::default(),
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

    /// Has the server begin a save, on a thread that may block.
    async fn ask(&self, way: Option<Transfer>, cut: Option<SystemTime>) -> Result<Asked> {
        let Some(neighbour) = self.neighbour.clone() else {
            return Err(Error::defect("a save is asked for that nobody needs"));
        };
        let (setup, cancel) = (self.setup.clone(), self.cx.cancel.clone());
        blocking(move || ask(&setup, &Asking { way, cut }, &neighbour, &cancel)).await
    }

    /// Waits until what was asked for arrives. What is of another instant is asked for again, unless it must be that of the cut.
    async fn arrival(&self, mut asked: Asked) -> Result<(Box<Arrival>, Waited)> {
        for again in 0..TRIES {
            let without_file = asked.without_file;
            let (begun, mut was) = blocking(move || asked.receive()).await?;
            let (way, error) = match begun {
                Begun::Ours(arrival) => {
                    was.again = again;
                    was.cut_at = began_at(was.cut_at, &arrival);
                    self.note(facts(&was, &arrival));
                    return Ok((arrival, was));
                }
                Begun::Again(Again::NotOurs(error)) => (None, error),
                // Perhaps it has no room for a file.
                Begun::Again(Again::Failed(error)) => match without_file {
                    Some(way) if was.transfer == Transfer::File => (Some(way), error),
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
            asked = self.ask(way, None).await?;
        }
        Err(Error::defect("a save is asked for without end"))
    }

    fn dump_arrival(&self, arrival: Arrival, waited: &Waited, out: &mut PartWriter<'_>) -> Result<u64> {
        let mut collecting = Collecting::new(&self.setup, &self.declared, waited.cut_at, &self.cx.scratch);
        let choice = Choice { setup: &self.setup, spare: &waited.spare };
        let tally = copy(&choice, arrival, &mut collecting, &self.cx.cancel, out)?;
        let receipt = out.finish()?;
        let unfitting = collecting.unfitting();
        let collected = Box::new(collecting.finish()?);
        *self.stage() = Stage::Read(receipt, tally.rows(), collected);
        let mut ledger = tally.ledger(&waited.spare);
        ledger.extend(waited.told());
        ledger.extend(unfitting);
        Ok(self.tell(&tally, ledger))
    }

    fn dump_scan(&self, out: &mut PartWriter<'_>) -> Result<u64> {
        let Scanned { facts, tally, spare } = scan::dump(&self.setup, &self.cx, out)?;
        self.note(facts);
        let ledger = tally.ledger(&spare);
        Ok(self.tell(&tally, ledger))
    }

    /// Gives the number of keys.
    fn tell(&self, tally: &Tally, ledger: Vec<LedgerEntry>) -> u64 {
        self.note(tally.facts(&self.setup));
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
        tally.rows()
    }

    fn with_collected<T>(&self, with: impl FnOnce(&Collected) -> Result<T>) -> Result<T> {
        match &*self.stage() {
            Stage::Read(_, _, collected) => with(collected),
            _ => Err(Error::defect("references of a `redis` source are asked for before it was read")),
        }
    }
}

async fn neighbour(setup: &Setup, cx: &OpenContext) -> Result<Neighbour> {
    let (target, cancel, run) = (setup.target.clone(), cx.cancel.clone(), cx.run.clone());
    blocking(move || {
        let server = Server::of(&mut Session::open_for(&target, &cancel)?)?;
        Ok(Neighbour::enter(&run, &server.run_id))
    })
    .await
}

/// On a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::defect("a thread of a dump has ended").with_source(error))?
}

/// When the save began, in milliseconds since 1970: it says so itself, to the second.
fn began_at(asked_at: u64, arrival: &Arrival) -> u64 {
    let said = arrival.remark("ctime").and_then(|seconds| seconds.parse::<u64>().ok());
    match said.and_then(|seconds| seconds.checked_mul(1000)) {
        Some(said) => asked_at.max(said).min(said.saturating_add(999)),
        None => asked_at,
    }
}

fn facts(asked: &Waited, arrival: &Arrival) -> Facts {
    let mut facts = Facts::from([
        ("mode".to_owned(), "replication".to_owned()),
        ("server_version".to_owned(), asked.server.clone()),
        ("rdb_version".to_owned(), arrival.reader.version().to_string()),
        (CUT_AT.to_owned(), asked.cut_at.to_string()),
    ]);
    let way = match asked.transfer {
        Transfer::File => "file",
        Transfer::Stream { .. } => "stream",
    };
    facts.insert("transfer".to_owned(), way.to_owned());
    for (fact, remark) in [("replication_id", "repl-id"), ("replication_offset", "repl-offset")] {
        facts.extend(arrival.remark(remark).map(|value| (fact.to_owned(), value.to_owned())));
    }
    if asked.again > 0 {
        facts.insert("pinned_again".to_owned(), asked.again.to_string());
    }
    facts
}

/// What is left of what was asked for, once it arrives.
struct Waited {
    server: String,
    spare: BTreeSet<u64>,
    cut_at: u64,
    transfer: Transfer,
    /// How often it was asked for after the cut.
    again: u32,
    /// Whether the server was told to remove the file that it sends.
    removes_file: bool,
}

impl Waited {
    /// What a ledger must have of it.
    fn told(&self) -> Vec<LedgerEntry> {
        let mut told = Vec::new();
        if self.again > 0 {
            told.push(LedgerEntry::degrading(
                "the cut",
                "the server's save failed, or was of another instant, and the next one was begun after the cut: the keys are of \
                 one instant, but not of that of the other nodes",
            ));
        }
        if self.removes_file {
            told.push(LedgerEntry::note(
                "rdb-del-sync-files",
                "was set to `yes` at the server, and stays so: else it would keep the file of this dump, and load it at its next start",
            ));
        }
        told
    }
}

impl Asked {
    fn receive(self) -> Result<(Begun, Waited)> {
        let (spare, server) = (self.spare.clone(), self.server.title());
        let waited = Waited {
            server,
            spare,
            cut_at: self.cut_at,
            transfer: self.transfer,
            again: 0,
            removes_file: self.removes_file,
        };
        receive(self).map(|begun| (begun, waited))
    }
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
        let asked = match self.take() {
            Stage::Pinned(asked) => *asked,
            _ => return Err(Error::defect("a `redis` source is captured without being pinned")),
        };
        let (arrival, waited) = self.arrival(asked).await?;
        *self.stage() = Stage::Arrives(arrival, waited);
        Ok(part_stream([Part::new(PartName::new(PART)?)]))
    }

    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        self.unpin().await?;
        if cut.mode == CutMode::Locked {
            let (target, cancel) = (self.setup.target.clone(), self.cx.cancel.clone());
            self.hold = Some(blocking(move || Hold::begin(&target, &cancel)).await?);
        }
        if self.setup.mode == Mode::Replication {
            *self.stage() = Stage::Pinned(Box::new(self.ask(None, Some(cut.not_before)).await?));
        }
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        if let Some(hold) = self.hold.take() {
            let waited = blocking(move || hold.end()).await?;
            self.note(Facts::from([("writers_waited_ms".to_owned(), waited.as_millis().to_string())]));
        }
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.release().await
    }

    fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let part = Part::new(PartName::new(PART)?);
        match (&*self.stage(), self.setup.mode) {
            (_, Mode::Scan) => Ok(part_stream([part])),
            (Stage::Read(receipt, rows, _), Mode::Replication) => Ok(part_stream([part
                .with_size(receipt.size)
                .with_captured(receipt.capture)
                .with_rows(Some(*rows))])),
            _ => Err(Error::defect("the parts of a `redis` source are asked for before it was read")),
        }
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let rows = match (self.take(), self.setup.mode) {
            _ if part.name.as_str() != PART => {
                return Err(Error::defect("a part is dumped that the source does not have")
                    .with_context("part", &part.name));
            }
            (_, Mode::Scan) => self.dump_scan(out)?,
            (Stage::Arrives(arrival, waited), Mode::Replication) => {
                self.dump_arrival(*arrival, &waited, out)?
            }
            _ => return Err(Error::defect("a part of a `redis` source can be dumped once only")),
        };
        Ok(Dumped::Whole { rows: Some(rows) })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn release(&mut self) -> Result<()> {
        if let Some(hold) = self.hold.take() {
            // That it was lost is of no interest any more.
            let _ = blocking(move || hold.end()).await;
        }
        // Ends the connection, and with it what the server does for us. The ledger is asked for at the end as well.
        drop(self.take());
        Ok(())
    }
}
