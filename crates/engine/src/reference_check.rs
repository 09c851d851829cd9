//! Whether the references of one node resolve in another: on the pins of a dump, and in what a restore has staged.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use dumprestore_driver::{Cancel, Edge, Error, KeySink, Reference, Result, Source, Staging, Unresolved};
use tokio::sync::RwLock;

/// References are resolved in batches: a round trip for each would be slow, all at once could be too many.
const BATCH: usize = 4096;
/// How many references are remembered at a time, so as not to resolve the same one twice.
const REMEMBERED: usize = 1 << 16;
/// More unresolved references than this are counted, not kept.
const KEPT: usize = 100_000;

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

    fn add(&mut self, unresolved: Vec<Unresolved>) {
        let room = KEPT.saturating_sub(self.unresolved.len());
        self.beyond += unresolved.len().saturating_sub(room) as u64;
        self.unresolved.extend(unresolved.into_iter().take(room));
    }

    /// Puts the answers of a second question in the place of those of the first.
    pub(crate) fn replace(&mut self, again: Vec<Unresolved>) {
        self.unresolved = again;
    }
}

/// Reads all references of an edge and has the referent resolve them.
pub(crate) async fn check(edge: &Edge, from: &LinkEnd, to: &LinkEnd, cancel: &Cancel) -> Result<EdgeCheck> {
    let (sender, receiver) = sync_channel(4);
    let reading = {
        let (edge, from, cancel) = (edge.clone(), from.clone(), cancel.clone());
        tokio::task::spawn_blocking(move || read(&edge, &from, &cancel, sender))
    };
    let resolving = {
        let (within, to, cancel) = (edge.within.clone(), to.clone(), cancel.clone());
        tokio::task::spawn_blocking(move || resolve_all(within.as_deref(), &to, &cancel, &receiver))
    };
    let panicked = |error| Error::defect("a driver panicked").with_source(error);
    let read = reading.await.map_err(panicked)?.map_err(|error| error.with_node(&edge.from));
    let checked = resolving.await.map_err(panicked)?.map_err(|error| error.with_node(&edge.to));
    // If resolving failed, reading did as well, for nobody listened: the first cause is the one to tell.
    let mut checked = checked?;
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

fn read(edge: &Edge, from: &LinkEnd, cancel: &Cancel, sender: SyncSender<Vec<Reference>>) -> Result<u64> {
    let runtime = tokio::runtime::Handle::current();
    let mut batches = Batches { batch: Vec::new(), seen: HashSet::new(), sender, read: 0 };
    let mut take = |reference| {
        cancel.check()?;
        batches.take(reference)
    };
    runtime.block_on(from.references(edge, &mut KeySink::new(&mut take)))?;
    batches.send()?;
    Ok(batches.read)
}

struct Batches {
    batch: Vec<Reference>,
    seen: HashSet<Reference>,
    sender: SyncSender<Vec<Reference>>,
    read: u64,
}

impl Batches {
    fn take(&mut self, reference: Reference) -> Result<()> {
        self.read += 1;
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        if self.seen.insert(reference.clone()) {
            self.batch.push(reference);
        }
        if self.batch.len() >= BATCH { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        // Nobody listens any more only if resolving failed, and that error is the one that is told.
        self.sender.send(batch).map_err(|_| Error::cancelled())
    }
}

fn resolve_all(
    within: Option<&str>,
    to: &LinkEnd,
    cancel: &Cancel,
    batches: &Receiver<Vec<Reference>>,
) -> Result<EdgeCheck> {
    let runtime = tokio::runtime::Handle::current();
    let mut check = EdgeCheck::default();
    while let Ok(batch) = batches.recv() {
        cancel.check()?;
        check.add(runtime.block_on(to.resolve(within, &batch))?);
    }
    Ok(check)
}
