//! Whether the references of one node resolve in another: on the pins of a dump, and in what a restore has staged.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Cancel, Edge, Error, KeySink, Reference, Result, Source, Staging, Unresolved};
use tokio::sync::RwLock;
use tokio::task::{JoinError, JoinHandle};

use crate::edge_check::weight;
pub(crate) use crate::edge_check::{EdgeCheck, Prints, Room};

/// References are resolved in batches: a round trip for each would be slow, all at once could be too many.
const BATCH: usize = 4096;
/// Bytes of a batch: keys may be long.
const BATCH_BYTES: usize = 1 << 20;
/// So many bytes of references are remembered at a time, so as not to resolve the same one twice.
const REMEMBERED: usize = 6 << 20;

/// One end of a reference: what is pinned, or what is staged.
#[derive(Clone)]
pub(crate) enum LinkEnd {
    Source(Arc<RwLock<Box<dyn Source>>>),
    Staging(Arc<RwLock<Box<dyn Staging>>>),
}

impl LinkEnd {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        match self {
            Self::Source(source) => source.read().await.references(edge, keys).await,
            Self::Staging(staging) => staging.read().await.references(edge, keys).await,
        }
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        match self {
            Self::Source(source) => source.read().await.resolve(within, references).await,
            Self::Staging(staging) => staging.read().await.resolve(within, references).await,
        }
    }
}

/// Reads all references of an edge and has the referent resolve them.
pub(crate) async fn check(
    edge: &Edge,
    from: &LinkEnd,
    to: &LinkEnd,
    room: &mut Room,
    cancel: &Cancel,
) -> Result<EdgeCheck> {
    let (mut checking, mut check) = (Checking::begin(edge, from, to, cancel), EdgeCheck::default());
    checking.go_on(&mut check, room, IfFull::Count).await?;
    Ok(check)
}

/// What to do if there is no room for a reference that a late capture may mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfFull {
    /// Count it, and go on.
    Count,
    /// Stop, for room to be made.
    Stop,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All references were read.
    Done,
    /// There is no room for the next one.
    Full,
}

/// The check of an edge, under way. If it is given up, the reading ends by itself.
pub(crate) struct Checking {
    edge: Edge,
    to: LinkEnd,
    cancel: Cancel,
    reading: JoinHandle<Result<u64>>,
    batches: Arc<Mutex<Receiver<Batch>>>,
    /// What the last batch has left.
    answered: std::vec::IntoIter<Unresolved>,
    /// What there was no room for.
    waiting: Option<Unresolved>,
}

impl Checking {
    /// Begins to read.
    pub(crate) fn begin(edge: &Edge, from: &LinkEnd, to: &LinkEnd, cancel: &Cancel) -> Self {
        let (sender, receiver) = sync_channel(4);
        let reading = {
            let (edge, from, cancel) = (edge.clone(), from.clone(), cancel.clone());
            tokio::task::spawn_blocking(move || read(&edge, &from, &cancel, sender))
        };
        Self {
            edge: edge.clone(),
            to: to.clone(),
            cancel: cancel.clone(),
            reading,
            batches: Arc::new(Mutex::new(receiver)),
            answered: Vec::new().into_iter(),
            waiting: None,
        }
    }

    /// Goes on to the end, or for as long as there is room. To be called again only after [`Progress::Full`].
    pub(crate) async fn go_on(
        &mut self,
        check: &mut EdgeCheck,
        room: &mut Room,
        if_full: IfFull,
    ) -> Result<Progress> {
        // Whether room was made for it or not: each turn gets further.
        self.waiting.take().into_iter().for_each(|bad| check.add(bad, room));
        loop {
            for bad in self.answered.by_ref() {
                if if_full == IfFull::Stop && room.is_full_for(&bad) {
                    self.waiting = Some(bad);
                    return Ok(Progress::Full);
                }
                check.add(bad, room);
            }
            match self.next_batch().await {
                Ok(Some(answered)) => self.answered = answered.into_iter(),
                Ok(None) => break,
                Err(error) => {
                    // Nobody listens any more: so the reading fails as well, and the first cause is the one to tell.
                    self.batches = Arc::new(Mutex::new(sync_channel(0).1));
                    let _ = (&mut self.reading).await;
                    return Err(error.with_node(&self.edge.to));
                }
            }
        }
        let read = (&mut self.reading).await.map_err(panicked)?;
        check.read = read.map_err(|error| error.with_node(&self.edge.from))?;
        Ok(Progress::Done)
    }

