//! Which version of an object was the one at the cut.
//!
//! A versioned bucket lists the versions of a key, deletions among them, the newest first: in the order in which they came to be.
//! The times that it tells are in whole seconds, and of what was uploaded in parts they are too early. So a version is surely
//! older than the cut, surely newer, or neither. What was there at the cut is the newest that is surely older, or one of
//! those that are neither.

use serde::{Deserialize, Serialize};

use crate::clock::Window;
use crate::state::State;

/// One entry in the history of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) state: State,
    /// Whether it says that the object was deleted.
    pub(crate) deleted: bool,
}

/// What may have been there at the cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AsOf {
    /// One of these, the newest first.
    pub(crate) data: Vec<State>,
    /// Or nothing.
    pub(crate) absent: bool,
}

/// So many versions that may be the one are told apart: more than come about in some seconds.
const MOST: usize = 50;

/// Goes through the history of one key, the newest entry first.
pub(crate) struct Finding<K> {
    window: Option<Window>,
    /// Whether an entry is known to be older than the cut, whatever its time says.
    known: K,
    found: AsOf,
    is_over: bool,
}

impl<K: Fn(&Version) -> bool> Finding<K> {
    pub(crate) fn new(window: Option<Window>, known: K) -> Self {
        Self { window, known, found: AsOf::default(), is_over: false }
    }

    /// Takes the next older entry. False if no further one matters.
    pub(crate) fn take(&mut self, version: Version) -> bool {
        if self.is_over || self.is_after(&version.state) {
            return !self.is_over;
        }
        self.is_over = self.is_before(&version);
        match version.deleted {
            true => self.found.absent = true,
            false if self.found.data.len() < MOST => self.found.data.push(version.state),
            false => {}
        }
        !self.is_over
    }

    fn is_after(&self, state: &State) -> bool {
        matches!((self.window, state.second()), (Some(window), Some(second)) if window.is_after(second))
    }

    fn is_before(&self, version: &Version) -> bool {
        let is_told_by_time = version.deleted || version.state.is_told_by_time();
        let by_time = matches!(
            (self.window, version.state.second()),
            (Some(window), Some(second)) if is_told_by_time && window.is_before(second)
        );
        by_time || (self.known)(version)
    }

    /// The end of the history.
    pub(crate) fn end(mut self) -> AsOf {
        self.found.absent |= !self.is_over;
        self.found
    }
}

impl AsOf {
    /// The one version that was there, if anything was: no other can have been.
    pub(crate) fn only(&self) -> Option<&State> {
        let first = self.data.first()?;
        let same = |other: &State| other.etag == first.etag && first.is_of_one_part();
        self.data[1..].iter().all(same).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const ONE_PART: &str = "0123456789abcdef0123456789abcdef";

    fn version(id: &str, second: i64, etag: &str) -> Version {
        let state = State {
            size: 1,
            etag: Some(etag.to_owned()),
            version: Some(id.to_owned()),
            modified: Some(second * crate::state::SECOND),
        };
        Version { state, deleted: false }
    }

    fn deletion(second: i64) -> Version {
        Version { deleted: true, ..version("d", second, "") }
    }

    /// A cut at 100 s, of a store whose clock is known to within some seconds.
    fn window() -> Option<Window> {
        let at = |second: u64| UNIX_EPOCH + Duration::from_secs(second);
        Window::of(Clock::for_tests(0, crate::state::SECOND), at(100), at(100))
    }

    fn find(versions: &[Version], known: &[&str]) -> (Vec<String>, bool) {
        let is_known = |version: &Version| known.contains(&version.state.version.as_deref().unwrap());
        let mut finding = Finding::new(window(), is_known);
        for version in versions {
            if !finding.take(version.clone()) {
                break;
            }
        }
        let found = finding.end();
        (found.data.into_iter().map(|state| state.version.unwrap()).collect(), found.absent)
    }

    #[test]
    fn the_newest_version_before_the_cut_is_the_one() {
        let all = [version("c", 200, ONE_PART), version("b", 50, ONE_PART), version("a", 10, ONE_PART)];
        assert_eq!(find(&all, &[]), (vec!["b".to_owned()], false));
        let gone = [version("c", 200, ONE_PART), deletion(60), version("a", 10, ONE_PART)];
        assert_eq!(find(&gone, &[]), (vec![], true));
        assert_eq!(find(&[version("c", 200, ONE_PART)], &[]), (vec![], true));
    }

    #[test]
    fn what_was_deleted_or_overwritten_about_the_cut_may_have_been_there() {
        let deleted = [deletion(100), version("a", 10, ONE_PART)];
        assert_eq!(find(&deleted, &[]), (vec!["a".to_owned()], true));
        let over = [version("b", 100, ONE_PART), version("a", 10, ONE_PART)];
        assert_eq!(find(&over, &[]), (vec!["b".to_owned(), "a".to_owned()], false));
        assert_eq!(find(&deleted, &["d"]), (vec![], true));
        // Seen in a pass before the cut: then no older one can have been there.
        assert_eq!(find(&over, &["b"]), (vec!["b".to_owned()], false));
        assert_eq!(find(&[version("a", 100, ONE_PART)], &[]), (vec!["a".to_owned()], true));
    }

    #[test]
    fn the_time_of_an_upload_in_parts_proves_nothing() {
        let parts = [version("b", 50, "0123456789abcdef0123456789abcdef-3"), version("a", 10, ONE_PART)];
        assert_eq!(find(&parts, &[]), (vec!["b".to_owned(), "a".to_owned()], false));
        assert_eq!(find(&parts, &["b"]), (vec!["b".to_owned()], false));
    }

    #[test]
    fn without_a_clock_only_what_was_seen_is_older() {
        let versions = [version("c", 200, ONE_PART), version("b", 50, ONE_PART), version("a", 10, ONE_PART)];
        let mut finding =
            Finding::new(None, |version: &Version| version.state.version.as_deref() == Some("b"));
        for version in versions {
            finding.take(version);
        }
        let found = finding.end();
        assert_eq!(found.data.len(), 2);
        assert!(found.only().is_some(), "both are the same bytes");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Histories with true times of one millisecond, told in seconds; the true state at the cut is among what is found.
        #[test]
        fn what_was_there_is_among_what_is_found(
            steps in prop::collection::vec((1i64..9_000, any::<bool>(), any::<bool>(), 0i64..5_000), 0..12),
        ) {
            let cut = 100_000;
            let mut now = 85_000;
            let mut history = Vec::new();
            for (at, (pause, deleted, in_parts, begun)) in steps.into_iter().enumerate() {
                now += pause / 3;
                let told = if in_parts && !deleted { now - begun } else { now };
                let etag = if in_parts { "0123456789abcdef0123456789abcdef-2" } else { ONE_PART };
                let mut version = version(&at.to_string(), told.div_euclid(1000), &format!("{at:02}{}", &etag[2..]));
                version.deleted = deleted;
                history.push((now, version));
            }
            let there = history.iter().rfind(|(at, _)| *at <= cut).map(|(_, version)| version.clone());
            let mut finding = Finding::new(window(), |_: &Version| false);
            for (_, version) in history.iter().rev() {
                if !finding.take(version.clone()) {
                    break;
                }
            }
            let found = finding.end();
            match there {
                Some(version) if !version.deleted => prop_assert!(found.data.contains(&version.state)),
                _ => prop_assert!(found.absent),
            }
        }
    }
}
