//! What a dump has to say of single paths.

use std::collections::BTreeMap;

use dumprestore_driver::LedgerEntry;

use crate::beneath::Beneath;
use crate::path::shown;
use crate::state::{is_special, type_of};

/// So many entries are kept, however much goes wrong.
const LONGEST: usize = 10_000;

/// How much an entry weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It is as it should be.
    Note,
    /// What is in the archive is not what was there.
    Degrades,
    /// A file was not read whole. It degrades, unless the file is really gone: what is there after the pass decides.
    NotRead,
}

/// What the archive has of a path that something is to be said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Nothing,
    /// As an earlier reading found it.
    Earlier,
    /// What a reference needs, as of the cut.
    Certified,
}

/// What to say of which path.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<Vec<u8>, (String, Weight)>,
    more: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, path: &[u8], why: String, weight: Weight) {
        if self.entries.len() < LONGEST || self.entries.contains_key(path) {
            self.entries.insert(path.to_vec(), (why, weight));
        } else {
            self.more += 1;
        }
    }

    /// The file at `path` was read whole after all.
    pub(crate) fn forget(&mut self, path: &[u8]) {
        self.entries.remove(path);
    }

    /// Looks at what was not read whole, now that the last pass is over.
    pub(crate) fn judge(&mut self, mut beneath: Beneath) {
        for (path, (_, weight)) in self.entries.iter_mut().filter(|(_, (_, w))| *w == Weight::NotRead) {
            let found = beneath.stat(path);
            let is_gone = found.is_ok_and(|stat| stat.is_none_or(|stat| is_special(type_of(&stat))));
            *weight = if is_gone { Weight::Note } else { Weight::Degrades };
        }
    }

    pub(crate) fn entries(&self, held: impl Fn(&[u8]) -> Held) -> Vec<LedgerEntry> {
        let told = |(path, (why, weight)): (&Vec<u8>, &(String, Weight))| {
            let earlier = format!("as of an earlier moment: {why}");
            match (weight, held(path)) {
                (Weight::Note, Held::Earlier) => LedgerEntry::note(shown(path), earlier),
                (Weight::Note, _) => LedgerEntry::note(shown(path), why),
                (_, Held::Certified) => {
                    LedgerEntry::note(shown(path), format!("as of the cut, where it was needed: {why}"))
                }
                (_, Held::Earlier) => LedgerEntry::degrading(shown(path), earlier),
                (_, Held::Nothing) => LedgerEntry::degrading(shown(path), why),
            }
        };
        let mut entries: Vec<_> = self.entries.iter().map(told).collect();
        if self.more > 0 {
            entries.push(LedgerEntry::degrading(".", format!("{} more entries like these", self.more)));
        }
        entries
    }
}