    /// What does not resolve of the next batch; none after the last.
    async fn next_batch(&self) -> Result<Option<Vec<Unresolved>>> {
        let (batches, to, cancel) = (self.batches.clone(), self.to.clone(), self.cancel.clone());
        let within = self.edge.within.clone();
        let answering = tokio::task::spawn_blocking(move || {
            let received = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = received else { return Ok(None) };
            cancel.check()?;
            let mut unresolved = batch.malformed;
            let runtime = tokio::runtime::Handle::current();
            unresolved.extend(runtime.block_on(to.resolve(within.as_deref(), &batch.references))?);
            Ok(Some(unresolved))
        });
        answering.await.map_err(panicked)?
    }
}

fn panicked(error: JoinError) -> Error {
    Error::defect("a driver panicked").with_source(error)
}

/// Asks the referent once more about single references.
pub(crate) async fn resolve_again(
    edge: &Edge,
    references: Vec<Reference>,
    to: &LinkEnd,
) -> Result<Vec<Unresolved>> {
    let (within, to, node) = (edge.within.clone(), to.clone(), edge.to.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(to.resolve(within.as_deref(), &references))
    });
    let answered = asked.await.map_err(panicked)?;
    answered.map_err(|error| error.with_node(&node))
}

fn read(edge: &Edge, from: &LinkEnd, cancel: &Cancel, sender: SyncSender<Batch>) -> Result<u64> {
    let runtime = tokio::runtime::Handle::current();
    let mut batches = Batches::new(sender);
    let mut take = |row| {
        cancel.check()?;
        match row {
            Ok(reference) => batches.take(reference),
            Err(malformed) => batches.take_malformed(malformed),
        }
    };
    runtime.block_on(from.references(edge, &mut KeySink::of_all(&mut take)))?;
    batches.send()?;
    Ok(batches.read)
}

/// Rows that were read.
#[derive(Default)]
struct Batch {
    references: Vec<Reference>,
    /// Those that can't be references.
    malformed: Vec<Unresolved>,
}

struct Batches {
    batch: Batch,
    /// Of the batch.
    bytes: usize,
    seen: HashSet<Reference>,
    /// Bytes of what was seen.
    remembered: usize,
    sender: SyncSender<Batch>,
    read: u64,
}

impl Batches {
    fn new(sender: SyncSender<Batch>) -> Self {
        Self { batch: Batch::default(), bytes: 0, seen: HashSet::new(), remembered: 0, sender, read: 0 }
    }

    fn take(&mut self, reference: Reference) -> Result<()> {
        self.read += 1;
        if self.remembered >= REMEMBERED {
            self.seen.clear();
            self.remembered = 0;
        }
        if self.seen.insert(reference.clone()) {
            let bytes = size_of::<Reference>() + reference.key.as_bytes().len();
            self.bytes += bytes;
            self.remembered += bytes;
            self.batch.references.push(reference);
        }
        self.send_if_full()
    }

    fn take_malformed(&mut self, malformed: Unresolved) -> Result<()> {
        self.read += 1;
        self.bytes += weight(&malformed);
        self.batch.malformed.push(malformed);
        self.send_if_full()
    }

    fn send_if_full(&mut self) -> Result<()> {
        let is_full = self.batch.references.len() >= BATCH || self.bytes >= BATCH_BYTES;
        if is_full { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        // Nobody listens any more only if resolving failed, and that error is the one that is told.
        self.sender.send(batch).map_err(|_| Error::cancelled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_long_keys_are_short() {
        let (sender, receiver) = sync_channel(100);
        let mut batches = Batches::new(sender);
        for at in 0..300 {
            // Each comes twice in a row, and is nearly always remembered.
            (0..2).for_each(|_| batches.take(Reference::to(format!("{at:050000}{at:050000}"))).unwrap());
            assert!(batches.remembered <= REMEMBERED + 200_000);
        }
        batches.send().unwrap();
        assert_eq!(batches.read, 600);
        drop(batches);
        let sent: Vec<_> = receiver.iter().collect();
        assert!(sent.iter().all(|batch| batch.references.len() <= 12));
        assert!((300..310).contains(&sent.iter().map(|batch| batch.references.len()).sum::<usize>()));
    }
}
