//! Where lanes meet: entries are appended one after the other, whole or by whoever holds the turn.
//!
//! A part that is complete goes in at once if nobody holds the turn. A part too large to wait for takes the
//! turn and streams; what others complete meanwhile is held back up to a bound, beyond which they wait. The
//! holder of the turn waits for nobody but the output and the workers, and these wait for no lane.

use crate::digest::Digest;
use crate::entry_time::EntryTime;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Header;
use crate::method::Method;
use crate::name::EntryName;
use crate::scratch::Scratch;
use crate::writer::entries::Entries;
use crate::writer::pool::lock;
use crate::writer::sink::{Failure, Sink};
use crate::writer::{EntryId, Receipt};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is known of an entry when all its content has been seen.
pub(crate) struct Entry {
    pub(crate) name: EntryName,
    pub(crate) method: Method,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) stored: u64,
    pub(crate) crc32: u32,
    pub(crate) sha256: Digest,
    pub(crate) descriptor: bool,
}

impl Entry {
    pub(crate) fn header<'a>(&self, name: &'a str, time: EntryTime) -> Header<'a> {
        Header {
            name,
            method: self.method,
            crc32: self.crc32,
            size: self.size,
            stored: self.stored,
            offset: self.offset,
            descriptor: self.descriptor,
            time,
        }
    }
}

/// Bytes of one entry that is complete, from its local header on.
struct Held {
    id: EntryId,
    chunks: Vec<Vec<u8>>,
}

pub(crate) struct State {
    /// None once the archive is sealed or aborted.
    pub(crate) sink: Option<Sink>,
    pub(crate) entries: Entries,
    turn_taken: bool,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Parts that have been begun and neither finished nor abandoned.
    pub(crate) open: usize,
}

pub(crate) struct Appender {
    state: Mutex<State>,
    changed: Condvar,
    failure: Failure,
    held_limit: usize,
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Misuse, "the archive has been sealed or aborted")
}

impl Appender {
    pub(crate) fn new(sink: Sink, failure: Failure, held_limit: usize, scratch: Scratch) -> Self {
        let state = State {
            sink: Some(sink),
            entries: Entries::new(scratch),
            turn_taken: false,
            held: VecDeque::new(),
            held_bytes: 0,
            open: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), failure, held_limit }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The output's failure, once more for this caller.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |error| Err(error.again()))
    }

    /// Counts a part that is begun.
    pub(crate) fn begin(&self) -> Result<()> {
        self.check()?;
        let mut state = self.lock();
        state.sink()?;
        state.open += 1;
        Ok(())
    }

    /// Waits for a change, or a moment: the output's failure and an abort come without a signal.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let waited = self.changed.wait_timeout(state, Duration::from_millis(50));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        if state.sink.is_none() { Err(closed()) } else { Ok(state) }
    }

    /// Appends an entry whose bytes are all there, or holds it back until its turn. `chunks` begins with the
    /// local header.
    pub(crate) fn append(
        &self,
        mut entry: Entry,
        replaces: Option<EntryId>,
        chunks: Vec<Vec<u8>>,
    ) -> Result<Receipt> {
        let bytes: usize = chunks.iter().map(Vec::len).sum();
        let mut state = self.lock();
        self.check()?;
        while state.turn_taken && state.held_bytes + bytes > self.held_limit {
            state = self.wait(state)?;
        }
        entry.offset = state.sink()?.offset;
        let receipt = state.entries.add(&entry, replaces)?;
        if !state.turn_taken && state.held.is_empty() {
            return state.push(chunks).map(|()| receipt);
        }
        state.held_bytes += bytes;
        state.held.push_back(Held { id: receipt.id, chunks });
        if !state.turn_taken {
            state.append_held()?;
        }
        Ok(receipt)
    }

    /// Waits until nobody else streams. Returns where the next byte goes.
    pub(crate) fn take_turn(&self) -> Result<u64> {
        let mut state = self.lock();
        self.check()?;
        while state.turn_taken {
            state = self.wait(state)?;
        }
        let offset = state.sink()?.offset;
        state.turn_taken = true;
        Ok(offset)
    }

    /// Appends a piece of the entry whose turn it is.
    pub(crate) fn stream(&self, bytes: Vec<u8>) -> Result<()> {
        self.check()?;
        self.lock().sink()?.push_owned(bytes)
    }

    /// Records the entry whose turn it was; the caller gives the turn back.
    pub(crate) fn record(&self, entry: Entry, replaces: Option<EntryId>) -> Result<Receipt> {
        self.check()?;
        self.lock().entries.add(&entry, replaces)
    }

    /// Lets the others append again.
    pub(crate) fn give_turn_back(&self) -> Result<()> {
        let mut state = self.lock();
        state.turn_taken = false;
        let appended = state.append_held();
        drop(state);
        self.changed.notify_all();
        appended
    }
}

impl State {
    pub(crate) fn sink(&mut self) -> Result<&mut Sink> {
        self.sink.as_mut().ok_or_else(closed)
    }

    fn push(&mut self, chunks: Vec<Vec<u8>>) -> Result<()> {
        let sink = self.sink()?;
        chunks.into_iter().try_for_each(|chunk| sink.push_owned(chunk))
    }

    fn append_held(&mut self) -> Result<()> {
        while let Some(Held { id, chunks }) = self.held.pop_front() {
            self.held_bytes -= chunks.iter().map(Vec::len).sum::<usize>();
            // If it has been superseded meanwhile, its bytes go in all the same, as those of any other.
            let offset = self.sink()?.offset;
            self.entries.place(id, offset)?;
            self.push(chunks)?;
        }
        Ok(())
    }
}
