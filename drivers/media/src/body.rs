//! The bytes of one object in one state, however often the connection breaks meanwhile.
//!
//! What is asked for again after that is asked under the same condition, and the answer's own word on what it is of is compared: so it
//! can't go on with another object, not even where a store passes over conditions.

use std::time::Duration;

use dumprestore_bucket::Bucket;
use dumprestore_bucket::opendal::raw::{OpRead, Service as _, oio};
use dumprestore_bucket::opendal::{self, Buffer, BytesRange, Metadata, MetadataBuilder, options};
use dumprestore_driver::Result;

use crate::reading::{Reading, missed};
use crate::state::{State, quoted};

type Answer = (Metadata, Box<dyn oio::ReadStreamDyn>);
type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

/// What is asked for.
#[derive(Clone)]
struct Wish {
    bucket: Bucket,
    key: String,
    /// What it must be, if that is known.
    state: Option<State>,
    begin: u64,
    /// To the end without.
    size: Option<u64>,
}

/// An answer that is being read.
pub(crate) struct Body {
    wish: Wish,
    metadata: Metadata,
    stream: Box<dyn oio::ReadStreamDyn>,
    taken: u64,
    pauses: Pauses,
}

impl Body {
    /// Asks for `size` bytes from `begin` on, or for all that follow.
    ///
    /// # Errors
    /// If the store can't be read for a reason that is not this object's.
    pub(crate) async fn open(
        bucket: &Bucket,
        key: &str,
        state: Option<&State>,
        (begin, size): (u64, Option<u64>),
    ) -> Result<Reading<Self>> {
        let wish = Wish { bucket: bucket.clone(), key: key.to_owned(), state: state.cloned(), begin, size };
        let mut pauses: Pauses = Box::new(bucket.pauses());
        loop {
            match wish.ask(0).await {
                Ok((metadata, _)) if state.is_some_and(|state| !is_of(&metadata, state)) => {
                    return Ok(Reading::Changed);
                }
                Ok((metadata, stream)) => {
                    let pauses = Box::new(bucket.pauses());
                    return Ok(Reading::Whole(Self { wish, metadata, stream, taken: 0, pauses }));
                }
                Err(error) => match pauses.next().filter(|_| error.is_temporary()) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return missed(bucket, "read", key, error),
                },
            }
        }
    }

    /// What the answer said of the object.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn next(&mut self) -> Result<Reading<Buffer>> {
        loop {
            let error = match self.stream.read_dyn().await {
                Ok(piece) => {
                    if !piece.is_empty() {
                        self.taken += piece.len() as u64;
                        self.pauses = Box::new(self.wish.bucket.pauses());
                    }
                    return Ok(Reading::Whole(piece));
                }
                Err(error) => error,
            };
            if self.wish.left(self.taken) == Some(0) {
                return Ok(Reading::Whole(Buffer::new()));
            }
            if let Some(ended) = self.go_on(error).await? {
                return Ok(ended);
            }
        }
    }

    /// Asks for the rest, once the connection broke.
    async fn go_on(&mut self, mut error: opendal::Error) -> Result<Option<Reading<Buffer>>> {
        loop {
            let Some(pause) = self.pauses.next().filter(|_| error.is_temporary()) else {
                return missed(&self.wish.bucket, "read", &self.wish.key, error).map(Some);
            };
            tokio::time::sleep(pause).await;
            match self.wish.ask(self.taken).await {
                Ok((now, stream)) => {
                    let was = State::of(&self.metadata);
                    if !is_of(&now, self.wish.state.as_ref().unwrap_or(&was)) || !is_of(&now, &was) {
                        return Ok(Some(Reading::Changed));
                    }
                    self.stream = stream;
                    return Ok(None);
                }
                Err(another) => error = another,
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn all(mut self) -> Result<Reading<(Metadata, Vec<Buffer>)>> {
        let mut pieces = Vec::new();
        loop {
            match self.next().await? {
                Reading::Whole(piece) if piece.is_empty() => {
                    return Ok(Reading::Whole((self.metadata, pieces)));
                }
                Reading::Whole(piece) => pieces.push(piece),
                other => return Ok(other.of_nothing()),
            }
        }
    }
}

impl Wish {
    /// How much there is to read yet, if that is known.
    fn left(&self, taken: u64) -> Option<u64> {
        let whole = self.state.as_ref().filter(|_| !self.key.ends_with('/')).map(|state| state.size);
        let size = self.size.or_else(|| whole?.checked_sub(self.begin));
        size.map(|size| size.saturating_sub(taken))
    }

    async fn ask(&self, taken: u64) -> opendal::Result<Answer> {
        let op = self.bucket.once();
        let can = op.service().capability();
        let state = self.state.as_ref();
        let version = state.and_then(|state| state.version.clone()).filter(|_| can.read_with_version);
        let etag = state.and_then(|state| state.etag.as_deref());
        let is_fixed = version.is_some() && state.is_some_and(|state| state.fixed().is_some());
        let if_match = etag.filter(|_| !is_fixed && can.read_with_if_match).map(quoted);
        let options = options::ReadOptions { version, if_match, ..Default::default() };
        let (_, args, _): (BytesRange, OpRead, _) = options.into();
        let reader = op.service().read(op.context(), &self.key, args)?;
        let size = self.size.map(|size| size.saturating_sub(taken));
        let (told, stream) = reader.open_dyn(BytesRange::new(self.begin + taken, size)).await?;
        let metadata = told.into_metadata().unwrap_or_else(|| MetadataBuilder::file(0).build());
        Ok((metadata, stream))
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
