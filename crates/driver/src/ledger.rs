//! What a dump of a live source has to say of single things.

use std::collections::BTreeMap;

use crate::LedgerEntry;

/// So many entries are kept, however much goes wrong.
const LONGEST: usize = 10_000;

/// How much an entry weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It is as it should be.
    Note,
    /// What is in the archive is not what was there.
    Degrades,
    /// It was not read whole. It degrades, unless the thing is really gone: what is there after the pass decides.
    NotRead,
}

/// What the archive has of a thing that something is to be said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// It, as an earlier reading found it.
    Earlier,
    /// It, as of the cut: what a reference needs, or what a source that keeps versions had then.
    AsOfTheCut,
}

/// What to say of which thing, for sources that are captured: each by its key, of which the last word counts. Of more than
/// 10,000 it only says how many there are.
#[derive(Debug)]
pub struct Ledger<K: ToOwned + ?Sized> {
    entries: BTreeMap<K::Owned, (String, Weight)>,
    more: u64,
}

impl<K: ToOwned + ?Sized> Default for Ledger<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), more: 0 }
    }
}

impl<K: ToOwned<Owned: Ord + Clone> + Ord + ?Sized> Ledger<K> {
    /// Says that of a thing.
    pub fn note(&mut self, key: &K, why: impl Into<String>, weight: Weight) {
        if self.entries.len() < LONGEST || self.entries.contains_key(key) {
            self.entries.insert(key.to_owned(), (why.into(), weight));
        } else {
            self.more += 1;
        }
    }

    /// The thing was read whole after all.
    pub fn forget(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// What was not read whole, and is to be looked at.
    pub fn not_read(&self) -> Vec<K::Owned> {
        let not_read = self.entries.iter().filter(|(_, (_, weight))| *weight == Weight::NotRead);
        not_read.map(|(key, _)| key.clone()).collect()
    }

    /// Whether such a thing is gone.
    pub fn judge(&mut self, key: &K, is_gone: bool) {
        if let Some((_, weight)) = self.entries.get_mut(key) {
            *weight = if is_gone { Weight::Note } else { Weight::Degrades };
        }
    }

    /// All of it, by what the archive has of each thing (`held`), and with its key as people see it (`shown`).
    pub fn entries(&self, held: impl Fn(&K) -> Held, shown: impl Fn(&K) -> String) -> Vec<LedgerEntry> {
        let told = |(key, (why, weight)): (&K::Owned, &(String, Weight))| {
            let key: &K = std::borrow::Borrow::borrow(key);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ledger: &Ledger<str>, held: Held) -> Vec<LedgerEntry> {
        ledger.entries(|_| held, str::to_uppercase)
    }

    #[test]
    fn what_was_not_read_degrades_unless_it_is_gone_or_held_as_of_the_cut() {
        let mut ledger = Ledger::<str>::default();
        ledger.note("a", "it vanished", Weight::NotRead);
        let earlier = LedgerEntry::degrading("A", "as of an earlier moment: it vanished");
        assert_eq!(told(&ledger, Held::Nothing), [LedgerEntry::degrading("A", "it vanished")]);
        assert_eq!(told(&ledger, Held::Earlier), [earlier]);
        assert_eq!(told(&ledger, Held::AsOfTheCut), [LedgerEntry::note("A", "as of the cut: it vanished")]);
        assert_eq!(ledger.not_read(), ["a"]);
        ledger.judge("a", true);
        assert_eq!(told(&ledger, Held::Nothing), [LedgerEntry::note("A", "it vanished")]);
        assert_eq!(ledger.not_read(), Vec::<String>::new());
        ledger.judge("a", false);
        assert_eq!(told(&ledger, Held::Nothing), [LedgerEntry::degrading("A", "it vanished")]);
        ledger.forget("a");
        assert_eq!(told(&ledger, Held::Nothing), []);
    }

    #[test]
    fn however_much_goes_wrong_the_ledger_stays_small_and_says_how_much_it_was() {
        let mut ledger = Ledger::<str>::default();
        for _ in 0..2 {
            for number in 0..LONGEST + 3 {
                ledger.note(&number.to_string(), "it can't be read", Weight::Note);
            }
        }
        let told = told(&ledger, Held::Nothing);
        assert_eq!(told.len(), LONGEST + 1);
        assert_eq!(told.last().unwrap(), &LedgerEntry::degrading(".", "6 more entries like these"));
    }
}
