//! Reading objects, each in one state.
//!
//! A request for bytes names the version, or the ETag under which they were listed; a store that has another by then
//! refuses. The ETag of each answer is compared as well, for stores that don't know the condition (`body.rs`). So what several
//! requests bring, a retry after a broken connection included, is of one state, or it is thrown away.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use dumprestore_bucket::opendal::raw::{OpStat, Service as _};
use dumprestore_bucket::opendal::{self, Buffer, ErrorKind, Metadata};
use dumprestore_bucket::{Bucket, Scheme};
use dumprestore_driver::{Digest, Error, PartWriter, Result};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::body::Body;
use crate::line::Headers;
use crate::state::State;

/// Larger objects are read by ranges of that size, several at once.
const RANGE: u64 = 4 << 20;
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

impl<T> Reading<T> {
    /// The same of something else. Of what was read whole, nothing is left.
    pub(crate) fn of_nothing<U>(self) -> Reading<U> {
        match self {
            Self::Whole(_) | Self::Changed => Reading::Changed,
            Self::Gone => Reading::Gone,
            Self::Refused(why) => Reading::Refused(why),
        }
    }
}

/// What is known of bytes that were read.
pub(crate) struct Read {
    pub(crate) state: State,
    pub(crate) headers: Headers,
}

/// Some bytes of an object, and what the answer said of it.
type Range = (Metadata, Vec<Buffer>);

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
            return Ok(match Body::open(&self.bucket, key, None, (0, None)).await? {
                Reading::Whole(body) => match body.all().await? {
                    Reading::Whole((metadata, pieces)) => {
                        Reading::Whole(Read::of(&metadata, size_of(&pieces)))
                    }
                    other => other.of_nothing(),
                },
                other => other.of_nothing(),
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
            Err(error) => missed(&self.bucket, "look at", key, error),
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
            other => other.of_nothing(),
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
        let mut body = match Body::open(&self.bucket, key, Some(state), (0, None)).await? {
            Reading::Whole(body) => body,
            other => return Ok(other.of_nothing()),
        };
        let mut size = 0;
        loop {
            let piece = match body.next().await? {
                Reading::Whole(piece) if piece.is_empty() => break,
                Reading::Whole(piece) => piece,
                other => return Ok(other.of_nothing()),
            };
            for bytes in piece {
                size += bytes.len() as u64;
                take(&bytes)?;
            }
        }
        match size == state.size || key.ends_with('/') {
            true => Ok(Reading::Whole(Read::of(body.metadata(), size))),
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
                    for bytes in content.into_iter().flatten() {
                        write(out, &bytes)?;
                    }
                    first.get_or_insert(metadata);
                }
                other => return Ok(other.of_nothing()),
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
        Ok(match Body::open(&self.bucket, key, Some(state), (begin, Some(size))).await? {
            Reading::Whole(body) => match body.all().await? {
                Reading::Whole((_, content)) if size_of(&content) != size => Reading::Changed,
                read => read,
            },
            other => other.of_nothing(),
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
}

/// What an error means for an object; or the error, if it is not the object's.
pub(crate) fn missed<T>(
    bucket: &Bucket,
    doing: &str,
    key: &str,
    error: opendal::Error,
) -> Result<Reading<T>> {
    match error.kind() {
        ErrorKind::NotFound => Ok(Reading::Gone),
        ErrorKind::ConditionNotMatch | ErrorKind::RangeNotSatisfied => Ok(Reading::Changed),
        kind if kind == ErrorKind::PermissionDenied || bucket.is_of_object(&error) => {
            Ok(Reading::Refused(bucket.failed(doing, key, error).to_string()))
        }
        _ => Err(bucket.failed(doing, key, error)),
    }
}

impl Read {
    fn of(metadata: &Metadata, size: u64) -> Self {
        Self { state: State { size, ..State::of(metadata) }, headers: Headers::of(metadata) }
    }
}

fn size_of(pieces: &[Buffer]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

fn write(out: &mut PartWriter<'_>, piece: &[u8]) -> Result<()> {
    out.write_all(piece).map_err(|error| Error::io("can't write an object into the archive", error))
}
