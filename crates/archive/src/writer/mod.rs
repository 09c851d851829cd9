//! Writing an archive: many parts at once, one order of bytes.

mod append;
mod deflate_join;
mod encode;
mod entries;
mod large;
mod listed;
mod marks;
mod part;
mod pool;
mod probe;
mod seal;
mod sink;

pub use listed::Listed;
pub use part::PartWriter;
pub use seal::Sealed;

use crate::digest::Digest;
use crate::entry_time::EntryTime;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Header;
use crate::manifest::Manifest;
use crate::method::{Compression, Method};
use crate::name::EntryName;
use crate::output::Output;
use crate::scratch::Scratch;
use append::{Appender, Entry};
use encode::Encoder;
use pool::{Buffers, Idle, Workers};
use sink::Sink;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use time::OffsetDateTime;

/// How an archive is written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriterOptions {
    /// Threads that compress the blocks of large parts; parts of up to one block are compressed by the thread
    /// that writes them. All the machine's by default.
    pub workers: usize,
    /// Bytes of content in a block: from 4 KiB to 64 MiB, 512 KiB by default. The writer needs about
    /// `(8 × workers + 4 × lanes + 16) × block_size` of memory at the most, whatever the size of the data.
    pub block_size: usize,
    /// The beginning of the run; its wall clock becomes the modification time of every entry.
    pub started: OffsetDateTime,
    /// A folder for files without a name, in which the records of entries are kept beyond some megabytes. Without
    /// one, or where no file can be made, they stay in memory: some 200 bytes for each. None by default.
    pub scratch: Option<PathBuf>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, NonZero::get),
            block_size: 512 << 10,
            started: OffsetDateTime::now_utc(),
            scratch: None,
        }
    }
}

/// An entry of the archive being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub(crate) u32);

impl EntryId {
    /// Its number, for callers with a type of their own for it.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The entry of that number. One that was never given out is refused where it is used.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The entry, for [`ArchiveWriter::list`] and [`ArchiveWriter::supersede`].
    pub id: EntryId,
    /// How it is stored.
    pub method: Method,
    /// Bytes of content.
    pub size: u64,
    /// Bytes as stored.
    pub stored: u64,
    /// The content's SHA-256.
    pub sha256: Digest,
}

/// Writes an archive. Share it by reference: parts can be written from several threads at once.
///
/// Dropping it without [`seal`](Self::seal) aborts: nothing is published.
pub struct ArchiveWriter {
    shared: Arc<Shared>,
    created: OffsetDateTime,
}

impl std::fmt::Debug for ArchiveWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWriter").field("created", &self.created).finish_non_exhaustive()
    }
}

/// What the writer and its open parts have in common.
pub(crate) struct Shared {
    appender: Appender,
    workers: Workers,
    buffers: Arc<Buffers>,
    encoders: Idle<Encoder>,
    block_size: usize,
    /// Blocks of the part that streams which may be compressed at once.
    window: usize,
    /// Blocks that other large parts may still hold back.
    may_hold_back: AtomicUsize,
    entry_time: EntryTime,
    scratch: Scratch,
}

impl Shared {
    fn with_encoder<T>(&self, work: impl FnOnce(&mut Encoder) -> T) -> T {
        let mut encoder = self.encoders.take();
        let done = work(&mut encoder);
        self.encoders.give(encoder);
        done
    }

    fn local_header(&self, entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        entry.header(&entry.name.full(), self.entry_time).put_local(&mut bytes);
        bytes
    }

    fn descriptor(&self, entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header: Header<'_> = entry.header("", self.entry_time);
        header.put_descriptor(&mut bytes);
        bytes
    }

    fn hold_back_one(&self) -> bool {
        let less_one = |left: usize| left.checked_sub(1);
        self.may_hold_back.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one).is_ok()
    }

    fn hold_back_no_longer(&self, blocks: usize) {
        self.may_hold_back.fetch_add(blocks, Ordering::Relaxed);
    }
}

