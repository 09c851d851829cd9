//! Finds a flipped byte anywhere.
//!
//! Opening has compared all bytes from the manifest on. What is left is the digest of all bytes before it, and
//! the digest of each part's content, which names the entry and proves that it can be decompressed.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Part;
use crate::reader::range::Stretch;
use crate::reader::{Archive, Parts};
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How an archive is verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Threads that read parts, beside the one that reads the whole file. All the machine's by default.
    pub workers: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { workers: thread::available_parallelism().map_or(1, NonZero::get) }
    }
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes done, of the file and of content.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// An archive of which every byte is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Parts read.
    pub parts: u64,
    /// Bytes of content in them.
    pub content: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// As many parts are taken from the queue at a time.
const BATCH: usize = 32;

/// The parts that are still to be read.
struct Queue {
    node: usize,
    parts: Option<Parts>,
}

struct Run<'a> {
    archive: &'a Archive,
    progress: &'a (dyn Fn(Progress) + Sync),
    cancelled: &'a (dyn Fn() -> bool + Sync),
    done: AtomicU64,
    total: u64,
    stop: AtomicBool,
    /// None if no parts are to be read.
    queue: Option<Mutex<Queue>>,
    /// The first error that names an entry, else the first.
    error: Mutex<Option<Error>>,
}

impl Archive {
    /// Reads the whole archive and compares every byte with what the manifest says, directly or by digest.
    ///
    /// `progress` is called from several threads, about once for each 256 KiB; `cancelled` as often, and
    /// once it says true the call ends with [`ErrorKind::Cancelled`].
    pub fn verify(
        &self,
        options: &VerifyOptions,
        progress: &(dyn Fn(Progress) + Sync),
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Verified> {
        self.verify_parts(Some(Queue { node: 0, parts: None }), options, progress, cancelled)
    }

    /// Compares the digest of all bytes, and decompresses nothing: as sure to find a changed byte as
    /// [`verify`](Self::verify), sooner, but without the name of the entry that it is in.
    pub fn verify_bytes(
        &self,
        progress: &(dyn Fn(Progress) + Sync),
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Verified> {
        self.verify_parts(None, &VerifyOptions::default(), progress, cancelled)
    }

    fn verify_parts(
        &self,
        queue: Option<Queue>,
        options: &VerifyOptions,
        progress: &(dyn Fn(Progress) + Sync),
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Verified> {
        let manifest = self.manifest();
        let lists = if queue.is_some() { &self.0.lists[..] } else { &[] };
        let parts: u64 = lists.iter().map(|list| list.totals.parts).sum();
        let content = lists.iter().fold(0u64, |sum, list| sum.saturating_add(list.totals.size));
        let run = Run {
            archive: self,
            progress,
            cancelled,
            done: AtomicU64::new(0),
            total: content.saturating_add(manifest.preceding.bytes),
            stop: AtomicBool::new(false),
            queue: queue.map(Mutex::new),
            error: Mutex::new(None),
        };
        thread::scope(|scope| {
            for _ in 0..options.workers.clamp(1, usize::try_from(parts).unwrap_or(usize::MAX).max(1)) {
                scope.spawn(|| run.note(run.read_parts()));
            }
            run.note(run.compare_digest());
        });
        match run.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(Verified { parts, content, bytes: self.bytes() }),
        }
    }
}

impl Run<'_> {
    fn note(&self, result: Result<()>) {
        let Err(error) = result else { return };
        // A wrong digest of the whole leaves the parts to be read: they may say where.
        if error.entry().is_some() || error.kind() != ErrorKind::Damaged {
            self.stop.store(true, Ordering::Relaxed);
        }
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let better = first.as_ref().is_none_or(|first| first.entry().is_none() && error.entry().is_some());
        if better {
            *first = Some(error);
        }
    }

    /// False if there is no point in going on.
    fn advance(&self, bytes: usize) -> Result<bool> {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        (self.progress)(Progress { done, total: self.total });
        if (self.cancelled)() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        Ok(!self.stop.load(Ordering::Relaxed))
    }

    /// The next parts with the indices of their nodes; none at the end.
    fn next_parts(&self) -> Result<Vec<(usize, Part)>> {
        let Some(queue) = &self.queue else { return Ok(Vec::new()) };
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        while batch.len() < BATCH && queue.node < self.archive.0.lists.len() {
            let node = queue.node;
            let parts = match &mut queue.parts {
                Some(parts) => parts,
                none => none.insert(Parts::of(self.archive.0.clone(), node, 0)?),
            };
            match parts.next() {
                Some(part) => batch.push((node, part?)),
                None => *queue = Queue { node: node + 1, parts: None },
            }
        }
        Ok(batch)
    }

    fn read_parts(&self) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let batch = self.next_parts()?;
            if batch.is_empty() {
                return Ok(());
            }
            for (node, part) in batch {
                let mut reader = self.archive.read(&self.archive.manifest().nodes[node].path, &part)?;
                loop {
                    let read = reader.read(&mut buffer)?;
                    if !self.advance(read)? {
                        return Ok(());
                    }
                    if read == 0 {
                        break;
                    }
                }
            }
        }
    }

    fn compare_digest(&self) -> Result<()> {
        let preceding = &self.archive.manifest().preceding;
        let mut stretch = Stretch { file: &*self.archive.0.file, at: 0, left: preceding.bytes };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = stretch.read(&mut buffer).map_err(|e| Error::io("reading the archive", e))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            if !self.advance(read)? {
                return Ok(());
            }
        }
        if Digest(hash.finalize().into()) != preceding.sha256 {
            let place = if self.queue.is_some() {
                ", though all content is sound: the damage is in an entry that was superseded or abandoned, or in \
                 bits that do not matter"
            } else {
                ""
            };
            let bytes = preceding.bytes;
            let message = format!("the SHA-256 of the {bytes} bytes before `manifest.json` differs{place}");
            return Err(Error::damaged(message));
        }
        Ok(())
    }
}
