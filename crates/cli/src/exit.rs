//! Exit codes: the one table.

use std::process::ExitCode;

use dumprestore::{DumpOutcome, ErrorKind, RestoreOutcome};
use serde::{Serialize, Serializer};

/// What the exit code of a command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// It failed, and nothing was changed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was changed.
    Usage = 2,
    /// It was completed, but not all is as it should be: the output says what.
    Degraded = 3,
    /// The archive is damaged, incomplete, foreign, or can't be read; nothing was changed.
    Archive = 4,
    /// A restore could be neither wholly undone nor finished: a human has to act, and the output says how.
    Stuck = 5,
    /// It was completed, and references point at what is not there. A run that is ended because of them is `Failed`.
    Dangling = 6,
    /// Another run of the set is under way; nothing was changed.
    Locked = 7,
    /// It was interrupted, and whatever it had begun was rolled back.
    Interrupted = 130,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Degraded,
        Self::Archive,
        Self::Stuck,
        Self::Dangling,
        Self::Locked,
        Self::Interrupted,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed, nothing changed",
            Self::Usage => "usage or configuration",
            Self::Degraded => "completed, degraded",
            Self::Archive => "archive damaged or not readable",
            Self::Stuck => "stuck: a restore that could be neither undone nor finished",
            Self::Dangling => "completed, with dangling references",
            Self::Locked => "locked by another run",
            Self::Interrupted => "interrupted (and rolled back)",
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Config => Self::Usage,
            ErrorKind::Archive => Self::Archive,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::Stuck => Self::Stuck,
            // Environment, Dangling, Unsupported, Defect, and what may be added: it failed, and nothing was changed.
            _ => Self::Failed,
        }
    }
}

impl From<DumpOutcome> for Exit {
    fn from(outcome: DumpOutcome) -> Self {
        match outcome {
            DumpOutcome::Ok => Self::Ok,
            DumpOutcome::Degraded => Self::Degraded,
            DumpOutcome::Dangling => Self::Dangling,
        }
    }
}

impl From<RestoreOutcome> for Exit {
    fn from(outcome: RestoreOutcome) -> Self {
        match outcome {
            RestoreOutcome::Ok => Self::Ok,
            RestoreOutcome::Degraded => Self::Degraded,
            RestoreOutcome::Dangling => Self::Dangling,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Serialize for Exit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_and_every_outcome_has_its_code() {
        let errors = [
            (ErrorKind::Config, 2),
            (ErrorKind::Environment, 1),
            (ErrorKind::Archive, 4),
            (ErrorKind::Dangling, 1),
            (ErrorKind::Locked, 7),
            (ErrorKind::Unsupported, 1),
            (ErrorKind::Cancelled, 130),
            (ErrorKind::Stuck, 5),
            (ErrorKind::Defect, 1),
        ];
        errors.into_iter().for_each(|(kind, code)| assert_eq!(Exit::from(kind).code(), code, "{kind:?}"));
        let dumps = [(DumpOutcome::Ok, 0), (DumpOutcome::Degraded, 3), (DumpOutcome::Dangling, 6)];
        dumps.into_iter().for_each(|(outcome, code)| assert_eq!(Exit::from(outcome).code(), code));
        let restores =
            [(RestoreOutcome::Ok, 0), (RestoreOutcome::Degraded, 3), (RestoreOutcome::Dangling, 6)];
        restores.into_iter().for_each(|(outcome, code)| assert_eq!(Exit::from(outcome).code(), code));
    }
}
