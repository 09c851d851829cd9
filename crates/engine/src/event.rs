//! What a run tells while it goes on.

use std::time::Duration;

use dumprestore_driver::{LedgerEntry, NodePath, Severity};
use serde::Serialize;

/// Watches a run. Called from several threads; it should be quick.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Watches nothing.
impl Observer for () {
    fn event(&self, _event: &Event) {}
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A run began.
    Started {
        /// The run's name.
        run: String,
        /// What it does: `dump`, `restore`, `rehearse`, `recover`, `verify`.
        command: &'static str,
        /// The set's name.
        set: String,
    },
    /// A phase of the run began: `capture`, `cut`, `certify`, `stream`, `seal`, `verify`, `stage`, `load`, ...
    Phase {
        /// Its verb.
        phase: &'static str,
    },
    /// A node is about to be worked on.
    NodeStarted {
        /// The node.
        node: NodePath,
        /// The verb.
        phase: &'static str,
        /// About how many bytes, if known.
        bytes: Option<u64>,
        /// About how many parts, if known.
        parts: Option<u64>,
    },
    /// How far a node is. Sent a few times a second at most.
    Progress {
        /// The node.
        node: NodePath,
        /// Bytes so far in this phase.
        bytes: u64,
        /// Parts so far in this phase.
        parts: u64,
    },
    /// A node is through with a phase.
    NodeFinished {
        /// The node.
        node: NodePath,
        /// The verb.
        phase: &'static str,
        /// Bytes of content.
        bytes: u64,
        /// Parts.
        parts: u64,
        /// How long it took.
        #[serde(serialize_with = "as_seconds")]
        seconds: Duration,
    },
    /// One pass over a live node is done.
    Captured {
        /// The node.
        node: NodePath,
        /// Which pass, from 1.
        pass: u32,
        /// Parts that were new or had changed.
        parts: u64,
    },
    /// How far the verification of an archive is.
    Verifying {
        /// Bytes done, of the file and of content.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// How far an archive is that is copied from one place to another, or written anew.
    Copying {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A cut was made and checked.
    Cut {
        /// Which try, from 1.
        attempt: u32,
        /// From the first pin to the last.
        #[serde(serialize_with = "as_seconds")]
        width: Duration,
        /// From the first pin to the verdict.
        #[serde(serialize_with = "as_seconds")]
        checked: Duration,
        /// References that were read.
        references: u64,
        /// Those that did not resolve.
        dangling: u64,
        /// `certified`, `again`, `locked`, `degraded`, `unchecked`.
        outcome: &'static str,
    },
    /// Something in the source was not dumped as it was.
    Ledger {
        /// The node.
        node: NodePath,
        /// What, and why.
        #[serde(flatten)]
        entry: LedgerEntry,
    },
    /// A hook is run.
    Hook {
        /// Which: `before_dump`, ...
        hook: &'static str,
        /// The node it belongs to; none for the set's own.
        node: Option<NodePath>,
        /// The program, without its arguments.
        program: String,
    },
    /// A hook has printed a line. Secrets that it was told are blotted out, long lines cut, and no more than a
    /// thousand lines of each stream are told.
    HookOutput {
        /// Which: `before_dump`, ...
        hook: &'static str,
        /// The node it belongs to; none for the set's own.
        node: Option<NodePath>,
        /// The program, without its arguments.
        program: String,
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// The line, without its end.
        line: String,
    },
    /// Something that a person should know of.
    Notice {
        /// How bad it is.
        severity: Severity,
        /// The node, if it is about one.
        node: Option<NodePath>,
        /// What it is.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An interrupted restore of an earlier run was found and ended.
    Recovered {
        /// The earlier run.
        run: String,
        /// `rolled back` or `finished`.
        outcome: &'static str,
    },
    /// A node of a restore reached that step: `staged`, `loaded`, `prepared`, `committed`, `finished`, `rolled_back`.
    Step {
        /// The node.
        node: NodePath,
        /// The step.
        step: &'static str,
    },
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e6)
}

/// A warning about a node, or about the run as a whole.
pub(crate) fn warn(
    observer: &dyn Observer,
    node: Option<&NodePath>,
    message: impl Into<String>,
    hint: Option<String>,
) {
    observer.event(&Event::Notice {
        severity: Severity::Warning,
        node: node.cloned(),
        message: message.into(),
        hint,
    });
}
