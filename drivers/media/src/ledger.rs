//! What a dump has to say of single objects.

use std::collections::BTreeMap;

use dumprestore_driver::LedgerEntry;

/// So many entries are kept, however much goes wrong.
const LONGEST: usize = 10_000;

/// How much an entry weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It is as it should be.
    Note,
    /// What is in the archive is not what was there.
    Degrades,
    /// It was not read whole. It degrades, unless the object is really gone: what is there after the pass decides.
    NotRead,
}

/// What the archive has of an object that something is to be said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Nothing,
    /// As an earlier reading found it.
    Earlier,
    /// As of the cut: what a reference needs, or what a versioned bucket had then.
    AsOfTheCut,
}

/// What to say of which object.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<String, (String, Weight)>,
    more: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, key: &str, why: String, weight: Weight) {
        if self.entries.len() < LONGEST || self.entries.contains_key(key) {
            self.entries.insert(key.to_owned(), (why, weight));
        } else {
            self.more += 1;
        }
    }

    /// The object was read whole after all.
    pub(crate) fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// What was not read whole, and is to be looked at.
    pub(crate) fn not_read(&self) -> Vec<String> {
        let not_read = self.entries.iter().filter(|(_, (_, weight))| *weight == Weight::NotRead);
        not_read.map(|(key, _)| key.clone()).collect()
    }

    /// Whether such an object is gone.
    pub(crate) fn judge(&mut self, key: &str, is_gone: bool) {
        if let Some((_, weight)) = self.entries.get_mut(key) {
            *weight = if is_gone { Weight::Note } else { Weight::Degrades };
        }
    }

    pub(crate) fn entries(&self, held: impl Fn(&str) -> Held) -> Vec<LedgerEntry> {
        let told = |(key, (why, weight)): (&String, &(String, Weight))| {
            let (what, earlier) = (shown(key), format!("as of an earlier moment: {why}"));
            match (weight, held(key)) {
                (Weight::Note, Held::Earlier) => LedgerEntry::note(what, earlier),
                (Weight::Note, _) => LedgerEntry::note(what, why),
                (_, Held::AsOfTheCut) => LedgerEntry::note(what, format!("as of the cut: {why}")),
                (_, Held::Earlier) => LedgerEntry::degrading(what, earlier),
                (_, Held::Nothing) => LedgerEntry::degrading(what, why),
            }
        };
        let mut entries: Vec<_> = self.entries.iter().map(told).collect();
        if self.more > 0 {
            entries.push(LedgerEntry::degrading(".", format!("{} more entries like these", self.more)));
        }
        entries
    }
}

/// A key, for people: one line, whatever is in it.
pub(crate) fn shown(key: &str) -> String {
    match key.chars().any(char::is_control) {
        true => key.escape_debug().to_string(),
        false => key.to_owned(),
    }
}
