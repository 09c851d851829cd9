//! What a restore must tell although it is no failure, summed up.

use std::sync::{Mutex, PoisonError};

use dumprestore_bucket::opendal::Capability;
use dumprestore_driver::LedgerEntry;

use super::headers::kept_by;
use crate::line::Headers;

/// As many are named; the rest is counted.
const NAMED: usize = 20;

/// Counts, and names some.
#[derive(Default)]
pub(super) struct Tally(Mutex<Tallied>);

#[derive(Default)]
struct Tallied {
    /// Objects whose headers the store does not keep.
    bare: u64,
    /// Written by somebody else between `prepare` and `commit`.
    late: Late,
    /// Whatever else.
    told: Vec<LedgerEntry>,
}

#[derive(Default)]
struct Late {
    named: Vec<String>,
    more: u64,
}

impl Tally {
    fn change(&self, change: impl FnOnce(&mut Tallied)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts an object that loses some of its headers in a store of these capabilities.
    pub(super) fn note_headers(&self, headers: &Headers, can: &Capability) {
        if kept_by(headers, can) != *headers {
            self.change(|tallied| tallied.bare += 1);
        }
    }

    /// Names an object that somebody else has written meanwhile.
    pub(super) fn note_late(&self, key: &str) {
        self.change(|tallied| match tallied.late.named.len() < NAMED {
            true => tallied.late.named.push(key.to_owned()),
            false => tallied.late.more += 1,
        });
    }

    pub(super) fn tell(&self, entry: LedgerEntry) {
        self.change(|tallied| {
            if !tallied.told.contains(&entry) {
                tallied.told.push(entry);
            }
        });
    }

    pub(super) fn entries(&self) -> Vec<LedgerEntry> {
        let tallied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = tallied.told.clone();
        if tallied.bare > 0 {
            entries.push(LedgerEntry::degrading(
                format!("{} objects", tallied.bare),
                "the store keeps no content type, cache control, encoding, disposition or user metadata with an object, \
                 or not all of these",
            ));
        }
        const LATE: &str = "was written during the restore, and is replaced by what the archive has";
        let named = tallied.late.named.iter();
        entries.extend(named.map(|key| LedgerEntry::note(key.escape_debug().to_string(), LATE)));
        if tallied.late.more > 0 {
            entries.push(LedgerEntry::note(format!("{} more objects", tallied.late.more), LATE));
        }
        entries
    }
}
