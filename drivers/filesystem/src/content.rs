//! Reading one file of a live folder, and being sure of what was read.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use dumprestore_driver::{PartWriter, Result};
use rustix::fs::{AtFlags, FileType, OFlags, SeekFrom, Stat, fstat, seek, statat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::beneath::{Beneath, is_absent};
use crate::captures::Capture;
use crate::entry::Meta;
use crate::listing::open_quietly;
use crate::pour::{End, Poured, pour};
use crate::root::{Root, error_at};
use crate::state::{Clock, Signature, Stamp, type_of};
use crate::writers::{Backing, Writes, told_from_now};
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
/// A file that was just changed is waited for, until it has changed so often meanwhile; and so long at a time.
const MOST_CHANGES: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// From that reading on, it is read twice.
const TWICE_FROM: u32 = 2;
/// Between the two readings it is waited for so long, and so often, that the file grows or comes to rest.
const BETWEEN: Duration = Duration::from_millis(4);
const MOST_BETWEEN: u32 = 15;

/// What to read, and how sure to be.
pub(crate) struct Job<'a> {
    pub(crate) root: &'a Root,
    pub(crate) path: &'a [u8],
    /// How often it has changed while it was read. A file that does so each time, such as a log that grows, is then
    /// read twice and compared.
    pub(crate) torn: u32,
    /// Whether a reading that may be torn is of use all the same: to a reference that knows the digest.
    pub(crate) keep_unsure: bool,
}

impl Job<'_> {
    /// Other file systems may be mounted below the root.
    fn backing(&self, file: &OwnedFd, stat: &Stat) -> Backing {
        if stat.st_dev == self.root.dev { self.root.backing } else { Backing::of(file) }
    }
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
        let backing = job.backing(file, &before);
        let writes = told_from_now(file, backing);
        let xattrs = match xattr::read(file, &mut self.names) {
            Ok(xattrs) => xattrs,
            Err(error) => return Ok(Reading::Unreadable(error)),
        };
        let mut first = First { length: 0, hash: (job.torn >= TWICE_FROM).then(Sha256::new) };
        let mut sink = |data: &[u8]| -> Result<()> {
            first.add(data);
            out.write_all(data)
                .map_err(|error| error_at(&job.root.path, "can't dump a file", job.path, error))
        };
        let to_end = if job.torn >= TWICE_FROM { End::OfFile } else { End::AsLooked };
        match pour(file, size(&before), is_sparse(&before), to_end, &mut self.buffer, &mut sink)? {
            Poured::All => {}
            Poured::Short => return Ok(Reading::Torn),
            Poured::Failed(error) => return fail(error),
        }
        let after = match fstat(file) {
            Ok(after) => after,
            Err(error) => return fail(error),
        };
        let looks = Looks { before, after, read_at, clock: backing.clock() };
        let length = first.length;
        let one_state = looks.show_one_state() && length == size(&looks.before);
        let is_sure = one_state || self.has_only_grown(file, &looks, first)?;
        let is_of_use = is_sure || (job.keep_unsure && looks.show_same_content());
        if !is_of_use {
            return Ok(Reading::Torn);
        }
        let receipt = out.finish()?;
        Ok(Reading::Whole(Box::new(Capture {
            id: receipt.capture,
            digest: receipt.digest,
            is_proof: writes != Writes::Untold && one_state,
            told_since: writes.since(),
            is_sure,
            signature: Signature { size: length, ..Signature::of(&looks.before) },
            sparse: is_sparse(&looks.before),
            meta: Meta::of(&looks.before, xattrs),
        })))
    }

    /// Whether what was read, up to its end, is all of a file that does nothing but grow: at each look it is as it
    /// was, or longer, and the same bytes are read once more. They were then all in it when the first reading ended,
    /// and nothing else.
    ///
    /// Of a file that is written over at its length, this is never said: there the bytes of two moments could be read
    /// twice.
    fn has_only_grown(&mut self, file: &OwnedFd, looks: &Looks, first: First) -> Result<bool> {
        let Some(hash) = first.hash else { return Ok(false) };
        let Some(between) = grown_or_at_rest(file, looks) else { return Ok(false) };
        if seek(file, SeekFrom::Start(0)).is_err() {
            return Ok(false);
        }
        let mut second = Sha256::new();
        let mut sink = |data: &[u8]| -> Result<()> {
            second.update(data);
            Ok(())
        };
        let sparse = is_sparse(&looks.before);
        let poured = pour(file, first.length, sparse, End::AsLooked, &mut self.buffer, &mut sink)?;
        let still = look_if_grown(file, &between).is_some();
        Ok(still && matches!(poured, Poured::All) && hash.finalize() == second.finalize())
    }
}

