//! Why an archive stays or goes, in words.

use std::fmt;

use serde::Serialize;
use time::{OffsetDateTime, UtcOffset};

use super::Verdict;
use super::period::Rhythm;

/// What becomes of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It stays, for each of these; there is at least one.
    Keep(Vec<KeptFor>),
    /// It goes.
    Remove(RemovedFor),
}

impl Ruling {
    /// Whether it stays.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep(_))
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(reasons) => reasons.iter().enumerate().try_for_each(|(at, reason)| {
                f.write_str(if at == 0 { "" } else { ", " })?;
                reason.fmt(f)
            }),
            Self::Remove(reason) => reason.fmt(f),
        }
    }
}

/// Why an archive stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeptFor {
    /// Nothing is said of keeping.
    NoRule,
    /// It is the so manieth newest good one, counted from 1, and not more than `last`.
    Last(u32),
    /// It is the newest good one of its period.
    Period {
        /// How long the period is.
        rhythm: Rhythm,
        /// Which one, such as `2026-W05`.
        period: String,
    },
    /// It is not older than `within` says.
    Within,
    /// It is the newest good one of its set, which is never removed.
    LastGood,
    /// It is not good itself, and the set has no good one that is newer.
    NoNewerGood,
    /// The store keeps it until then, whoever wants to remove it.
    Locked(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
    /// It is of a time that has not come yet: some clock is wrong, so that nothing follows from it.
    Future,
    /// It was written after the newest good one, and says that it is older: the clock that it was made by may have been wrong.
    WrittenLater,
}

impl fmt::Display for KeptFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule for keeping"),
            Self::Last(nth) => write!(f, "last {nth}"),
            Self::Period { rhythm, period } => write!(f, "{rhythm} {period}"),
            Self::Within => f.write_str("within"),
            Self::LastGood => f.write_str("the newest good one"),
            Self::NoNewerGood => f.write_str("there is no newer good one"),
            Self::Locked(until) => {
                let until = until.to_offset(UtcOffset::UTC);
                let (hour, minute) = (until.hour(), until.minute());
                write!(f, "locked until {} {hour:02}:{minute:02} UTC", until.date())
            }
            Self::Future => f.write_str("its time is in the future"),
            Self::WrittenLater => {
                f.write_str("written after the newest good one, though it says that it is older")
            }
        }
    }
}

/// Why an archive goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RemovedFor {
    /// It is good, but no rule wants it.
    Unwanted,
    /// It is not good, and a newer one is.
    Superseded(Verdict),
}

impl fmt::Display for RemovedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwanted => f.write_str("no rule keeps it"),
            Self::Superseded(verdict) => write!(f, "{verdict}, and there is a newer good one"),
        }
    }
}
