//! An archive in a store, read by ranges: nothing of it is kept on disk.

mod ahead;
mod blocks;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dumprestore_archive::RangeRead;
use dumprestore_bucket::opendal::{self, ErrorKind as StoreErrorKind};
use dumprestore_driver::{Error, ErrorKind, Result};
use opendal::options::{ReadOptions, StatOptions};

use crate::object::Object;
use crate::transfers;
use blocks::Blocks;

/// Bytes that are fetched at once.
const BLOCK: u64 = 1 << 20;
/// Blocks that are kept, those that are being fetched included. It bounds memory: 24 MiB for each archive that is open.
const KEPT: usize = 24;

/// Under what name the set is noted beside an object.
pub(crate) const SET: &str = "dumprestore-set";

/// An object that is read at any place, from several threads at once.
///
/// # Behavior
/// - Blocks of 1 MiB are fetched, 24 of which are kept. Who reads on and on finds the next ones fetched already; several
///   threads may do so at once, each at a place of its own.
/// - All that is read is of one version of the object. Once it was replaced, reading fails, with an error that says so.
/// - A store that fails for a while is asked again, as its [`Bucket`](dumprestore_bucket::Bucket) was told to.
pub struct StoredArchive {
    size: u64,
    noted_set: Option<String>,
    blocks: Arc<Blocks>,
}

impl StoredArchive {
    /// Looks at the object, and pins the version that is there now.
    ///
    /// # Errors
    /// If there is none, or the store can't be asked.
    pub fn open(object: &Object) -> Result<Self> {
        Self::in_blocks(object, BLOCK)
    }

    /// The same, for one who reads little of it.
    pub(crate) fn glance(object: &Object) -> Result<Self> {
        Self::in_blocks(object, BLOCK / 8)
    }

    fn in_blocks(object: &Object, block: u64) -> Result<Self> {
        let object = object.clone();
        let (pinned, size, noted_set) = transfers::wait(async move { Pinned::of(object).await })?;
        Ok(Self { size, noted_set, blocks: Arc::new(Blocks::new(pinned, size, block, KEPT)) })
    }

    /// The set that it is of, as whoever wrote it has noted beside it.
    pub(crate) fn noted_set(&self) -> Option<&str> {
        self.noted_set.as_deref()
    }

    /// The ETag, or the version, that is read.
    pub fn identity(&self) -> Option<&str> {
        self.blocks.pinned.identity()
    }
}

impl RangeRead for StoredArchive {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut filled = 0;
        while filled < buffer.len() {
            let (block, within) = self.blocks.place(offset + filled as u64);
            let bytes = self.blocks.get(block)?;
            let rest = bytes.get(within..).unwrap_or_default();
            let taken = rest.len().min(buffer.len() - filled);
            if taken == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer[filled..filled + taken].copy_from_slice(&rest[..taken]);
            filled += taken;
        }
        Ok(())
    }
}

/// What a store says of an object that was moved to where it has to be brought back from first.
fn is_cold(error: &opendal::Error) -> bool {
    let text = error.message();
    ["InvalidObjectState", "BlobArchived"].iter().any(|code| text.contains(&format!("code: \"{code}\"")))
}

/// One version of an object.
#[derive(Clone)]
pub(crate) struct Pinned {
    object: Object,
    version: Option<String>,
    etag: Option<String>,
}

impl Pinned {
    /// The one that is there now, or that the object names, its size in bytes, and the set that is noted beside it.
    async fn of(object: Object) -> Result<(Self, u64, Option<String>)> {
        let options = StatOptions { version: object.version.clone(), ..StatOptions::default() };
        let looked = object.bucket.operator().stat_options(&object.key, options).await;
        let found = looked.map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => object.failed("look at", error).with_kind(ErrorKind::Archive).with_hint(
                "check the names of the bucket and of the archive; `dumprestore ls` lists archives of a set",
            ),
            _ => object.failed("look at", error),
        })?;
        let can = object.bucket.operator().info().capability();
        // What a bucket without versions calls one is the same for every content.
        let known = |version: &&str| !version.is_empty() && *version != "null";
        let version = object.version.clone().or_else(|| found.version().filter(known).map(str::to_owned));
        let pinned = Self {
            version: version.filter(|_| can.read_with_version),
            etag: found.etag().filter(|_| can.read_with_if_match).map(str::to_owned),
            object,
        };
        let noted = found.user_metadata().and_then(|notes| notes.get(SET)).filter(|set| !set.is_empty());
        Ok((pinned, found.content_length(), noted.map(str::to_owned)))
    }

    fn identity(&self) -> Option<&str> {
        self.version.as_deref().or(self.etag.as_deref())
    }

    /// Those bytes.
    async fn fetch(&self, offset: u64, length: u64) -> Result<Bytes> {
        let options = ReadOptions {
            range: (offset..offset + length).into(),
            version: self.version.clone(),
            if_match: self.etag.clone().filter(|_| self.version.is_none()),
            content_length_hint: None,
            ..ReadOptions::default()
        };
        let read = self.object.bucket.operator().read_options(&self.object.key, options).await;
        let bytes = read.map_err(|error| self.unread(error))?.to_bytes();
        if bytes.len() as u64 != length {
            let message = format!("{length} bytes were asked for at {offset}, and {} came", bytes.len());
            return Err(Error::environment(message).with_context("archive", self.object.shown()));
        }
        Ok(bytes)
    }

    fn unread(&self, error: opendal::Error) -> Error {
        let replaced = match error.kind() {
            StoreErrorKind::ConditionNotMatch => "it was replaced by another while it was read",
            StoreErrorKind::NotFound => "it was removed while it was read",
            StoreErrorKind::RangeNotSatisfied => "it became shorter while it was read",
            // It is there, and what is wrong is not the way to it: others may be read all the same.
            _ if is_cold(&error) => return self.object.failed("read", error).with_kind(ErrorKind::Archive),
            _ => return self.object.failed("read", error),
        };
        Error::environment(replaced)
            .with_context("archive", self.object.shown())
            .with_hint("nothing of a restore was swapped in: begin again, with an archive that stays")
    }
}
