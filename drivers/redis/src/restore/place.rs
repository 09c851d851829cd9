//! Where new keys are made.

use dumprestore_driver::{Error, Result};

use super::Restore;
use super::entry::{Method, Pair};

/// A database, and what stands before the names of keys there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u64,
    pub(super) before: String,
}

impl Place {
    pub(super) fn name(&self, key: &[u8]) -> Vec<u8> {
        [self.before.as_bytes(), key].concat()
    }
}

impl Restore {
    pub(super) fn place(&self, pair: &Pair) -> Result<Place> {
        match self.entry.method {
            Method::Swap => Ok(Place { index: spare_of(pair)?, before: String::new() }),
            Method::Rename => Ok(Place { index: pair.live, before: Names::of(&self.entry.run).new }),
        }
    }
}

/// Where staged keys are, for a swap.
pub(super) fn spare_of(pair: &Pair) -> Result<u64> {
    pair.spare.ok_or_else(|| Error::defect("a restore is loaded or prepared that has not begun"))
}

/// What stands before the names of keys that are not live, in a database that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) new: String,
    pub(super) old: String,
    /// Keys of these names say that there was none before.
    pub(super) made: String,
}

impl Names {
    pub(super) fn of(run: &str) -> Self {
        let before = |what: &str| format!("{OURS}{run}:{what}:");
        Self { new: before("new"), old: before("old"), made: before("made") }
    }
}

/// What the names of all keys of ours begin with.
pub(crate) const OURS: &str = "dumprestore:restore:";

/// A pattern for all names that begin so: nothing in them means anything to it but what is escaped.
pub(super) fn pattern(before: &str) -> Vec<u8> {
    let mut pattern = Vec::new();
    for byte in before.bytes() {
        if b"*?[]\\".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}
