//! One part's record. There may be ten million, so they are never in memory all at once.

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::method::Method;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::sync::Arc;

/// A part: its content, and where it lies.
///
/// Written by [`ArchiveWriter::list`](crate::ArchiveWriter::list), read by [`Archive::parts`](crate::Archive::parts).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Part {
    /// Its name within the node.
    pub name: Arc<str>,
    /// Bytes of content.
    pub size: u64,
    /// The content's SHA-256.
    pub sha256: Digest,
    /// Rows, where the driver knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How it is stored.
    pub method: Method,
    /// Where its local header begins, in bytes from the beginning of the archive.
    pub offset: u64,
    /// Bytes as stored.
    pub stored: u64,
    /// The content's CRC-32, as zip has it.
    #[serde(with = "crc_hex")]
    pub crc32: u32,
    /// Whether sizes and CRC stand behind the content, not in the local header.
    #[serde(default, skip_serializing_if = "is_false")]
    pub descriptor: bool,
    /// Where the content is; in the archive if nothing is said.
    #[serde(default, skip_serializing_if = "Content::is_archive")]
    pub content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<Box<RawValue>>,
}

impl Part {
    pub(crate) fn new(name: &str, method: Method) -> Self {
        Self {
            name: name.into(),
            size: 0,
            sha256: Digest::default(),
            rows: None,
            method,
            offset: 0,
            stored: 0,
            crc32: 0,
            descriptor: false,
            content: Content::Archive,
            meta: None,
        }
    }

    /// The driver's own note on the part, as it was given.
    pub fn meta<T: de::DeserializeOwned>(&self) -> Result<Option<T>> {
        let parsed = self.meta.as_ref().map(|raw| serde_json::from_str(raw.get())).transpose();
        parsed.map_err(|error| Error::damaged(format!("the part's meta: {error}")).at(&*self.name))
    }

    /// The driver's own note on the part as JSON text.
    pub fn meta_json(&self) -> Option<&str> {
        self.meta.as_ref().map(|raw| raw.get())
    }
}

/// Where a part's content is.
///
/// Later formats may know other places, such as a version of an object or an earlier archive. A reader refuses
/// a place that it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// In this archive.
    #[default]
    Archive,
    /// In a place that this version does not know.
    Unknown(Box<str>),
}

impl Content {
    pub(crate) fn is_archive(&self) -> bool {
        *self == Self::Archive
    }

    fn place(&self) -> &str {
        match self {
            Self::Archive => "archive",
            Self::Unknown(place) => place,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Place<S> {
    r#in: S,
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Place { r#in: self.place() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Place { r#in: place } = Place::<String>::deserialize(deserializer)?;
        Ok(if place == "archive" { Self::Archive } else { Self::Unknown(place.into()) })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

mod crc_hex {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(super) fn serialize<S: Serializer>(crc: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{crc:08x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let crc = if digits { u32::from_str_radix(&text, 16).ok() } else { None };
        crc.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"8 hexadecimal digits"))
    }
}
