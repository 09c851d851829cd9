//! Whether the references of one node resolve in another: on the pins of a dump, and in what a restore has staged.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use dumprestore_driver::{Cancel, Edge, Error, KeySink, Reference, Result, Source, Staging, Unresolved, Why};
use tokio::sync::RwLock;

/// References are resolved in batches: a round trip for each would be slow, all at once could be too many.
const BATCH: usize = 4096;
/// Bytes of a batch: keys may be long.
const BATCH_BYTES: usize = 1 << 20;
/// So many bytes of references are remembered at a time, so as not to resolve the same one twice.
const REMEMBERED: usize = 6 << 20;
/// So many bytes of unresolved references are kept, of all edges together; what is beyond them is counted. That is
/// some 25,000 of ordinary length.
const KEPT: usize = 8 << 20;

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

/// What the check of one edge on one cut found.
#[derive(Debug, Default)]
pub(crate) struct EdgeCheck {
    /// References that were read.
    pub(crate) read: u64,
    /// Those that do not resolve, up to a bound.
    pub(crate) unresolved: Vec<Unresolved>,
    /// How many more do not resolve.
    pub(crate) beyond: u64,
}

impl EdgeCheck {
    /// What was found, all of it.
    #[cfg(test)]
    pub(crate) fn found(read: u64, unresolved: Vec<Unresolved>) -> Self {
        Self { read, unresolved, beyond: 0 }
    }

    pub(crate) fn dangling(&self) -> u64 {
        self.unresolved.len() as u64 + self.beyond
    }

    fn add(&mut self, unresolved: Vec<Unresolved>, room: &mut Room) {
        for bad in unresolved {
            if room.take(&bad) { self.unresolved.push(bad) } else { self.beyond += 1 }
        }
    }

    /// Takes out what is to be asked about once more: not what no referent can mend.
    pub(crate) fn take(&mut self, room: &mut Room) -> Vec<Reference> {
        let taken = std::mem::take(&mut self.unresolved);
        let (stays, taken): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|bad| matches!(bad.why, Why::Malformed(_)));
        self.unresolved = stays;
        taken.iter().for_each(|bad| room.give_back(bad));
        taken.into_iter().map(|bad| bad.reference).collect()
    }

    /// Puts the answers in the place of what was taken out.
    pub(crate) fn put_back(&mut self, again: Vec<Unresolved>, room: &mut Room) {
        self.add(again, room);
    }
}

/// Room in memory for unresolved references, in bytes.
#[derive(Debug)]
pub(crate) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(KEPT)
    }
}

impl Room {
    fn take(&mut self, bad: &Unresolved) -> bool {
        let left = self.0.checked_sub(weight(bad));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    fn give_back(&mut self, bad: &Unresolved) {
        self.0 += weight(bad);
    }
}

fn weight(bad: &Unresolved) -> usize {
    let text = match &bad.why {
        Why::Unreadable(text) | Why::Malformed(text) => text.len(),
        Why::Missing | Why::Differs(_) | Why::Unsettled => 0,
    };
    let part = bad.part.as_ref().map_or(0, |part| part.name.as_str().len());
    size_of::<Unresolved>() + bad.reference.key.as_bytes().len() + text + part
}

/// Reads all references of an edge and has the referent resolve them.
pub(crate) async fn check(
    edge: &Edge,
    from: &LinkEnd,
    to: &LinkEnd,
    room: &mut Room,
    cancel: &Cancel,
) -> Result<EdgeCheck> {
    let (sender, receiver) = sync_channel(4);
    let reading = {
        let (edge, from, cancel) = (edge.clone(), from.clone(), cancel.clone());
        tokio::task::spawn_blocking(move || read(&edge, &from, &cancel, sender))
    };
    let resolving = {
        let (within, to, cancel) = (edge.within.clone(), to.clone(), cancel.clone());
        let mut room = Room(room.0);
        tokio::task::spawn_blocking(move || {
            resolve_all(within.as_deref(), &to, &mut room, &cancel, &receiver).map(|check| (check, room))
        })
    };
    let panicked = |error| Error::defect("a driver panicked").with_source(error);
    let read = reading.await.map_err(panicked)?.map_err(|error| error.with_node(&edge.from));
    let checked = resolving.await.map_err(panicked)?.map_err(|error| error.with_node(&edge.to));
    // If resolving failed, reading did as well, for nobody listened: the first cause is the one to tell.
    let (mut checked, left) = checked?;
    *room = left;
    checked.read = read?;
    Ok(checked)
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
    let answered = asked.await.map_err(|error| Error::defect("a driver panicked").with_source(error))?;
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

fn resolve_all(
    within: Option<&str>,
    to: &LinkEnd,
    room: &mut Room,
    cancel: &Cancel,
    batches: &Receiver<Batch>,
) -> Result<EdgeCheck> {
    let runtime = tokio::runtime::Handle::current();
    let mut check = EdgeCheck::default();
    while let Ok(batch) = batches.recv() {
        cancel.check()?;
        check.add(batch.malformed, room);
        check.add(runtime.block_on(to.resolve(within, &batch.references))?, room);
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::{Part, PartName};

    use super::*;

    fn bad(at: usize, length: usize) -> Unresolved {
        let key = format!("{at:0length$}");
        let part = Part::new(PartName::new(format!("files/{key}")).unwrap());
        Unresolved::new(Reference::to(key), Why::Missing).with_part(part)
    }

    #[test]
    fn as_many_unresolved_references_are_kept_as_there_is_room_for_and_all_are_counted() {
        for length in [10, 1000] {
            let (mut room, mut checks) = (Room::default(), [EdgeCheck::default(), EdgeCheck::default()]);
            for at in 0..30 {
                let batch = (0..BATCH).map(|one| bad(at * BATCH + one, length)).collect();
                checks[at % 2].add(batch, &mut room);
            }
            let held: usize = checks.iter().flat_map(|check| &check.unresolved).map(weight).sum();
            assert!(held <= KEPT && held + 3 * length > KEPT * 9 / 10, "{held}");
            assert_eq!(checks.iter().map(EdgeCheck::dangling).sum::<u64>(), 30 * BATCH as u64);
            assert!(checks.iter().all(|check| check.beyond > 0));
        }
    }

    #[test]
    fn what_resolves_when_asked_once_more_makes_room() {
        let (mut room, mut check) = (Room::default(), EdgeCheck::default());
        check.add((0..30 * BATCH).map(|at| bad(at, 10)).collect(), &mut room);
        let (kept, beyond) = (check.unresolved.len(), check.beyond);
        assert_eq!(check.take(&mut room).len(), kept);
        assert_eq!(room.0, KEPT);
        check.put_back(vec![bad(0, 10)], &mut room);
        assert_eq!(check.dangling(), 1 + beyond);
    }

    #[test]
    fn what_no_referent_can_mend_is_not_asked_about_again() {
        let (mut room, mut check) = (Room::default(), EdgeCheck::default());
        let malformed = Unresolved::new(Reference::to("a"), Why::Malformed("no sha256".into()));
        check.add(vec![malformed, bad(0, 10)], &mut room);
        assert_eq!(check.take(&mut room).len(), 1);
        check.put_back(Vec::new(), &mut room);
        assert_eq!(check.dangling(), 1);
    }

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
