//! The manifest: what is in the archive, how it was made, how to replay it.
//!
//! Written by [`ArchiveWriter::seal`](crate::ArchiveWriter::seal), which fills in what only the writer knows:
//! where each part lies, when the archive was sealed, the digest of all that precedes.

mod check;
mod document;
mod part;
mod proof;

pub(crate) use check::{Checker, check_nodes};
pub(crate) use document::{Document, Streamed};
pub use part::{Content, Part};
pub use proof::{Cut, Dangling, Edge};

use crate::digest::Digest;
use crate::entry_time::EntryTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use time::OffsetDateTime;

/// The version of the format: a reader of one major version reads all minor versions of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Changes when an older reader could misread the archive.
    pub major: u32,
    /// Changes when fields are added that an older reader may overlook.
    pub minor: u32,
}

impl Format {
    /// The version that this crate writes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        parsed.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"a version such as `1.0`"))
    }
}

/// What stands in `manifest.json`, but for the parts, of which there can be more than memory has room for: the writer
/// takes them [one by one](crate::ArchiveWriter::list), an archive [gives them](crate::Archive::parts) so.
///
/// Serialised by itself it is without its nodes; [`Archive::document`](crate::Archive::document) has all of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The version of the format.
    pub format: Format,
    /// The program that wrote the archive.
    pub tool: Tool,
    /// The id of the run, unique.
    pub run: String,
    /// The name of the set.
    pub set: String,
    /// When the run began.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// When the archive was opened for writing. Filled in by `seal`.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The moment at which every node that can be was pinned.
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<OffsetDateTime>,
    /// When the last part was in the archive. Filled in by `seal`.
    #[serde(with = "time::serde::rfc3339")]
    pub sealed: OffsetDateTime,
    /// The modification time in every zip header. Filled in by `seal`.
    pub entry_time: EntryTime,
    /// All bytes before the manifest's own header. Filled in by `seal`.
    pub preceding: Preceding,
    /// The configuration of the set, with secrets as references.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// The node paths in the order of the dump; a restore goes the other way.
    #[serde(default)]
    pub order: Vec<String>,
    /// The declared references, and what the check on the cut found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// The cuts that were tried, in order; the last is the one the archive holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
    /// The nodes that have a driver.
    #[serde(skip_serializing)]
    pub nodes: Vec<Node>,
}

impl Manifest {
    /// A manifest without nodes. `tool` and its version, the set's name, the run's id and its beginning.
    pub fn new(tool: Tool, set: impl Into<String>, run: impl Into<String>, started: OffsetDateTime) -> Self {
        Self {
            format: Format::CURRENT,
            tool,
            run: run.into(),
            set: set.into(),
            started,
            created: started,
            cut: None,
            sealed: started,
            entry_time: started.into(),
            preceding: Preceding::default(),
            config: Value::Null,
            order: Vec::new(),
            edges: Vec::new(),
            cuts: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// The node of this path.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.path == path)
    }
}

/// The program that wrote the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Such as `dumprestore`.
    pub name: String,
    /// Such as `0.1.0`.
    pub version: String,
}

/// All bytes before the manifest's local header, superseded and abandoned entries included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preceding {
    /// How many; also where the manifest's local header begins.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All of it is in the archive.
    Ok,
    /// What is missing stands in the ledger.
    Degraded,
    /// It is not usable.
    Failed,
}

/// A node that has a driver.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Node {
    /// Names joined by dots from below the root.
    pub path: String,
    /// The kind of the driver, such as `sqlite`.
    pub driver: String,
    /// The version of what that driver puts into its parts.
    pub driver_format: u32,
    /// How the node ended.
    pub status: Status,
    /// What the driver found out about the source: versions, positions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// What the driver could do with the source.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub capabilities: Value,
    /// When what was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// What vanished or was skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ledger: Vec<LedgerEntry>,
}

impl Node {
    /// A node whose status is `ok`.
    pub fn new(path: impl Into<String>, driver: impl Into<String>, driver_format: u32) -> Self {
        Self {
            path: path.into(),
            driver: driver.into(),
            driver_format,
            status: Status::Ok,
            facts: BTreeMap::new(),
            capabilities: Value::Null,
            windows: Vec::new(),
            ledger: Vec::new(),
        }
    }
}

/// A span of time in a node's dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Such as `capture`, `pin`, `dump`.
    pub phase: String,
    /// Its beginning.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
}

/// Something that is not in the archive, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// What it was, as the driver names it.
    pub path: String,
    /// Why it is missing.
    pub why: String,
}
