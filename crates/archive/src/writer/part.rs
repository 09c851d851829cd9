//! One part being written: small ones whole, on the caller's thread; large ones block by block, by the workers.

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::method::Method;
use crate::name::EntryName;
use crate::writer::append::Entry;
use crate::writer::large::Large;
use crate::writer::probe::{method_for_large, method_for_small, worth};
use crate::writer::{EntryId, Receipt, Shared};
use sha2::{Digest as _, Sha256};
use std::io;
use std::sync::Arc;

/// Takes the content of one part. [`finish`](Self::finish) makes it an entry; dropping it abandons it.
///
/// # Behavior
/// - Up to a block's size the content is kept in memory. Of a larger part some blocks are held back; then it
///   waits until no other part streams, and streams itself until it is finished or dropped.
/// - Hence the lane that writes one part must not depend on progress in another part that is open, unless both
///   stay below a block's size: it could wait for itself.
/// - An error is final. The output's failure reaches every open part at its next call.
pub struct PartWriter {
    shared: Arc<Shared>,
    name: EntryName,
    asked: Method,
    replaces: Option<EntryId>,
    block: Vec<u8>,
    hash: Sha256,
    size: u64,
    large: Option<Large>,
    /// Whether a call has failed, after which the content has a hole.
    broken: bool,
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartWriter").field("name", &self.name).field("size", &self.size).finish()
    }
}

impl PartWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        name: EntryName,
        asked: Method,
        replaces: Option<EntryId>,
    ) -> Self {
        let block = shared.buffers.take();
        let hash = Sha256::new();
        Self { shared, name, asked, replaces, block, hash, size: 0, large: None, broken: false }
    }

    /// The entry's name.
    pub fn name(&self) -> &EntryName {
        &self.name
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes the entry a part of the archive. It stands in the manifest only if its [`Receipt`] is listed there.
    pub fn finish(mut self) -> Result<Receipt> {
        if self.broken {
            let error = Error::new(crate::ErrorKind::Misuse, "a part was finished after a failed write");
            return Err(error.at(self.name.full()));
        }
        self.hash.update(&self.block);
        let sha256 = Digest(std::mem::take(&mut self.hash).finalize().into());
        let finished = match self.large.take() {
            None => self.finish_small(sha256),
            Some(mut large) => {
                let last = std::mem::take(&mut self.block);
                large.finish(last, sha256, self.replaces)
            }
        };
        finished.map_err(|error| error.at(self.name.full()))
    }

    fn finish_small(&mut self, sha256: Digest) -> Result<Receipt> {
        let shared = self.shared.clone();
        let raw = std::mem::take(&mut self.block);
        let crc32 = crc32fast::hash(&raw);
        let (method, stored) = shared.with_encoder(|encoder| -> Result<(Method, Option<Vec<u8>>)> {
            let method = method_for_small(self.asked, &raw, encoder)?;
            if method == Method::Store {
                return Ok((method, None));
            }
            let mut stored = shared.buffers.take();
            encoder.whole(method, &raw, &mut stored)?;
            Ok(if stored.len() < worth(raw.len()) { (method, Some(stored)) } else { (Method::Store, None) })
        })?;
        let content = match stored {
            Some(stored) => {
                shared.buffers.give(raw);
                stored
            }
            None => raw,
        };
        let entry = Entry {
            name: self.name.clone(),
            method,
            offset: 0,
            size: self.size,
            stored: content.len() as u64,
            crc32,
            sha256,
            descriptor: false,
        };
        let header = shared.local_header(&entry);
        shared.appender.append(entry, self.replaces, vec![header, content])
    }

    fn block_is_full(&mut self) -> Result<()> {
        self.hash.update(&self.block);
        let next = self.shared.buffers.take();
        let full = std::mem::replace(&mut self.block, next);
        let large = match &mut self.large {
            Some(large) => large,
            none => {
                let method =
                    self.shared.with_encoder(|encoder| method_for_large(self.asked, &full, encoder))?;
                none.insert(Large::new(self.shared.clone(), self.name.clone(), method))
            }
        };
        large.add(full)
    }

    fn take_in(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.shared.appender.check()?;
        let block_size = self.shared.block_size;
        while !bytes.is_empty() {
            // A block is passed on when more follows, so that a part of exactly one block stays small.
            if self.block.len() == block_size {
                self.block_is_full()?;
            }
            let taken = bytes.len().min(block_size - self.block.len());
            self.block.extend_from_slice(&bytes[..taken]);
            self.size += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }
}

impl io::Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.take_in(bytes) {
            self.broken = true;
            return Err(error.at(self.name.full()).into());
        }
        Ok(bytes.len())
    }

    /// Does nothing: there is no point at which half a part is worth having.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        // First, for it may hold the turn.
        self.large = None;
        self.shared.buffers.give(std::mem::take(&mut self.block));
        self.shared.appender.lock().open -= 1;
    }
}
