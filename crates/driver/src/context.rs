//! What the engine hands to a driver at each stage.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::{Error, NodePath, Placement, Result, Selection};

/// For [`DriverConfig::build`](crate::DriverConfig::build).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuildContext {
    /// The node that is built.
    pub node: NodePath,
    /// The folder that relative paths start from: that of the configuration file. Absolute.
    pub base: PathBuf,
}

impl BuildContext {
    /// A context for `node`, with relative paths starting from `base`.
    pub fn new(node: NodePath, base: impl Into<PathBuf>) -> Self {
        Self { node, base: base.into() }
    }

    /// `path`, made absolute.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

/// For [`Driver::open`](crate::Driver::open).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenContext {
    /// This run's name: sortable, unique, fit for file names.
    pub run: String,
    /// Where the archive and the engine's own files are written: never part of a dump.
    pub ours: Vec<PathBuf>,
    /// Where archives are in the store that is dumped, by canonical names as [`Claim::Prefix`](crate::Claim::Prefix) has them:
    /// neither what is called so nor what lies below it is part of a dump.
    pub our_places: Vec<String>,
    /// Where large scratch files may go, if the driver can't do without.
    pub scratch: PathBuf,
    /// Set when the run is to stop.
    pub cancel: Cancel,
}

impl OpenContext {
    /// A context with nothing to leave out, and with `scratch` for scratch files.
    pub fn new(run: impl Into<String>, scratch: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            ours: Vec::new(),
            our_places: Vec::new(),
            scratch: scratch.into(),
            cancel: Cancel::default(),
        }
    }

    /// The same, with files that are never part of a dump.
    pub fn with_ours(mut self, ours: Vec<PathBuf>) -> Self {
        self.ours = ours;
        self
    }

    /// The same, with places in the store that are never part of a dump.
    pub fn with_our_places(mut self, our_places: Vec<String>) -> Self {
        self.our_places = our_places;
        self
    }

    /// The same, stopped by `cancel`.
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }
}

/// For [`Source::pin`](crate::Source::pin).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CutContext {
    /// An instant before the first pin of this cut was opened, on the coarse clock of this machine's file
    /// systems: what carries an older time of change was so at the cut.
    pub not_before: SystemTime,
    /// Whether writers go on.
    pub mode: CutMode,
}

impl CutContext {
    /// A cut that began no earlier than `not_before`.
    pub fn new(not_before: SystemTime, mode: CutMode) -> Self {
        Self { not_before, mode }
    }
}

/// Whether writers go on between the pin and the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutMode {
    /// They do.
    Open,
    /// They wait until [`Source::unlock`](crate::Source::unlock): the last resort of a set under heavy load.
    Locked,
}

/// For [`Driver::stage`](crate::Driver::stage) and what follows it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StageContext {
    /// This run's name: sortable, unique, fit for file names.
    pub run: String,
    /// What becomes of things that the target has and the archive does not.
    pub extras: Extras,
    /// Where the new data are made. Never one that [`Capabilities::terms`](crate::Capabilities::terms) refuses.
    pub placement: Placement,
    /// What of the archived node is restored. Never one that [`Capabilities::terms`](crate::Capabilities::terms)
    /// refuses.
    pub selection: Selection,
    /// Set when the run is to stop. A rollback does not heed it.
    pub cancel: Cancel,
}

impl StageContext {
    /// A context for the run of that name: all of the node, beside the live data, with the extras of a full restore.
    pub fn new(run: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            extras: Extras::Remove,
            placement: Placement::Beside,
            selection: Selection::default(),
            cancel: Cancel::default(),
        }
    }

    /// The same, with another policy for extras.
    pub fn with_extras(mut self, extras: Extras) -> Self {
        self.extras = extras;
        self
    }

    /// The same, in another place.
    pub fn with_placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// The same, with only some of the node.
    pub fn with_selection(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// The same, stopped by `cancel`.
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }
}

/// What becomes of things that the target has and the archive does not. In a partial restore that is said only of
/// what is selected: the rest is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extras {
    /// The restore refuses to start.
    Fail,
    /// They stay.
    Keep,
    /// They go: the target is then what the archive holds.
    Remove,
}

/// Says that a run is to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Cancel(CancellationToken);

impl Cancel {
    /// Stops the run.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// One that stops when this one does, and can be stopped alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Whether the run is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the run is to stop.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// For loops in blocking code.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) if the run is to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }
}
