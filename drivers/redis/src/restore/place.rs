//! Where new keys are made.

use dumprestore_driver::{Error, Result};

use super::Restore;
use super::entry::{Method, Pair};
use crate::connect::{TAG, slot, tag};

/// A database, and what stands before the names of keys there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u64,
    pub(super) before: String,
    /// Whether a tag follows it that has a name be in the slot of its key.
    tagged: bool,
}

impl Place {
    pub(super) fn name(&self, key: &[u8]) -> Vec<u8> {
        under(&self.before, key, self.tagged)
    }

    /// A pattern for the tag.
    pub(super) fn tag_pattern(&self) -> &'static [u8] {
        if self.tagged { b"{????}" } else { b"" }
    }

    /// The key that is under that name.
    pub(super) fn key<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        let before = self.before.len() + if self.tagged { TAGGED } else { 0 };
        name.get(before..).unwrap_or_default()
    }
}

impl Restore {
    pub(super) fn place(&self, pair: &Pair) -> Result<Place> {
        match self.entry.method {
            Method::Swap => Ok(Place { index: spare_of(pair)?, before: String::new(), tagged: false }),
            Method::Rename | Method::Cluster => Ok(Place {
                index: pair.live,
                before: Names::of(&self.entry.run).new,
                tagged: self.entry.method == Method::Cluster,
            }),
        }
    }
}

/// How long the tag of a name is, with its braces.
pub(super) const TAGGED: usize = TAG + 2;

/// The name of a key; in a cluster, one of the same slot.
pub(super) fn under(before: &str, key: &[u8], tagged: bool) -> Vec<u8> {
    match tagged {
        false => [before.as_bytes(), key].concat(),
        true => [before.as_bytes(), b"{", tag(slot(key)).as_bytes(), b"}", key].concat(),
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
