//! What a restore has to tell although it is no failure.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dumprestore_driver::LedgerEntry;

use crate::path::shown;

/// So many paths are told of each kind; of the others, how many they are.
const TOLD: usize = 50;

/// What came to pass at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// It does not have its recorded owner and group.
    Owner,
    /// It does not have all its recorded attributes.
    Attributes,
    /// It was made while another thing came to its place, and has this name now.
    SetAside,
}

impl Told {
    fn why(self) -> &'static str {
        match self {
            Told::Owner => {
                "its owner or group could not be set, and a set-id bit of it was left out: only root may, and not in every container"
            }
            Told::Attributes => {
                "its `security.` or `trusted.` attributes could not be set: only root may, and not in every container"
            }
            Told::SetAside => {
                "the application made it while the folder was swapped; the one that was there before has its name"
            }
        }
    }

    fn entry(self, what: String, why: String) -> LedgerEntry {
        match self {
            Told::Owner | Told::Attributes => LedgerEntry::degrading(what, why),
            Told::SetAside => LedgerEntry::note(what, why),
        }
    }
}

/// What could not be given to something that was restored.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) owner: bool,
    pub(crate) attributes: bool,
}

#[derive(Debug, Default)]
struct Paths {
    first: Vec<Vec<u8>>,
    more: u64,
}

/// All that there is to tell of a restore.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<Told, Paths>>);

impl Tally {
    pub(crate) fn note(&self, told: Told, path: &[u8]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = all.entry(told).or_default();
        if paths.first.len() < TOLD {
            paths.first.push(path.to_vec());
        } else {
            paths.more += 1;
        }
    }

    pub(crate) fn note_lacking(&self, path: &[u8], lacking: Lacking) {
        for (told, _) in [(Told::Owner, lacking.owner), (Told::Attributes, lacking.attributes)]
            .iter()
            .filter(|(_, is)| *is)
        {
            self.note(*told, path);
        }
    }

    pub(crate) fn entries(&self) -> Vec<LedgerEntry> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |(told, paths): (&Told, &Paths)| {
            let more = (paths.more > 0).then(|| format!("{} more", paths.more));
            let whats = paths.first.iter().map(|path| shown(path)).chain(more);
            whats.map(|what| told.entry(what, told.why().to_owned())).collect::<Vec<_>>()
        };
        all.iter().flat_map(of_kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_paths_are_summed_up() {
        let tally = Tally::default();
        for at in 0..1000 {
            tally.note_lacking(format!("{at}").as_bytes(), Lacking { owner: true, attributes: at == 7 });
        }
        tally.note(Told::SetAside, b".log.dumprestore-newer-1");
        let entries = tally.entries();
        assert_eq!(entries.len(), TOLD + 1 + 1 + 1);
        assert_eq!(entries[TOLD].what, format!("{} more", 1000 - TOLD));
        assert!(entries[TOLD].degrades && entries[TOLD + 1].what == "7");
        assert!(!entries[TOLD + 2].degrades);
    }
}
