//! What drivers find out by looking.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Facts;

/// What [`Driver::inspect`](crate::Driver::inspect) found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// Versions and settings.
    pub facts: Facts,
    /// About how many bytes a dump will read, if that is cheap to know.
    pub size: Option<u64>,
    /// About how many parts a dump will have, if that is cheap to know.
    pub parts: Option<u64>,
    /// Whether there is nothing yet: no such file, folder or database. A restore then replaces nothing. What is there
    /// and can't be read is not absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// What is or will be in the way.
    pub problems: Vec<Problem>,
    /// What a restore of this node writes to. Two nodes with claims that overlap are a plan error.
    pub claims: Vec<Claim>,
}

/// Something in the way of a dump or a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// Neither dump nor restore will work.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), hint: None }
    }

    /// It works, but not as well as one would think.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), hint: None }
    }

    /// A dump works; a restore into this target won't.
    pub fn no_restore(message: impl Into<String>) -> Self {
        Self { severity: Severity::NoRestore, message: message.into(), hint: None }
    }

    /// There is nothing to dump here, though a restore will work.
    pub fn no_dump(message: impl Into<String>) -> Self {
        Self { severity: Severity::NoDump, message: message.into(), hint: None }
    }

    /// A dump works; the references that were declared can't be checked.
    pub fn no_certificate(message: impl Into<String>) -> Self {
        Self { severity: Severity::NoCertificate, message: message.into(), hint: None }
    }

    /// The same, with what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, but not as well as one would think.
    Warning,
    /// References can't be checked: a dump fails, unless it is one that does without its certificate.
    NoCertificate,
    /// A restore will fail.
    NoRestore,
    /// A dump will fail.
    NoDump,
    /// Both will fail.
    Error,
}

/// Something that a restore writes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A file or folder, absolute and with links resolved as far as it exists. Overlaps what lies below it.
    Path(PathBuf),
    /// What lies below a prefix of a store, by the canonical name of that place, such as `host:9000/bucket/prefix`, without a
    /// slash at its end. Overlaps what lies below it.
    Prefix(String),
    /// Anything else that has a canonical name, such as `postgres://host:5432/shop`.
    Name(String),
}

impl Claim {
    /// Whether both are on one place, or one within the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(two)) => one.starts_with(two) || two.starts_with(one),
            (Self::Prefix(one), Self::Prefix(two)) => lies_within(one, two) || lies_within(two, one),
            (one, two) => one == two,
        }
    }

    /// Whether a place of a store, by its canonical name, is one that this claims.
    pub fn holds_place(&self, place: &str) -> bool {
        matches!(self, Self::Prefix(prefix) if lies_within(place, prefix))
    }
}

fn lies_within(place: &str, prefix: &str) -> bool {
    place.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a restore would change, counted without changing it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Changes {
    /// What these are counts of, in the plural: `files`, `tables`.
    pub unit: &'static str,
    /// Not there yet.
    pub create: u64,
    /// There, and different or not known to be equal.
    pub replace: u64,
    /// There, and not in the archive: removed, unless extras are kept.
    pub remove: u64,
    /// There, and equal.
    pub unchanged: u64,
    /// Some of what is removed, by name: people want to know before they say yes. The first
    /// [`Changes::MOST_NAMED`], each at most a line.
    pub removes: Vec<String>,
    /// How many bytes must be free where the restore is staged.
    pub needs_bytes: Option<u64>,
    /// How many are.
    pub free_bytes: Option<u64>,
    /// What else a person should know before saying yes.
    pub notes: Vec<String>,
}

impl Changes {
    /// As many names as [`removes`](Self::removes) holds at the most.
    pub const MOST_NAMED: usize = 10;

    /// No changes, counted in `unit`.
    pub fn of(unit: &'static str) -> Self {
        Self { unit, ..Self::default() }
    }

    /// Counts one more that is removed, and names it if there is room.
    pub fn count_removed(&mut self, name: impl FnOnce() -> String) {
        self.remove += 1;
        if self.removes.len() < Self::MOST_NAMED {
            self.removes.push(name());
        }
    }
}

/// One line in the ledger of what was not dumped, or restored, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The thing: a path, a table.
    pub what: String,
    /// What happened to it.
    pub why: String,
    /// Whether the node is `degraded` by it. A socket that was skipped does not degrade; a file that could not be
    /// read does.
    pub degrades: bool,
}

impl LedgerEntry {
    /// Something that is missing or torn in the dump.
    pub fn degrading(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), degrades: true }
    }

    /// Something that is left out as it should be, but not without a word.
    pub fn note(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), degrades: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_overlap_where_one_is_within_the_other() {
        let claims = |claim: fn(&str) -> Claim| ["/a/b", "/a/b/c", "/a/bc", "/a"].map(claim);
        for [claim, below, beside, above] in
            [claims(|name| Claim::Prefix(format!("host{name}"))), claims(|path| Claim::Path(path.into()))]
        {
            assert!(claim.overlaps(&claim) && claim.overlaps(&below) && claim.overlaps(&above));
            assert!(!claim.overlaps(&beside));
        }
        let name = |name: &str| Claim::Name(name.to_owned());
        assert!(name("a").overlaps(&name("a")) && !name("a").overlaps(&name("a/b")));
        assert!(!name("a").overlaps(&Claim::Prefix("a".to_owned())));
    }
}
