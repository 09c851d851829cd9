//! An archive on its way into one place or several.

mod check;
mod lane;
mod limited;
mod local;
mod pace;
mod parts;
mod upload;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dumprestore::{ArchiveCopy, CopyOutcome};
use dumprestore_archive::{Error as ArchiveError, Output, Result as ArchiveResult};
use dumprestore_driver::{Error, ErrorKind};

pub(crate) use check::{Content, Written};
pub(crate) use lane::{Copying, Lane};
pub(crate) use limited::Limited;
pub(crate) use local::LocalCopy;
pub(crate) use pace::Pace;
pub(crate) use parts::PartSizes;
pub(crate) use upload::{Upload, UploadOptions};

/// Bytes are handed on in blocks of this size.
const BLOCK: usize = 1 << 20;
/// The last so many bytes are kept, to compare what the places have.
const TAIL: usize = 64 << 10;

/// What became of each copy, to be asked once the archive was published.
pub(crate) type Outcomes = Arc<Mutex<Vec<ArchiveCopy>>>;

/// Writes to several places at once.
///
/// # Behavior
/// - A place that fails does not stop the others; it fails only when the last one has. What became of each is put down.
/// - It appears in a place only when it is whole, and then it is looked at there. Dropped or aborted, it leaves nothing.
/// - Memory: 1 MiB for each block that is on its way, 4 of which may wait for each place, and what its upload holds.
pub(crate) struct StoreOutput {
    lanes: Vec<Lane>,
    gathered: Vec<u8>,
    written: u64,
    tail: Vec<u8>,
    content: Content,
    /// Bytes that it may have.
    most: Option<u64>,
    outcomes: Outcomes,
    /// Of what kind it is that places have failed.
    failures: Vec<ErrorKind>,
}

impl StoreOutput {
    pub(crate) fn new(lanes: Vec<Lane>, content: Content, most: Option<u64>, outcomes: Outcomes) -> Self {
        Self {
            lanes,
            gathered: Vec::new(),
            written: 0,
            tail: Vec::new(),
            content,
            most,
            outcomes,
            failures: Vec::new(),
        }
    }

    fn failed(&mut self, place: String, error: &Error) {
        self.failures.push(error.kind());
        self.note(ArchiveCopy::amiss(place, CopyOutcome::Failed, error));
    }

    fn note(&self, copy: ArchiveCopy) {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
    }

    /// Hands a block to every place that has not failed yet.
    fn hand_on(&mut self, block: &Bytes) -> io::Result<()> {
        let mut last = None;
        for lane in std::mem::take(&mut self.lanes) {
            match lane.send(block.clone()) {
                Ok(lane) => self.lanes.push(lane),
                Err((place, error)) => {
                    self.failed(place, &error);
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if self.lanes.is_empty() => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        // Not at every call: what goes in front is moved for it.
        if self.tail.len() > 4 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.gathered);
        if !rest.is_empty() {
            self.hand_on(&rest.into())?;
        }
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        let tail = std::mem::take(&mut self.tail).into();
        let written = Written { bytes: self.written, tail, content: self.content };
        let lanes: Vec<_> =
            std::mem::take(&mut self.lanes).into_iter().map(|lane| lane.publish(&written)).collect();
        let mut is_anywhere = false;
        for lane in lanes {
            match lane.ended() {
                Ok(copy) => {
                    self.note(copy);
                    is_anywhere = true;
                }
                Err((place, error)) => self.failed(place, &error),
            }
        }
        if is_anywhere { Ok(()) } else { Err(self.all_failed().into()) }
    }

    fn all_failed(&self) -> Error {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<_> = outcomes.iter().map(|copy| copy.why.clone().unwrap_or_default()).collect();
        // Whoever has asked it to stop has to see that it did.
        let cancelled = self.failures.contains(&ErrorKind::Cancelled).then_some(ErrorKind::Cancelled);
        let kind = cancelled.or(self.failures.first().copied()).unwrap_or(ErrorKind::Environment);
        let error = Error::new(kind, told.join("; "));
        match outcomes.iter().find_map(|copy| copy.hint.clone()) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl Output for StoreOutput {
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        if self.most.is_some_and(|most| self.written > most) {
            return Err(too_large(self.most.unwrap_or_default()).into());
        }
        self.keep_tail(bytes);
        while self.gathered.len() + bytes.len() >= BLOCK {
            let (now, later) = bytes.split_at(BLOCK - self.gathered.len());
            self.gathered.extend_from_slice(now);
            let block = std::mem::replace(&mut self.gathered, Vec::with_capacity(BLOCK));
            self.hand_on(&block.into())?;
            bytes = later;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    fn publish(self: Box<Self>) -> ArchiveResult<()> {
        self.finish().map_err(|error| ArchiveError::io("publishing the archive", error))
    }

    fn abort(mut self: Box<Self>) {
        self.lanes.drain(..).for_each(Lane::abort);
    }
}

/// That an archive has more bytes than it may have.
fn too_large(most: u64) -> Error {
    Error::environment(format!("the archive is larger than the {most} bytes that it may have"))
        .with_hint("`archive.max_size` says how many")
}
