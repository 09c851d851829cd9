//! An object that is being written.

use dumprestore_bucket::opendal::Buffer;
use dumprestore_bucket::opendal::raw::oio::{self, Write as _};
use dumprestore_driver::{Error, Result};

use super::objects::Objects;
use crate::ours::is_ours;

/// As many bytes are sent at once, and held in memory.
pub(super) const CHUNK: usize = 8 << 20;
/// A store takes 10,000 parts of an object.
const MOST_PARTS: u64 = 9_000;

/// Takes bytes, and makes an object of them when it is finished. Whoever gives it up says so with
/// [`abandon`](Self::abandon): what was sent of a large object lies in the store until then.
pub(super) struct Upload {
    objects: Objects,
    key: String,
    writer: oio::Writer,
    buffer: Vec<u8>,
    chunk: usize,
    taken: u64,
}

impl Upload {
    pub(super) fn new(objects: Objects, key: &str, writer: oio::Writer) -> Self {
        Self { objects, key: key.to_owned(), writer, buffer: Vec::new(), chunk: CHUNK, taken: 0 }
    }

    /// The same, of that many bytes.
    pub(super) fn of_size(mut self, size: u64) -> Self {
        let parts = usize::try_from(size.div_ceil(MOST_PARTS)).unwrap_or(usize::MAX);
        self.chunk = CHUNK.max(parts);
        self
    }

    /// Takes bytes. If that fails, the upload is abandoned.
    pub(super) async fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.taken += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.chunk - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == self.chunk {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.buffer);
        match self.writer.write(Buffer::from(chunk)).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let _cleaned = self.writer.abort().await;
                Err(self.objects.failed("write", &self.key, error))
            }
        }
    }

    /// Makes the object. If that fails, the upload is abandoned.
    pub(super) async fn finish(mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        let Err(error) = self.writer.close().await else { return Ok(()) };
        // The store may have done it, and its answer be lost: asked again, it knows of no such upload.
        if self.is_done().await.unwrap_or(false) {
            return Ok(());
        }
        let _cleaned = self.writer.abort().await;
        Err(self.objects.failed("write", &self.key, error))
    }

    /// What is ours was not there before.
    async fn is_done(&self) -> Result<bool> {
        let found = if is_ours(&self.key) { self.objects.look(&self.key).await? } else { None };
        Ok(found.is_some_and(|found| found.state.size == self.taken))
    }

    /// Gives it up for that reason.
    pub(super) async fn abandon<T>(mut self, why: Error) -> Result<T> {
        self.give_up().await;
        Err(why)
    }

    pub(super) async fn give_up(&mut self) {
        // What could not be cleaned up now is found when the restore is over.
        let _cleaned = self.writer.abort().await;
    }
}
