//! What a dump is asked to do, and what came of it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_archive::{Existing, FileOutput, Output, StreamOutput};
use dumprestore_driver::{Cancel, Error, LedgerEntry, NodePath, Result};
use serde::Serialize;

use crate::archived::archive_error;
use crate::{IfUncertified, Observer};

/// How a set is dumped.
#[derive(Clone)]
#[non_exhaustive]
pub struct DumpOptions {
    /// Selectors of the nodes to dump; all if there is none.
    pub only: Vec<String>,
    /// Whether declared references are certified on the cut. On by default; off, the archive's edges say that they
    /// were not checked, and rows may point at files that are not there.
    pub certify: bool,
    /// What happens if no cut can be certified, in place of what the set says.
    pub if_uncertified: Option<IfUncertified>,
    /// Watches the run.
    pub observer: Arc<dyn Observer>,
    /// Stops the run.
    pub cancel: Cancel,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            certify: true,
            if_uncertified: None,
            observer: Arc::new(()),
            cancel: Cancel::default(),
        }
    }
}

/// Where an archive is written to.
#[non_exhaustive]
pub enum Destination {
    /// A file, which appears under its name when it is whole, with mode 0600.
    File {
        /// The name.
        path: PathBuf,
        /// What to do about a file that has it already.
        existing: Existing,
    },
    /// A stream, such as standard output.
    Stream(Box<dyn Write + Send>),
    /// A place that is not of this machine's file system, or several places at once.
    Elsewhere(Box<dyn Elsewhere>),
    /// Anything else.
    Output(Box<dyn Output>),
}

/// Where an archive goes that is not simply a file: an object store, or several places at once.
///
/// # Behavior
/// - `open` is called once, by a run that holds the lock of its set: what another run of that set has left in these
///   places is dead, and may be removed. It fails if nothing can be written to any of them.
/// - `copies` is asked after the archive was published. An archive counts as published if one copy is whole.
pub trait Elsewhere: Send {
    /// Its name for people, hooks and reports, without secrets.
    fn label(&self) -> String;
    /// Opens it. `state` is the set's folder for what has to outlive a crash.
    fn open(&mut self, state: &Path) -> Result<Opened>;
    /// About how many bytes are to come, before they are compressed: asked once, before the first of them. Gives what may go
    /// wrong for that.
    fn expect(&mut self, bytes: u64) -> Vec<Error> {
        let _ = bytes;
        Vec::new()
    }
    /// What became of each copy.
    fn copies(&self) -> Vec<ArchiveCopy>;
}

/// A place that was opened.
#[non_exhaustive]
pub struct Opened {
    /// What takes the archive.
    pub output: Box<dyn Output>,
    /// Files that are ours: no dump must hold them.
    pub ours: Vec<PathBuf>,
    /// What did not go as it should, though the archive can be written.
    pub warnings: Vec<Error>,
}

impl Opened {
    /// Nothing is ours there, and nothing amiss.
    pub fn new(output: Box<dyn Output>) -> Self {
        Self { output, ours: Vec::new(), warnings: Vec::new() }
    }
}

/// What became of an archive in one place.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ArchiveCopy {
    /// Its name in that place, without secrets.
    pub place: String,
    /// What became of it.
    pub outcome: CopyOutcome,
    /// Why it is not `verified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ArchiveCopy {
    /// One that is there, and was looked at.
    pub fn verified(place: impl Into<String>) -> Self {
        Self { place: place.into(), outcome: CopyOutcome::Verified, why: None, hint: None }
    }

    /// One that is not as it should be.
    pub fn amiss(place: impl Into<String>, outcome: CopyOutcome, error: &Error) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { place: place.into(), outcome, why: Some(error.to_string()), hint }
    }
}

/// What became of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyOutcome {
    /// It is there, and what the place says of it is what was written.
    Verified,
    /// It is there as far as the place has told, but could not be looked at.
    Unverified,
    /// It is not there.
    Failed,
}

impl Destination {
    /// A file that does not exist yet.
    pub fn new_file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into(), existing: Existing::Keep }
    }

    /// Its path, for hooks and reports.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File { path, .. } => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            _ => None,
        }
    }

    /// Its name for people, hooks and reports.
    pub(crate) fn label(&self) -> Option<String> {
        match self {
            Self::Elsewhere(elsewhere) => Some(elsewhere.label()),
            _ => self.path().map(|path| path.display().to_string()),
        }
    }

    /// Opens it. The second answer is what can be asked afterwards what became of each copy.
    pub(super) fn open(self, state: &Path) -> Result<(Opened, Option<Box<dyn Elsewhere>>)> {
        match self {
            Self::File { path, existing } => {
                let file = FileOutput::create(&path, existing).map_err(archive_error)?;
                let ours = vec![file.partial_path().to_owned(), path];
                Ok((Opened { ours, ..Opened::new(Box::new(file)) }, None))
            }
            Self::Stream(stream) => Ok((Opened::new(Box::new(StreamOutput::new(stream))), None)),
            Self::Elsewhere(mut elsewhere) => Ok((elsewhere.open(state)?, Some(elsewhere))),
            Self::Output(output) => Ok((Opened::new(output), None)),
        }
    }
}

/// What came of a dump.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DumpReport {
    /// The run's name.
    pub run: String,
    /// How it ended.
    pub outcome: DumpOutcome,
    /// The archive: the path of a file, or what else its place is called.
    pub archive: Option<String>,
    /// What became of each copy, if it went elsewhere than into a file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<ArchiveCopy>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its nodes, in the order of the dump.
    pub nodes: Vec<DumpedNode>,
    /// Its references, with what the certificate found.
    pub edges: Vec<dumprestore_archive::Edge>,
    /// How many cuts were made.
    pub cuts: usize,
    /// How the last of them was judged: `certified`, `locked` (certified while writers waited), `known` (all that
    /// dangles is the application's own), `degraded` (no cut could be certified) or `unchecked`.
    pub verdict: String,
}

/// How a dump ended, if it ended with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DumpOutcome {
    /// All is in it, and every certified reference resolves.
    Ok,
    /// Something was not dumped as it was: the ledgers say what.
    Degraded,
    /// References dangle: the edges say which.
    Dangling,
}

/// What came of one node.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DumpedNode {
    /// The node.
    pub node: NodePath,
    /// `ok` or `degraded`.
    pub status: dumprestore_archive::Status,
    /// Bytes of content.
    pub bytes: u64,
    /// Parts.
    pub parts: u64,
    /// What was not dumped as it was.
    pub ledger: Vec<LedgerEntry>,
}
