//! What makes a link the application's own dangling link.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use dumprestore_driver::{Key, Unresolved, Why};

use crate::reference_check::EdgeCheck;

/// Remembers what did not resolve on the last cut. A reference that is bad twice, with row and target unchanged, is
/// the application's own dangling link: no further cut would mend it.
#[derive(Default)]
pub(super) struct Known {
    hasher: RandomState,
    last: HashSet<u64>,
}

impl Known {
    /// Whether all that is bad now was just as bad on the last cut. Remembers what is bad now.
    pub(super) fn only_known(&mut self, checks: &[EdgeCheck]) -> bool {
        let mut now = HashSet::new();
        let mut only_known = true;
        for (edge, check) in checks.iter().enumerate() {
            // What is beyond the bound can't be compared one by one; their number must do.
            let beyond = self.hasher.hash_one((edge, "beyond", check.beyond));
            only_known &= check.beyond == 0 || self.last.contains(&beyond);
            now.insert(beyond);
            for bad in &check.unresolved {
                let print = self.print(edge, &bad.reference.key, bad);
                only_known &= bad.why != Why::Unsettled && self.last.contains(&print);
                now.insert(print);
            }
        }
        self.last = now;
        only_known
    }

    fn print(&self, edge: usize, key: &Key, bad: &Unresolved) -> u64 {
        let why = match &bad.why {
            Why::Missing => (0, None, None),
            Why::Unsettled => (1, None, None),
            Why::Differs(found) => (2, Some(*found), None),
            Why::Unreadable(why) => (3, None, Some(why.as_str())),
        };
        self.hasher.hash_one((edge, key, bad.reference.digest, why))
    }
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::Reference;

    use super::*;

    fn check(bad: &[(&str, Why)]) -> Vec<EdgeCheck> {
        let unresolved =
            bad.iter().map(|(key, why)| Unresolved::new(Reference::to(*key), why.clone())).collect();
        vec![EdgeCheck::found(10, unresolved)]
    }

    #[test]
    fn what_is_bad_twice_for_the_same_reason_is_the_applications_own() {
        let mut known = Known::default();
        assert!(!known.only_known(&check(&[("a", Why::Missing)])));
        assert!(known.only_known(&check(&[("a", Why::Missing)])));
        assert!(!known.only_known(&check(&[("a", Why::Missing), ("b", Why::Missing)])));
        assert!(known.only_known(&check(&[("b", Why::Missing)])));
        assert!(!known.only_known(&check(&[("b", Why::Unreadable("a folder".into()))])));
    }

    #[test]
    fn what_is_unsettled_is_never_taken_for_the_applications_own() {
        let mut known = Known::default();
        for _ in 0..3 {
            assert!(!known.only_known(&check(&[("a", Why::Unsettled)])));
        }
    }
}
