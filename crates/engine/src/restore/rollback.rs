//! What a rollback could not put back, and whether another try could.

use dumprestore_driver::{Error, ErrorKind, Result, Staging, Undo};

use super::recover::then_recover;
use crate::journal::Journal;

/// A node that could not be rolled back.
pub(super) struct StuckNode {
    error: Error,
    /// Whether another try can't do more than this one.
    is_hopeless: bool,
}

impl StuckNode {
    /// A node whose rollback failed.
    pub(super) async fn find(undo: Undo, staging: &mut dyn Staging, error: Error) -> Self {
        let is_hopeless = match undo {
            Undo::AfterCommit => false,
            Undo::BeforeCommit => match staging.took_effect().await {
                // Its commit went through before another node failed.
                Ok(Some(true)) => true,
                // What the store does not know any more it won't know later.
                Ok(None) => error.kind() == ErrorKind::Stuck,
                Ok(Some(false)) | Err(_) => false,
            },
            Undo::Never => true,
        };
        Self { error, is_hopeless }
    }

    /// A node of which not even that can be told.
    pub(super) fn out_of_reach(undo: Undo, error: Error) -> Self {
        Self { error, is_hopeless: undo == Undo::Never }
    }
}

/// Ends the journal of a rollback, unless something is stuck that another try could free.
pub(super) fn end_rollback(journal: Journal, stuck: Vec<StuckNode>) -> Result<()> {
    // What can't be undone won't be by another try: it is reported, and that is all.
    let hopeless = stuck.iter().all(|stuck| stuck.is_hopeless);
    let journal_path = journal.path().display().to_string();
    let removed = if hopeless { journal.remove() } else { Ok(()) };
    let mut errors = stuck.into_iter().map(|stuck| stuck.error);
    let Some(first) = errors.next() else { return removed };
    let also: Vec<String> = errors.map(|error| error.to_string()).collect();
    let hint = match (hopeless, first.hint()) {
        (false, hint) => then_recover(hint),
        (true, hint) => hint.unwrap_or("remove the cause").to_owned(),
    };
    let mut error = Error::stuck(format!("the restore could not be wholly undone: {first}")).with_hint(hint);
    if !hopeless {
        error = error.with_context("journal", journal_path);
    }
    for one in also {
        error = error.with_context("also", one);
    }
    Err(error)
}

/// What is told where nothing is touched any more, because the journal can't be written.
pub(super) fn unwritten(what: &str, error: &Error) -> Error {
    let hint = then_recover(Some("see that the journal can be written: is its disk full, or read-only?"));
    Error::stuck(format!("{what}: {error}")).with_hint(hint)
}
