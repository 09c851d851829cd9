//! Parts: the named streams that a node's section of the archive is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, NodePath, PartName, Result};

/// Versions, positions and settings of a source, by name. Goes into the manifest: no secrets.
pub type Facts = BTreeMap<String, String>;

/// A stream of parts, as a source lists them. There may be millions.
pub type PartStream = BoxStream<'static, Result<Part>>;

/// A stream of parts that are known already.
pub fn part_stream<I>(parts: I) -> PartStream
where
    I: IntoIterator<Item = Part>,
    I::IntoIter: Send + 'static,
{
    futures_util::stream::iter(parts.into_iter().map(Ok)).boxed()
}

/// A SHA-256.
///
/// With serde it is 64 hexadecimal digits in a format for people, such as JSON, and 32 bytes in any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From what a referrer holds: 32 bytes, or 64 hexadecimal digits. `None` if it is neither.
    pub fn parse(held: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        match held.len() {
            32 => bytes.copy_from_slice(held),
            64 => hex::decode_to_slice(held, &mut bytes).ok()?,
            _ => return None,
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| Error::archive(format!("`{}` is not a sha256", text.escape_debug())))?;
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match to.is_human_readable() {
            true => to.collect_str(self),
            false => self.0.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.is_human_readable() {
            true => Self::try_from(String::deserialize(from)?).map_err(D::Error::custom),
            false => Deserialize::deserialize(from).map(Self),
        }
    }
}

/// Names one finished part among all that were written for its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaptureId(pub u64);

/// A part that a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Its name.
    pub name: PartName,
    /// About how many bytes it has.
    pub size: Option<u64>,
    /// The finished capture that is its content: it is not dumped again.
    pub captured: Option<CaptureId>,
    /// How many rows that capture has, if it has rows.
    pub rows: Option<u64>,
}

impl Part {
    /// A part that is still to be dumped.
    pub fn new(name: PartName) -> Self {
        Self { name, size: None, captured: None, rows: None }
    }

    /// The same, of about that many bytes.
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// The same, with a finished capture for its content.
    pub fn with_captured(mut self, capture: CaptureId) -> Self {
        self.captured = Some(capture);
        self
    }

    /// The same, with the rows of its capture.
    pub fn with_rows(mut self, rows: Option<u64>) -> Self {
        self.rows = rows;
        self
    }
}

/// How [`Source::dump`](crate::Source::dump) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dumped {
    /// The part is whole. Its rows, where it has rows.
    Whole {
        /// How many rows it has, if it has rows.
        rows: Option<u64>,
    },
    /// It changed while it was read: what was written is thrown away, and it is dumped again at once. The source
    /// bounds how often it says so.
    Torn,
    /// It has vanished: what was written is thrown away. The source enters it in its ledger if that matters.
    Gone,
}

/// What is known of a part once all of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its name among the captures.
    pub capture: CaptureId,
    /// How many bytes it has.
    pub size: u64,
    /// The SHA-256 of them.
    pub digest: Digest,
}

/// What the engine puts behind a [`PartWriter`].
pub trait PartSink: Send {
    /// Takes all of `data`, or fails.
    fn write(&mut self, data: &[u8]) -> Result<()>;

    /// Ends the part. Twice is once.
    fn finish(&mut self) -> Result<Receipt>;
}

/// Where a part is written to. An [`io::Write`]; large pieces are better than small ones (64 KiB and more).
pub struct PartWriter<'a>(&'a mut dyn PartSink);

impl<'a> PartWriter<'a> {
    /// A writer to that sink.
    pub fn new(sink: &'a mut dyn PartSink) -> Self {
        Self(sink)
    }

    /// Ends the part, to learn its size and digest. Nothing can be written after it.
    ///
    /// # Errors
    /// If the archive can't be written, or the run is to stop.
    pub fn finish(&mut self) -> Result<Receipt> {
        self.0.finish()
    }
}

impl Write for PartWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a part is read from. An [`io::Read`] that fails, at the end at the latest, if the content is not what was
/// dumped.
pub struct PartReader<'a>(&'a mut (dyn Read + Send));

impl<'a> PartReader<'a> {
    /// A reader of that stream.
    pub fn new(stream: &'a mut (dyn Read + Send)) -> Self {
        Self(stream)
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// A part that the archive has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchivedPart {
    /// Its name.
    pub name: PartName,
    /// How many bytes it has.
    pub size: u64,
    /// The SHA-256 of them.
    pub digest: Digest,
    /// How many rows it has, if it has rows.
    pub rows: Option<u64>,
}

impl ArchivedPart {
    /// A part of that name, size and content.
    pub fn new(name: PartName, size: u64, digest: Digest) -> Self {
        Self { name, size, digest, rows: None }
    }

    /// The same, with that many rows.
    pub fn with_rows(mut self, rows: Option<u64>) -> Self {
        self.rows = rows;
        self
    }
}

/// A node's section of an archive.
pub trait ArchivedNode: Send + Sync {
    /// The node that was dumped.
    fn path(&self) -> &NodePath;

    /// The driver that dumped it.
    fn kind(&self) -> &str;

    /// The format of its parts.
    fn format(&self) -> u32;

    /// What the source said of itself at the pin.
    fn facts(&self) -> &Facts;

    /// All its parts, in the order in which they were listed.
    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_>;

    /// The part of that name.
    fn part(&self, name: &PartName) -> Option<ArchivedPart> {
        self.parts().find(|part| part.name == *name)
    }

    /// Opens a part. Any part, at any time, several at once.
    ///
    /// # Errors
    /// If there is none of that name, or the archive can't be read.
    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>>;
}