impl ArchiveWriter {
    /// Begins an archive. Starts one thread that writes and `workers` that compress.
    pub fn create(output: Box<dyn Output>, options: WriterOptions) -> Result<Self> {
        let WriterOptions { workers, block_size, started, scratch } = options;
        let scratch = Scratch::new(scratch);
        if !(4 << 10..=64 << 20).contains(&block_size) {
            let message = format!("a block size of {block_size} bytes is not between 4 KiB and 64 MiB");
            return Err(Error::new(ErrorKind::Misuse, message));
        }
        let workers = workers.max(1);
        let held_back = 2 * workers + 2;
        let buffers = Arc::new(Buffers::new(held_back + workers + 8, block_size + block_size / 4 + 4096));
        let failure = Arc::new(OnceLock::new());
        let sink = Sink::start(output, buffers.clone(), failure.clone())?;
        let shared = Shared {
            appender: Appender::new(sink, failure, workers * block_size, scratch.clone()),
            workers: Workers::start(workers, &buffers)?,
            buffers,
            encoders: Idle::new(workers + 2),
            block_size,
            window: workers + 1,
            may_hold_back: AtomicUsize::new(held_back),
            entry_time: started.into(),
            scratch,
        };
        Ok(Self { shared: Arc::new(shared), created: OffsetDateTime::now_utc() })
    }

    /// Begins a part. Several entries of one name may stand until [`seal`](Self::seal), which wants all but one
    /// superseded.
    pub fn part(&self, name: &EntryName, compression: Compression) -> Result<PartWriter> {
        self.begin(name, compression, None)
    }

    /// Begins a part that takes the place of an earlier entry. That one is superseded in the moment in which
    /// this part is finished; until then, and if it never is, it stays.
    pub fn part_instead_of(
        &self,
        old: EntryId,
        name: &EntryName,
        compression: Compression,
    ) -> Result<PartWriter> {
        self.begin(name, compression, Some(old))
    }

    fn begin(&self, name: &EntryName, compression: Compression, old: Option<EntryId>) -> Result<PartWriter> {
        self.shared.appender.begin().map_err(|error| error.at(name.full()))?;
        Ok(PartWriter::new(self.shared.clone(), name.clone(), compression.into(), old))
    }

    /// Leaves a finished entry out of the manifest and the central directory. Its bytes stay in the file,
    /// covered by the manifest's digest.
    pub fn supersede(&self, id: EntryId) -> Result<()> {
        self.shared.appender.lock().entries.supersede(id)
    }

    /// Lists a finished entry of that node in the manifest. Parts of a node stand in the order of `place`; of two in
    /// the same place, the one that was finished earlier comes first.
    pub fn list(&self, node: &str, id: EntryId, place: u64, listed: &Listed) -> Result<Receipt> {
        self.shared.appender.lock().entries.list(node, id, place, listed)
    }

    /// Leaves out, as [`supersede`](Self::supersede) does, every entry of that node that is not listed when the
    /// archive is sealed: what a live source captured and does not need.
    pub fn supersede_unlisted(&self, node: &str) {
        self.shared.appender.lock().entries.supersede_unlisted(node);
    }

    /// What became of a finished entry that has not been superseded.
    pub fn entry(&self, id: EntryId) -> Result<Receipt> {
        self.shared.appender.lock().entries.receipt(id)
    }

    /// Bytes appended so far.
    pub fn bytes(&self) -> u64 {
        self.shared.appender.lock().sink.as_ref().map_or(0, |sink| sink.offset)
    }

    /// Completes the archive and publishes it.
    ///
    /// Every part must be finished or dropped, and each entry listed or superseded. The manifest must have the nodes
    /// of all that is listed; what only the writer knows is filled in. After an error nothing is published.
    pub fn seal(self, manifest: Manifest) -> Result<Sealed> {
        let Self { ref shared, created } = self;
        seal::seal(shared, manifest, created)
    }

    /// Gives the archive up. Nothing is published, and what can be removed is.
    pub fn abort(self) {}
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        let sink = self.shared.appender.lock().sink.take();
        if let Some(output) = sink.and_then(Sink::discard) {
            output.abort();
        }
    }
}
