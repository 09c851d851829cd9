//! Reading one file of a live folder, and being sure of what was read.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use dumprestore_driver::{PartWriter, Result};
use rustix::fs::{Advice, AtFlags, FileType, OFlags, SeekFrom, Stat, fadvise, fstat, seek, statat};
use rustix::io::{Errno, read};
use sha2::{Digest as _, Sha256};

use crate::beneath::{Beneath, is_absent};
use crate::captures::Capture;
use crate::entry::Meta;
use crate::listing::open_quietly;
use crate::root::error_at;
use crate::state::{Clock, Signature, Stamp, type_of};
use crate::xattr;

/// How a reading ended.
pub(crate) enum Reading {
    Whole(Box<Capture>),
    /// It changed meanwhile.
    Torn,
    Gone,
    /// It is not a regular file any more.
    Replaced,
    Unreadable(io::Error),
}

/// What one thread reads with; used again for the next file.
pub(crate) struct Lane {
    beneath: Beneath,
    buffer: Vec<u8>,
    names: Vec<u8>,
    /// Lanes of an earlier time may hold folders open that are not where they were.
    pub(crate) time: u64,
}

const BUFFER: usize = 256 * 1024;
/// From here on the kernel is told that all will be read.
const LARGE: u64 = 1 << 20;
/// A file that was just changed is waited for so often, and so long at most.
const MOST_PAUSES: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// From that reading on, it is read twice.
const TWICE_FROM: u32 = 2;

/// What to read, and how sure to be.
pub(crate) struct Job<'a> {
    pub(crate) root: &'a std::path::Path,
    pub(crate) path: &'a [u8],
    pub(crate) clock: Clock,
    /// How often it has changed while it was read. A file that does so each time, such as a log that grows, is then
    /// read twice and compared.
    pub(crate) torn: u32,
}

impl Lane {
    pub(crate) fn new(beneath: Beneath, time: u64) -> Self {
        Self { beneath, buffer: vec![0; BUFFER], names: Vec::new(), time }
    }

    pub(crate) fn beneath(&mut self) -> &mut Beneath {
        &mut self.beneath
    }

    /// Reads the file into `out`, between two looks at its state.
    ///
    /// # Errors
    /// Only if the archive can't be written, or the run is to stop.
    pub(crate) fn read(&mut self, job: &Job<'_>, out: &mut PartWriter<'_>) -> Result<Reading> {
        let file = match self.open(job) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Reading::Replaced),
            Err(error) if is_absent(&error) => return Ok(Reading::Gone),
            Err(error) => return Ok(Reading::Unreadable(error)),
        };
        self.read_open(job, &file, out)
    }

    /// `None` if something else is there than a regular file.
    fn open(&mut self, job: &Job<'_>) -> io::Result<Option<OwnedFd>> {
        let (folder, name) = self.beneath.parent(job.path)?;
        // Neither a link is followed, nor a fifo waited for that somebody puts in the way.
        match open_quietly(folder, name, OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) if type_of(&fstat(&file)?) == FileType::RegularFile => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(error) => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if type_of(&stat) != FileType::RegularFile => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn read_open(&mut self, job: &Job<'_>, file: &OwnedFd, out: &mut PartWriter<'_>) -> Result<Reading> {
        let fail = |error: Errno| Ok(Reading::Unreadable(error.into()));
        let (before, read_at) = match settled(file, job) {
            Ok(found) => found,
            Err(error) => return fail(error),
        };
        let xattrs = match xattr::read(file, &mut self.names) {
            Ok(xattrs) => xattrs,
            Err(error) => return Ok(Reading::Unreadable(error)),
        };
        let size = before.st_size.max(0) as u64;
        let sparse = is_sparse(&before);
        let mut first = (job.torn >= TWICE_FROM).then(Sha256::new);
        let mut sink = |data: &[u8]| -> Result<()> {
            if let Some(hash) = &mut first {
                hash.update(data);
            }
            out.write_all(data).map_err(|error| error_at(job.root, "can't dump a file", job.path, error))
        };
        match pour(file, size, sparse, &mut self.buffer, &mut sink)? {
            Poured::All => {}
            Poured::Short => return Ok(Reading::Torn),
            Poured::Failed(error) => return fail(error),
        }
        let after = match fstat(file) {
            Ok(after) => after,
            Err(error) => return fail(error),
        };
        if !is_unchanged(&before, &after, read_at, job.clock) && !self.reads_the_same(file, &before, first)? {
            return Ok(Reading::Torn);
        }
        let receipt = out.finish()?;
        let signature = Signature::of(&before);
        Ok(Reading::Whole(Box::new(Capture {
            id: receipt.capture,
            digest: receipt.digest,
            is_proof: job.clock.tells_changes_since(read_at, signature.ctime),
            signature,
            sparse,
            meta: Meta::of(&before, xattrs),
        })))
    }

    /// Whether the same bytes are read once more. If so, they were all in the file at the moment between the two
    /// readings: what has changed is only what was appended since.
    fn reads_the_same(&mut self, file: &OwnedFd, before: &Stat, first: Option<Sha256>) -> Result<bool> {
        let Some(first) = first else { return Ok(false) };
        if seek(file, SeekFrom::Start(0)).is_err() {
            return Ok(false);
        }
        let mut second = Sha256::new();
        let mut sink = |data: &[u8]| -> Result<()> {
            second.update(data);
            Ok(())
        };
        let size = before.st_size.max(0) as u64;
        let poured = pour(file, size, is_sparse(before), &mut self.buffer, &mut sink)?;
        // What is beyond the end reads as a hole: a file that was cut short must not pass for one with zeros.
        let still_as_long = fstat(file).is_ok_and(|now| now.st_size >= before.st_size);
        Ok(still_as_long && matches!(poured, Poured::All) && first.finalize() == second.finalize())
    }
}

