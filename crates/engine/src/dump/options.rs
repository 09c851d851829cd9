//! What a dump is asked to do, and what came of it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use dumprestore_archive::{Existing, FileOutput, Output, StreamOutput};
use dumprestore_driver::{Cancel, LedgerEntry, NodePath, Result};
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
    /// Anything else.
    Output(Box<dyn Output>),
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

    /// Opens it. The second answer are the files that are ours: no dump must hold them.
    pub(super) fn open(self) -> Result<(Box<dyn Output>, Vec<PathBuf>)> {
        match self {
            Self::File { path, existing } => {
                let file = FileOutput::create(&path, existing).map_err(archive_error)?;
                let ours = vec![file.partial_path().to_owned(), path];
                Ok((Box::new(file), ours))
            }
            Self::Stream(stream) => Ok((Box::new(StreamOutput::new(stream)), Vec::new())),
            Self::Output(output) => Ok((output, Vec::new())),
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
    /// The archive, if it is a file.
    pub archive: Option<PathBuf>,
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
