//! Reading objects, each in one state.
//!
//! A request for bytes names the version, or the ETag under which they were listed; a store that has another by then
//! refuses. The ETag of each answer is compared as well, for stores that don't know the condition. So what several
//! requests bring, a retry after a broken connection included, is of one state, or it is thrown away.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use dumprestore_bucket::opendal::raw::{OpRead, OpStat, Service as _, oio};
use dumprestore_bucket::opendal::{self, BytesRange, ErrorKind, Metadata, MetadataBuilder, options};
use dumprestore_bucket::{Bucket, Scheme};
use dumprestore_driver::{Digest, Error, PartWriter, Result};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::line::Headers;
use crate::state::{State, quoted};

/// Larger objects are read by ranges of that size, several at once.
const RANGE: u64 = 8 << 20;
/// So many ranges of one object.
const RANGES_AT_ONCE: usize = 4;
/// So many ranges of all objects together wait in memory, beside one of each object.
const RANGES_IN_ALL: usize = 6;

/// How a reading ended.
pub(crate) enum Reading<T> {
    Whole(T),
    /// The object is not what it was expected to be, or became another while it was read.
    Changed,
    /// It is not there.
    Gone,
    /// The store does not give it out.
    Refused(String),
}

/// What is known of bytes that were read.
pub(crate) struct Read {
    pub(crate) state: State,
    pub(crate) headers: Headers,
}

/// Some bytes of an object, and what the answer said of it.
type Range = (Metadata, opendal::Buffer);

/// A range on its way.
struct Fetched {
    range: JoinHandle<Result<Reading<Range>>>,
    /// Of what all objects share; the next one of an object needs none.
    _room: Option<OwnedSemaphorePermit>,
}

impl Fetched {
    async fn arrived(&mut self) -> Result<Reading<Range>> {
        let ended = (&mut self.range).await;
        ended.unwrap_or_else(|error| Err(Error::defect("fetching a range broke off").with_source(error)))
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.range.abort();
    }
}

/// Reads from one store.
#[derive(Clone)]
pub(crate) struct Reader {
    bucket: Bucket,
    ranges: Arc<Semaphore>,
}