/// What a first reading brought.
struct First {
    length: u64,
    /// If it is to be compared.
    hash: Option<Sha256>,
}

impl First {
    fn add(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(data);
        }
    }
}

fn size(stat: &Stat) -> u64 {
    stat.st_size.max(0) as u64
}

/// Waits until an open file is longer than it was before it was read, or in a state that a change would show in.
/// `None` if it changes in another way, or does neither.
fn grown_or_at_rest(file: &OwnedFd, looks: &Looks) -> Option<Stat> {
    let mut last = look_if_grown(file, &looks.before)?;
    for _ in 0..MOST_BETWEEN {
        let looked_at = Stamp::now();
        last = look_if_grown(file, &last)?;
        let at_rest = looks.clock.tells_changes_since(looked_at, Stamp::mtime(&last));
        if last.st_size > looks.before.st_size || at_rest {
            return Some(last);
        }
        std::thread::sleep(BETWEEN);
    }
    None
}

/// The state of an open file, if nothing is seen since the last look but that bytes were appended.
fn look_if_grown(file: &OwnedFd, last: &Stat) -> Option<Stat> {
    for _ in 0..MOST_BETWEEN {
        let now = fstat(file).ok()?;
        let same_time = Stamp::mtime(last) == Stamp::mtime(&now);
        match now.st_size.cmp(&last.st_size) {
            Ordering::Greater => return Some(now),
            Ordering::Equal if same_time => return Some(now),
            // The time moves when an append begins, the length when it ends.
            Ordering::Equal => std::thread::sleep(BETWEEN),
            Ordering::Less => return None,
        }
    }
    None
}

/// The state of an open file, once it is old enough to be proof of the content; and when that was.
///
/// What changes all the time is not waited for: its state is then no proof, and nobody takes it for one.
fn settled(file: &OwnedFd, job: &Job<'_>) -> Result<(Stat, Stamp), Errno> {
    let mut changes = if job.torn > 0 { MOST_CHANGES } else { 0 };
    let mut last = None;
    loop {
        let read_at = Stamp::now();
        let before = fstat(file)?;
        let ctime = Stamp::ctime(&before);
        let wait = job.root.clock.wait_before_reading(ctime);
        changes += u32::from(last.is_some_and(|last| last != ctime));
        if wait.is_zero() || changes >= MOST_CHANGES {
            return Ok((before, read_at));
        }
        // The clock of the stamps goes by ticks: it may be behind after any sleep, by far on a busy machine.
        std::thread::sleep((wait + Duration::from_millis(1)).min(LONGEST_WAIT));
        last = Some(ctime);
    }
}

/// What was seen of a file before and after it was read.
struct Looks {
    before: Stat,
    after: Stat,
    /// Not later than the look before.
    read_at: Stamp,
    clock: Clock,
}

impl Looks {
    fn show_same_content(&self) -> bool {
        Signature::of(&self.before) == Signature::of(&self.after)
    }

    /// Whether the file was in one state from the first look to the last, so that what was read is whole.
    ///
    /// A file that was unlinked meanwhile has another time of change, and the same content: that a new one took its
    /// name is no reason to throw away what was read. Any other change of that time may be a write whose author put
    /// the time of content back.
    fn show_one_state(&self) -> bool {
        let (before, after) = (Signature::of(&self.before), Signature::of(&self.after));
        let unlinked = self.before.st_nlink != self.after.st_nlink
            && before.size == after.size
            && before.mtime == after.mtime;
        (before == after || unlinked) && self.clock.tells_changes_since(self.read_at, before.ctime)
    }
}

/// Whether it occupies less than its length: there are holes to skip.
fn is_sparse(stat: &Stat) -> bool {
    (stat.st_blocks.max(0) as u64).saturating_mul(512) < stat.st_size.max(0) as u64
}