/// The state of an open file, once it is old enough to be proof of the content; and when that was.
///
/// What changes all the time is not waited for: its state is then no proof, and nobody takes it for one.
fn settled(file: &OwnedFd, job: &Job<'_>) -> Result<(Stat, Stamp), Errno> {
    let mut pauses = if job.torn > 0 { 0 } else { MOST_PAUSES };
    loop {
        let read_at = Stamp::now();
        let before = fstat(file)?;
        let wait = job.clock.wait_before_reading(Stamp::ctime(&before));
        if wait.is_zero() || pauses == 0 {
            return Ok((before, read_at));
        }
        // The clock of the stamps goes by ticks: it may be some milliseconds behind after any sleep.
        std::thread::sleep((wait + Duration::from_millis(1)).min(LONGEST_WAIT));
        pauses -= 1;
    }
}

/// Whether the content is the same after the reading as before.
///
/// A change of the inode's own (a rename, an unlink, a new mode) moves the time of change and not that of the
/// content: the reading is whole, if that time can be relied on.
fn is_unchanged(before: &Stat, after: &Stat, read_at: Stamp, clock: Clock) -> bool {
    let (before, after) = (Signature::of(before), Signature::of(after));
    let same_content = before.size == after.size && before.mtime == after.mtime;
    same_content && (before.ctime == after.ctime || clock.tells_changes_since(read_at, before.mtime))
}

/// Whether it occupies less than its length: there are holes to skip.
fn is_sparse(stat: &Stat) -> bool {
    (stat.st_blocks.max(0) as u64).saturating_mul(512) < stat.st_size.max(0) as u64
}

enum Poured {
    All,
    /// The file ended early: it was truncated.
    Short,
    Failed(Errno),
}

/// Hands over the first `size` bytes of an open file.
fn pour(
    file: &OwnedFd,
    size: u64,
    sparse: bool,
    buffer: &mut [u8],
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Poured> {
    if size >= LARGE {
        // Advice; if it is not taken, nothing is lost.
        let _ = fadvise(file, 0, None, Advice::Sequential);
    }
    let mut at = 0;
    while at < size {
        let data_end = if sparse {
            let (hole_end, data_end) = next_data(file, at, size);
            pour_zeros(hole_end - at, sink)?;
            at = hole_end;
            if at < size && seek(file, SeekFrom::Start(at)).is_err() {
                return Ok(Poured::Failed(Errno::IO));
            }
            data_end
        } else {
            size
        };
        while at < data_end {
            let most = buffer.len().min(usize::try_from(data_end - at).unwrap_or(usize::MAX));
            match read(file.as_fd(), &mut buffer[..most]) {
                Ok(0) => return Ok(Poured::Short),
                Ok(length) => {
                    sink(&buffer[..length])?;
                    at += length as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Ok(Poured::Failed(error)),
            }
        }
    }
    Ok(Poured::All)
}

/// From where to where the next data lie.
fn next_data(file: &OwnedFd, at: u64, size: u64) -> (u64, u64) {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.clamp(at, size),
        // Nothing but a hole up to the end.
        Err(Errno::NXIO) => return (size, size),
        // The file system does not tell: all of it is data.
        Err(_) => return (at, size),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size);
    (start, end.clamp(start, size).max((start + 1).min(size)))
}

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

fn pour_zeros(mut count: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    while count > 0 {
        let some = ZEROS.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        sink(&ZEROS[..some])?;
        count -= some as u64;
    }
    Ok(())
}