impl Reader {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket, ranges: Arc::new(Semaphore::new(RANGES_IN_ALL)) }
    }

    /// What is there, if anything is: its state, and what belongs to it.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub(crate) async fn look(&self, key: &str) -> Result<Reading<Read>> {
        // OpenDAL would list what is below such a key, and not look at the object of that very name.
        if key.ends_with('/') {
            return Ok(match self.open(key, None, BytesRange::new(0, None)).await? {
                Reading::Whole((metadata, mut stream)) => match size_of(&mut *stream).await {
                    Ok(size) => Reading::Whole(Read::of(&metadata, size)),
                    Err(error) => return Err(self.bucket.failed("read", key, error)),
                },
                Reading::Changed => Reading::Changed,
                Reading::Gone => Reading::Gone,
                Reading::Refused(why) => Reading::Refused(why),
            });
        }
        let op = self.bucket.operator();
        match op.service().stat(op.context(), key, OpStat::new()).await {
            Ok(found) => {
                let metadata = found.into_metadata();
                match metadata.is_dir() {
                    true => Ok(Reading::Gone),
                    false => Ok(Reading::Whole(Read::of(&metadata, metadata.content_length()))),
                }
            }
            Err(error) => self.missed("look at", key, error),
        }
    }

    /// Writes the object to `out`, if it is in that state.
    ///
    /// # Errors
    /// If the store can't be read for a reason that is not this object's, or if `out` fails.
    pub(crate) async fn read(
        &self,
        key: &str,
        state: &State,
        out: &mut PartWriter<'_>,
    ) -> Result<Reading<Read>> {
        let read = match state.etag {
            None => return self.read_unmarked(key, state, out).await,
            Some(_) if state.size > 2 * RANGE && !key.ends_with('/') => {
                self.read_ranges(key, state, out).await?
            }
            Some(_) => self.read_at_once(key, state, |piece| write(out, piece)).await?,
        };
        self.with_headers(key, state, read).await
    }

    /// OpenDAL takes what users add to an object out of all answers of S3, but only out of looks at the objects of other stores.
    async fn with_headers(&self, key: &str, state: &State, read: Reading<Read>) -> Result<Reading<Read>> {
        if !matches!(self.bucket.scheme(), Scheme::Gcs | Scheme::Azblob) || key.ends_with('/') {
            return Ok(read);
        }
        let Reading::Whole(read) = read else { return Ok(read) };
        Ok(match self.look(key).await? {
            Reading::Whole(now) if now.state.etag == state.etag => {
                Reading::Whole(Read { headers: now.headers, ..read })
            }
            Reading::Whole(_) => Reading::Changed,
            other => other,
        })
    }

    /// The whole of a small object.
    pub(crate) async fn read_small(&self, key: &str, state: &State) -> Result<Reading<(Read, Vec<u8>)>> {
        let mut content = Vec::with_capacity(state.size as usize);
        let read = self.read_at_once(key, state, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        });
        let read = read.await?;
        Ok(match self.with_headers(key, state, read).await? {
            Reading::Whole(read) => Reading::Whole((read, content)),
            Reading::Changed => Reading::Changed,
            Reading::Gone => Reading::Gone,
            Reading::Refused(why) => Reading::Refused(why),
        })
    }

    /// The SHA-256 of an object in that state; `None` if it is not there any more.
    pub(crate) async fn digest(&self, key: &str, state: &State) -> Result<Option<Digest>> {
        Ok(self.describe(key, state).await?.map(|(_, digest)| digest))
    }

    /// The same, and what belongs to it.
    pub(crate) async fn describe(&self, key: &str, state: &State) -> Result<Option<(Read, Digest)>> {
        let mut hasher = Sha256::new();
        let read = self.read_at_once(key, state, |piece| {
            hasher.update(piece);
            Ok(())
        });
        let read = read.await?;
        Ok(match self.with_headers(key, state, read).await? {
            Reading::Whole(read) => Some((read, Digest::new(hasher.finalize().into()))),
            Reading::Changed | Reading::Gone | Reading::Refused(_) => None,
        })
    }

    async fn read_at_once(
        &self,
        key: &str,
        state: &State,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Reading<Read>> {
        let (metadata, mut stream) = match self.open(key, Some(state), BytesRange::new(0, None)).await? {
            Reading::Whole(opened) => opened,
            Reading::Changed => return Ok(Reading::Changed),
            Reading::Gone => return Ok(Reading::Gone),
            Reading::Refused(why) => return Ok(Reading::Refused(why)),
        };
        let mut size = 0;
        loop {
            let piece = match stream.read_dyn().await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => piece,
                Err(error) => return self.missed("read", key, error),
            };
            for bytes in piece {
                size += bytes.len() as u64;
                take(&bytes)?;
            }
        }
        match size == state.size || key.ends_with('/') {
            true => Ok(Reading::Whole(Read::of(&metadata, size))),
            false => Ok(Reading::Changed),
        }
    }

    /// Whoever writes may be held up for as long as another object is written, which must come to its end meanwhile: so each
    /// object has the range that is its next one, whatever others hold, and reads ahead only once its first was taken.
    async fn read_ranges(&self, key: &str, state: &State, out: &mut PartWriter<'_>) -> Result<Reading<Read>> {
        let mut begins = (0..state.size).step_by(RANGE as usize);
        let mut fetched: VecDeque<Fetched> = VecDeque::new();
        let mut first = None;
        loop {
            let most = if first.is_some() { RANGES_AT_ONCE } else { 1 };
            while fetched.len() < most {
                let room = match fetched.is_empty() {
                    true => None,
                    false => match self.ranges.clone().try_acquire_owned() {
                        Ok(room) => Some(room),
                        Err(_) => break,
                    },
                };
                let Some(begin) = begins.next() else { break };
                fetched.push_back(self.fetch(key, state, begin, room));
            }
            let Some(mut range) = fetched.pop_front() else { break };
            match range.arrived().await? {
                Reading::Whole((metadata, content)) => {
                    for bytes in content {
                        write(out, &bytes)?;
                    }
                    first.get_or_insert(metadata);
                }
                Reading::Changed => return Ok(Reading::Changed),
                Reading::Gone => return Ok(Reading::Gone),
                Reading::Refused(why) => return Ok(Reading::Refused(why)),
            }
        }
        let metadata = first.ok_or_else(|| Error::defect("a large object has no ranges"))?;
        Ok(Reading::Whole(Read::of(&metadata, state.size)))
    }

    /// Begins to fetch a range. It goes on while the lane that wants it is held up, and so holds nothing up itself.
    fn fetch(&self, key: &str, state: &State, begin: u64, room: Option<OwnedSemaphorePermit>) -> Fetched {
        let (reader, key, state) = (self.clone(), key.to_owned(), state.clone());
        let size = RANGE.min(state.size - begin);
        let range = tokio::spawn(async move { reader.read_range(&key, &state, begin, size).await });
        Fetched { range, _room: room }
    }

    async fn read_range(&self, key: &str, state: &State, begin: u64, size: u64) -> Result<Reading<Range>> {
        let range = BytesRange::new(begin, Some(size));
        Ok(match self.open(key, Some(state), range).await? {
            Reading::Whole((metadata, mut stream)) => match stream.read_all_dyn().await {
                Ok(content) if content.len() as u64 == size => Reading::Whole((metadata, content)),
                Ok(_) => Reading::Changed,
                Err(error) => return self.missed("read", key, error),
            },
            Reading::Changed => Reading::Changed,
            Reading::Gone => Reading::Gone,
            Reading::Refused(why) => Reading::Refused(why),
        })
    }

    /// Without an ETag there is only the look before and the look after.
    async fn read_unmarked(
        &self,
        key: &str,
        state: &State,
        out: &mut PartWriter<'_>,
    ) -> Result<Reading<Read>> {
        let before = match self.look(key).await? {
            Reading::Whole(before) if before.state.is(state) => before,
            Reading::Whole(_) => return Ok(Reading::Changed),
            other => return Ok(other),
        };
        match self.read_at_once(key, state, |piece| write(out, piece)).await? {
            Reading::Whole(_) => {}
            other => return Ok(other),
        }
        match self.look(key).await? {
            Reading::Whole(after) if after.state.is(&before.state) => Ok(Reading::Whole(before)),
            Reading::Whole(_) | Reading::Changed => Ok(Reading::Changed),
            other => Ok(other),
        }
    }

    async fn open(
        &self,
        key: &str,
        state: Option<&State>,
        range: BytesRange,
    ) -> Result<Reading<(Metadata, Box<dyn oio::ReadStreamDyn>)>> {
        let op = self.bucket.operator();
        let can = op.service().capability();
        let version = state.and_then(|state| state.version.clone()).filter(|_| can.read_with_version);
        let etag = state.and_then(|state| state.etag.as_deref());
        let is_fixed = version.is_some() && state.is_some_and(|state| state.fixed().is_some());
        let if_match = etag.filter(|_| !is_fixed && can.read_with_if_match).map(quoted);
        let options = options::ReadOptions { version, if_match, ..Default::default() };
        let (_, args, _): (BytesRange, OpRead, _) = options.into();
        let opened = async {
            let reader = op.service().read(op.context(), key, args)?;
            reader.open_dyn(range).await
        };
        let (told, stream) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return self.missed("read", key, error),
        };
        let metadata = told.into_metadata().unwrap_or_else(|| MetadataBuilder::file(0).build());
        match state {
            Some(state) if !is_of(&metadata, state) => Ok(Reading::Changed),
            _ => Ok(Reading::Whole((metadata, stream))),
        }
    }

    /// What an error means for this object; or the error, if it is not the object's.
    fn missed<T>(&self, doing: &str, key: &str, error: opendal::Error) -> Result<Reading<T>> {
        match error.kind() {
            ErrorKind::NotFound => Ok(Reading::Gone),
            ErrorKind::ConditionNotMatch | ErrorKind::RangeNotSatisfied => Ok(Reading::Changed),
            ErrorKind::PermissionDenied => {
                let told = self.bucket.failed(doing, key, error);
                Ok(Reading::Refused(told.message().to_owned()))
            }
            _ => Err(self.bucket.failed(doing, key, error)),
        }
    }
}

/// Whether an answer is of the state that was asked for.
fn is_of(metadata: &Metadata, state: &State) -> bool {
    let told = State::of(metadata);
    let same = |one: &Option<String>, other: &Option<String>| match (one, other) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    (told.version.is_none() || state.fixed().is_none() || told.version == state.version)
        && same(&told.etag, &state.etag)
}

impl Read {
    fn of(metadata: &Metadata, size: u64) -> Self {
        Self { state: State { size, ..State::of(metadata) }, headers: Headers::of(metadata) }
    }
}

async fn size_of(stream: &mut dyn oio::ReadStreamDyn) -> opendal::Result<u64> {
    let mut size = 0;
    loop {
        match stream.read_dyn().await? {
            piece if piece.is_empty() => return Ok(size),
            piece => size += piece.len() as u64,
        }
    }
}

fn write(out: &mut PartWriter<'_>, piece: &[u8]) -> Result<()> {
    out.write_all(piece).map_err(|error| Error::io("can't write an object into the archive", error))
}
