//! What a restore is asked to do, and what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_archive::{Archive, Limits, RangeRead};
use dumprestore_driver::{Cancel, Content, Error, ErrorKind, Extras, LedgerEntry, NodePath, Result};
use serde::Serialize;

use crate::Observer;
use crate::archived::{archive_error, told};
use crate::dump::Elsewhere;

/// How a set is restored.
#[derive(Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Selectors of the nodes to restore, `NODE`, or of things of one, `NODE:THING`; all if there is none.
    pub only: Vec<String>,
    /// What of these is restored.
    pub content: Content,
    /// Selectors of the nodes that are restored in place; an empty list means all nodes that are restored.
    pub in_place: Option<Vec<String>>,
    /// What becomes of things that a target has and the archive does not. If nothing is said they are removed, but
    /// kept in captured nodes that are degraded in the archive: what a dump could not read must not be lost to its
    /// restore.
    pub extras: Option<Extras>,
    /// What becomes of those of single nodes, whatever `extras` says.
    pub extras_of: BTreeMap<NodePath, Extras>,
    /// Whether an archive of a set of another name may be restored.
    pub other_set: bool,
    /// Whether the old state of the whole set is kept as `:previous`.
    pub reversible: bool,
    /// Where the present state is dumped to, before anything else. What is there and can't be dumped whole stops the
    /// restore; what is not there yet does not.
    pub safety_dump: Option<PathBuf>,
    /// The same, elsewhere than into a file: called when it is time, unless [`safety_dump`](Self::safety_dump) names one.
    pub safety_dump_elsewhere: Option<MakeElsewhere>,
    /// Whether the restore goes on with a safety dump that lacks something: what it lacks is only told.
    pub safety_dump_best_effort: bool,
    /// Watches the run.
    pub observer: Arc<dyn Observer>,
    /// Stops the run: everything is rolled back.
    pub cancel: Cancel,
}

/// Makes a place for one archive.
pub type MakeElsewhere = Arc<dyn Fn() -> Result<Box<dyn Elsewhere>> + Send + Sync>;

impl RestoreOptions {
    /// Whether the present state is dumped first.
    pub(super) fn dumps_first(&self) -> bool {
        self.safety_dump.is_some() || self.safety_dump_elsewhere.is_some()
    }
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            content: Content::All,
            in_place: None,
            extras: None,
            extras_of: BTreeMap::new(),
            other_set: false,
            reversible: false,
            safety_dump: None,
            safety_dump_elsewhere: None,
            safety_dump_best_effort: false,
            observer: Arc::new(()),
            cancel: Cancel::default(),
        }
    }
}

/// An archive that is open for reading.
#[derive(Clone)]
pub struct OpenArchive {
    pub(crate) archive: Arc<Archive>,
    pub(crate) label: String,
    pub(crate) path: Option<PathBuf>,
    pub(crate) place: Option<String>,
}

impl OpenArchive {
    /// Opens a file. Its manifest, its central directory and every name are checked here; its content is by
    /// [`verify`](crate::verify), and before every restore.
    ///
    /// What of a very long list of parts has no room in memory goes to files without a name in
    /// [`std::env::temp_dir`], so in `TMPDIR`. To have them elsewhere, open it by
    /// [`Archive::open_with`], and take that by [`new`](Self::new).
    ///
    /// # Errors
    /// [`ErrorKind::Archive`] if it is no archive, a damaged one, or can't be read. [`ErrorKind::Environment`] if there
    /// is no room for such files: that says nothing about the archive.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path)
            .map_err(|error| unopened(error).with_context("file", path.display()))?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::read(Arc::new(file), path.display().to_string()).map(|opened| opened.at_path(absolute))
    }

    /// Opens what can be read at any place, such as an object in a store, in the same way; `label` is its name for
    /// people. Blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open). If reading fails with an [`Error`] inside of the [`io::Error`](std::io::Error), it is
    /// that one: a store that can't be reached says nothing about the archive.
    pub fn read(file: Arc<dyn RangeRead>, label: impl Into<String>) -> Result<Self> {
        let label = label.into();
        let scratch = Some(std::env::temp_dir());
        let archive = Archive::open_with(file, &Limits::default(), scratch)
            .map_err(|error| unread(error).with_context("archive", &label))?;
        Ok(Self { archive: Arc::new(archive), label, path: None, place: None })
    }

    /// The same, which is the file of that absolute path: no restore may replace it.
    pub fn at_path(mut self, path: PathBuf) -> Self {
        self.label = path.display().to_string();
        self.path = Some(path);
        self
    }

    /// The same, which is in a store, at the place of that canonical name, as drivers would claim it: no restore may replace it.
    pub fn at_place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// An archive from elsewhere; `label` is its name for people.
    pub fn new(archive: Archive, label: impl Into<String>) -> Self {
        Self { archive: Arc::new(archive), label: label.into(), path: None, place: None }
    }

    /// The archive itself.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Its name for people.
    pub fn label(&self) -> &str {
        &self.label
    }
}

fn unopened(error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let made = Error::io("can't open the archive", error).with_kind(ErrorKind::Archive);
    if missing { made.with_hint("check its name; `latest` means the newest one of the set") } else { made }
}

/// An archive that can't be read, whosever fault that is; but a full folder for scratch files is not the archive's.
fn unread(error: dumprestore_archive::Error) -> Error {
    let is_of_file = error.kind() == dumprestore_archive::ErrorKind::Io && told(&error).is_none();
    let made = archive_error(error);
    if is_of_file { made.with_kind(ErrorKind::Archive) } else { made }
}

/// What came of a restore.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The run's name.
    pub run: String,
    /// How it ended.
    pub outcome: RestoreOutcome,
    /// Where the present state was dumped to before, if it was.
    pub safety_dump: Option<String>,
    /// Whether the old state is kept as `:previous`.
    pub kept_previous: bool,
    /// The nodes that were restored, in the order of their commits.
    pub nodes: Vec<RestoredNode>,
    /// References that dangle in what was restored.
    pub dangling: u64,
}

impl RestoreReport {
    /// What a driver could not restore as it was degrades the whole.
    pub(super) fn degrade_by_ledgers(&mut self) {
        if self.nodes.iter().flat_map(|node| &node.ledger).any(|entry| entry.degrades) {
            self.outcome = self.outcome.max(RestoreOutcome::Degraded);
        }
    }
}

/// How a restore ended, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreOutcome {
    /// All is as in the archive.
    Ok,
    /// All is in place, but something is left to clean up, a driver could not restore something as it was, or the
    /// archive itself was degraded.
    Degraded,
    /// All is as in the archive, and references dangle there.
    Dangling,
}

/// What came of one node.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestoredNode {
    /// The node.
    pub node: NodePath,
    /// Where it was restored to.
    pub target: String,
    /// Bytes of content.
    pub bytes: u64,
    /// Parts.
    pub parts: u64,
    /// What the driver has to tell of it.
    pub ledger: Vec<LedgerEntry>,
}
