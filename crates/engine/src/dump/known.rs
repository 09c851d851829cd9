//! What makes a link the application's own dangling link.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::reference_check::{EdgeCheck, Prints, Room};

/// A link that is bad for as long as this, with row and target unchanged, is the application's own. An application that
/// overwrites a file and then its row has a bad link for a moment, which a busy machine can draw out.
pub(super) const OWN_AFTER: Duration = Duration::from_secs(1);

/// Remembers since when each link is bad, over the cuts of a dump.
#[derive(Default)]
pub(super) struct Known {
    prints: Prints,
    /// By edge and print.
    since: HashMap<(usize, u64), Instant>,
}

/// What the bad links of a cut are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// All of them the application's own: no further cut would mend them.
    Own,
    /// All of them were as bad on the last cut: whether they are the application's own shows after so long.
    OwnPerhaps(Duration),
    /// Some of them are new.
    New,
}

impl Known {
    /// Room for what is to be judged.
    pub(super) fn room(&self) -> Room {
        Room::new(self.prints.clone())
    }

    /// What the links are that are bad on the cut made at `now`. They are remembered; all others are forgotten.
    pub(super) fn judge(&mut self, checks: &[EdgeCheck], now: Instant) -> Bad {
        let before = std::mem::take(&mut self.since);
        let mut any_new = false;
        for (edge, check) in checks.iter().enumerate() {
            for print in check.prints(&self.prints) {
                let since = match print.map(|print| (edge, print)) {
                    Some(print) => *self.since.entry(print).or_insert(*before.get(&print).unwrap_or(&now)),
                    None => now,
                };
                any_new |= since == now;
            }
        }
        let youngest = self.since.values().max().map_or(Duration::MAX, |since| now - *since);
        match OWN_AFTER.checked_sub(youngest) {
            _ if any_new => Bad::New,
            Some(rest) if !rest.is_zero() => Bad::OwnPerhaps(rest),
            _ => Bad::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::{Reference, Unresolved, Why};

    use super::*;

    fn check(bad: &[(&str, Why)]) -> Vec<EdgeCheck> {
        let unresolved =
            bad.iter().map(|(key, why)| Unresolved::new(Reference::to(*key), why.clone())).collect();
        vec![EdgeCheck::found(10, unresolved)]
    }

    #[test]
    fn what_stays_bad_for_the_same_reason_is_the_applications_own() {
        let (mut known, start) = (Known::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let bad = [("a", Why::Missing)];
        assert_eq!(known.judge(&check(&bad), at(0)), Bad::New);
        assert_eq!(known.judge(&check(&bad), at(400)), Bad::OwnPerhaps(Duration::from_millis(600)));
        assert_eq!(known.judge(&check(&bad), at(1000)), Bad::Own);
    }

    #[test]
    fn another_link_or_another_reason_begins_anew() {
        let (mut known, start) = (Known::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(known.judge(&check(&[("a", Why::Missing)]), at(0)), Bad::New);
        assert_eq!(known.judge(&check(&[("a", Why::Missing), ("b", Why::Missing)]), at(2)), Bad::New);
        assert_eq!(known.judge(&check(&[("a", Why::Missing)]), at(4)), Bad::Own);
        assert_eq!(known.judge(&check(&[("a", Why::Unreadable("a folder".into()))]), at(6)), Bad::New);
    }

    #[test]
    fn what_is_unsettled_is_never_taken_for_the_applications_own() {
        let (mut known, start) = (Known::default(), Instant::now());
        for seconds in [0, 2, 4] {
            let bad = check(&[("a", Why::Unsettled)]);
            assert_eq!(known.judge(&bad, start + Duration::from_secs(seconds)), Bad::New);
        }
    }
}
