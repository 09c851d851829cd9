//! What is told of a dump: facts, and a ledger.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_driver::{Facts, LedgerEntry};

use crate::config::{Meant, Setup};
use crate::glob::Glob;
use crate::rdb::Entry;

/// The name of the part.
pub(super) const PART: &str = "dump.rdb";

/// The name of the fact that tells of which instant a dump is, in milliseconds since 1970 by the server's clock.
pub(crate) const CUT_AT: &str = "cut_at_ms";
/// Which databases were meant: `all`, or indexes.
const MEANT: &str = "databases";
/// How many keys each of them has: `0: 12, 3: 400`.
const KEYS: &str = "keys_by_database";
/// In bytes, as it stands in the file.
const LARGEST_VALUE: &str = "largest_value_bytes";
/// When the first of the keys expires, in milliseconds since 1970; `never`, if none does.
const FIRST_EXPIRY: &str = "first_expiry_ms";

/// What was dumped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// The code of each library.
    pub(super) functions: BTreeSet<Vec<u8>>,
    /// How many keys, by database.
    pub(super) keys: BTreeMap<u64, u64>,
    /// In bytes, as it stands in the file.
    pub(super) largest: u64,
    /// When the first of the keys expires that do, in milliseconds since 1970.
    pub(super) first_expiry: Option<u64>,
    /// Keys that were gone when their turn came.
    pub(super) vanished: u64,
}

impl Tally {
    /// All keys.
    pub(super) fn rows(&self) -> u64 {
        self.keys.values().sum()
    }

    /// Counts a key, with how long its value is.
    pub(super) fn count(&mut self, entry: &Entry, length: u64) {
        *self.keys.entry(entry.database).or_default() += 1;
        self.largest = self.largest.max(length);
        self.expires(entry.expires);
    }

    fn expires(&mut self, at: Option<u64>) {
        self.first_expiry = self.first_expiry.into_iter().chain(at).min();
    }

    /// What was dumped of another server.
    pub(super) fn add(&mut self, other: Self) {
        self.functions.extend(other.functions);
        for (database, keys) in other.keys {
            *self.keys.entry(database).or_default() += keys;
        }
        self.largest = self.largest.max(other.largest);
        self.expires(other.first_expiry);
        self.vanished += other.vanished;
    }

    pub(super) fn facts(&self, setup: &Setup) -> Facts {
        let by_database: Vec<String> =
            self.keys.iter().map(|(index, keys)| format!("{index}: {keys}")).collect();
        let meant = match &setup.databases {
            Meant::All => "all".to_owned(),
            Meant::These(list) => joined(list),
        };
        let mut facts = Facts::new();
        let mut note = |name: &str, value: String| drop(facts.insert(name.to_owned(), value));
        note("keys", self.rows().to_string());
        note(KEYS, by_database.join(", "));
        // Of those that were not dumped nothing is said: a restore leaves them as they are.
        if setup.functions {
            note("functions", self.functions.len().to_string());
        }
        note(LARGEST_VALUE, self.largest.to_string());
        note(FIRST_EXPIRY, self.first_expiry.map_or_else(|| "never".to_owned(), |at| at.to_string()));
        note(MEANT, meant);
        for (name, globs) in [("include", &setup.include), ("exclude", &setup.exclude)] {
            if !globs.is_empty() {
                note(name, joined(globs.iter().map(Glob::text)));
            }
        }
        facts
    }

    pub(super) fn ledger(&self, setup: &Setup, spare: &BTreeSet<u64>) -> Vec<LedgerEntry> {
        let why = "its keys are those of a restore, and not live: it is left out";
        let mut ledger: Vec<LedgerEntry> =
            spare.iter().map(|index| LedgerEntry::note(format!("database {index}"), why)).collect();
        if !setup.include.is_empty() && self.rows() == 0 {
            let why = "no key fits `include`, and none was dumped: is it misspelt?";
            ledger.push(LedgerEntry::note("keys", why));
        }
        if self.vanished > 0 {
            let why = format!("{} keys were deleted or had expired before they were read", self.vanished);
            ledger.push(LedgerEntry::note("keys", why));
        }
        ledger
    }
}

fn joined(all: impl IntoIterator<Item = impl ToString>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}
