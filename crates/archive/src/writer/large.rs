//! A part of several blocks: compressed by the workers, appended in order.

use crate::digest::Digest;
use crate::error::Result;
use crate::method::Method;
use crate::name::EntryName;
use crate::writer::append::Entry;
use crate::writer::encode::DEFLATE_END;
use crate::writer::pool::{Block, gone};
use crate::writer::{EntryId, Receipt, Shared};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Blocks that one part may hold back before it asks for the turn: a part that ends within them has its sizes
/// in its local header and keeps nobody waiting.
const HELD_BACK: usize = 4;

enum Pending {
    Ready(Block),
    Compressing(Receiver<Result<Block>>),
}

impl Pending {
    fn wait(self) -> Result<Block> {
        match self {
            Self::Ready(block) => Ok(block),
            Self::Compressing(result) => result.recv().map_err(|_| gone())?,
        }
    }
}

pub(crate) struct Large {
    shared: Arc<Shared>,
    name: EntryName,
    method: Method,
    blocks: VecDeque<Pending>,
    /// How many of `blocks` are counted against what all parts may hold back.
    counted: usize,
    /// Where the entry begins, if it is our turn.
    turn: Option<u64>,
    crc: crc32fast::Hasher,
    stored: u64,
    /// Bytes of content in the blocks taken into the sums.
    size: u64,
}

impl Large {
    pub(crate) fn new(shared: Arc<Shared>, name: EntryName, method: Method) -> Self {
        Self {
            shared,
            name,
            method,
            blocks: VecDeque::new(),
            counted: 0,
            turn: None,
            crc: crc32fast::Hasher::new(),
            stored: 0,
            size: 0,
        }
    }

    pub(crate) fn add(&mut self, raw: Vec<u8>) -> Result<()> {
        if self.turn.is_none() && !self.may_hold_back() {
            self.take_turn()?;
        }
        while self.turn.is_some() && self.blocks.len() >= self.shared.window {
            self.append_oldest()?;
        }
        self.submit(raw)
    }

    fn submit(&mut self, raw: Vec<u8>) -> Result<()> {
        let pending = if self.method == Method::Store {
            let mut crc = crc32fast::Hasher::new();
            crc.update(&raw);
            Pending::Ready(Block { crc, size: raw.len() as u64, stored: raw })
        } else {
            Pending::Compressing(self.shared.workers.compress(raw, self.method)?)
        };
        self.blocks.push_back(pending);
        Ok(())
    }

    fn may_hold_back(&mut self) -> bool {
        let may = self.counted < HELD_BACK && self.shared.hold_back_one();
        self.counted += usize::from(may);
        may
    }

    fn stop_counting(&mut self) {
        self.shared.hold_back_no_longer(std::mem::take(&mut self.counted));
    }

    fn take_turn(&mut self) -> Result<()> {
        self.turn = Some(self.shared.appender.take_turn()?);
        self.stop_counting();
        let header = self.shared.local_header(&self.entry(Digest::default()));
        self.shared.appender.stream(header)
    }

    fn entry(&self, sha256: Digest) -> Entry {
        Entry {
            name: self.name.clone(),
            method: self.method,
            offset: self.turn.unwrap_or_default(),
            size: self.size,
            stored: self.stored,
            crc32: self.crc.clone().finalize(),
            sha256,
            descriptor: self.turn.is_some(),
        }
    }

    /// Takes the oldest block into the sums.
    fn next_block(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(pending) = self.blocks.pop_front() else { return Ok(None) };
        let block = pending.wait()?;
        self.crc.combine(&block.crc);
        self.size += block.size;
        self.stored += block.stored.len() as u64;
        Ok(Some(block.stored))
    }

    fn append_oldest(&mut self) -> Result<()> {
        match self.next_block()? {
            Some(stored) => self.shared.appender.stream(stored),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> &'static [u8] {
        let end: &[u8] = if self.method == Method::Deflate { &DEFLATE_END } else { &[] };
        self.stored += end.len() as u64;
        end
    }

    pub(crate) fn finish(
        &mut self,
        last: Vec<u8>,
        sha256: Digest,
        replaces: Option<EntryId>,
    ) -> Result<Receipt> {
        self.submit(last)?;
        if self.turn.is_some() {
            self.finish_streamed(sha256, replaces)
        } else {
            self.finish_held(sha256, replaces)
        }
    }

    /// Never streamed: the sizes are known before the header is written.
    fn finish_held(&mut self, sha256: Digest, replaces: Option<EntryId>) -> Result<Receipt> {
        let mut chunks = vec![Vec::new()];
        while let Some(stored) = self.next_block()? {
            chunks.push(stored);
        }
        chunks.push(self.end().to_vec());
        let entry = self.entry(sha256);
        chunks[0] = self.shared.local_header(&entry);
        self.shared.appender.append(entry, replaces, chunks)
    }

    fn finish_streamed(&mut self, sha256: Digest, replaces: Option<EntryId>) -> Result<Receipt> {
        let entry = self.close(sha256)?;
        let receipt = self.shared.appender.record(entry, replaces);
        self.turn = None;
        self.shared.appender.give_turn_back()?;
        receipt
    }

    /// Appends what is left of the content, and the descriptor.
    fn close(&mut self, sha256: Digest) -> Result<Entry> {
        while !self.blocks.is_empty() {
            self.append_oldest()?;
        }
        let end = self.end();
        let entry = self.entry(sha256);
        let bytes = [end, &self.shared.descriptor(&entry)].concat();
        self.shared.appender.stream(bytes)?;
        Ok(entry)
    }
}

/// Abandons what was not finished. If it has the turn, the entry is closed where it stands, so that a reader
/// that goes from header to header finds the next one; it is not in the central directory.
impl Drop for Large {
    fn drop(&mut self) {
        self.stop_counting();
        if self.turn.is_some() {
            // What fails here is the output, whose failure every lane and the seal will see.
            let _ = self.close(Digest::default());
            let _ = self.shared.appender.give_turn_back();
        }
    }
}
