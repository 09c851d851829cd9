//! What an object is known by.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::state::State;

/// What a listing, or a look at it, tells of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// In bytes.
    pub(super) size: u64,
    /// As the store gives it, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// When it was written, in nanoseconds since 1970. Stores that have ETags give seconds in one place and parts of
    /// them in another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<i64>,
}

impl Identity {
    pub(super) fn of(state: &State) -> Self {
        Self { size: state.size, etag: state.etag.clone(), modified: state.modified }
    }

    /// Of what is about to be in place: of that size, and, if copies keep it, that ETag.
    pub(super) fn staged(size: u64, etag: Option<&str>) -> Self {
        Self { size, etag: etag.map(plain), modified: None }
    }

    /// Whether both are one object, that nobody has written in between.
    pub(super) fn is(&self, other: &Self) -> bool {
        if self.size != other.size {
            return false;
        }
        match (&self.etag, &other.etag) {
            (Some(one), Some(two)) => one == two,
            _ => match (self.modified, other.modified) {
                (Some(one), Some(two)) => one == two,
                _ => true,
            },
        }
    }

    /// Whether two that are not one can be told apart for certain.
    pub(super) fn tells(&self) -> bool {
        self.etag.is_some() || self.modified.is_some()
    }

    /// Whether its ETag is that of all copies of it, if copies keep ETags at all: it is not, of what was made of parts.
    pub(super) fn is_of_one_part(&self) -> bool {
        self.etag.as_deref().is_some_and(|etag| !etag.contains('-'))
    }

    /// Whether it was written then, in nanoseconds since 1970.
    pub(super) fn is_of_time(&self, time: Option<i128>) -> bool {
        self.modified.map(i128::from).is_some_and(|modified| time == Some(modified))
    }

    /// The same, to the second.
    pub(super) fn is_of_second(&self, time: Option<i128>) -> bool {
        let second = |nanos: i128| nanos.div_euclid(1_000_000_000);
        self.modified.map(i128::from).is_some_and(|modified| time.map(second) == Some(second(modified)))
    }

    /// Whether it was written so long ago that nobody can write it again in that same second.
    pub(super) fn is_settled(&self) -> bool {
        const LONG: Duration = Duration::from_secs(60);
        let ago =
            |nanos: i64| nanos.try_into().ok().map(Duration::from_nanos).map(|since| UNIX_EPOCH + since);
        let written = self.modified.and_then(ago);
        written.is_some_and(|written| written.elapsed().is_ok_and(|age| age > LONG))
    }
}

/// Without the quotes that some answers have around it.
pub(super) fn plain(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::state::nanos;

    fn identity(size: u64, etag: Option<&str>, modified: Option<i64>) -> Identity {
        Identity { size, etag: etag.map(plain), modified }
    }

    #[test]
    fn an_etag_decides_where_both_have_one() {
        let listed = identity(3, Some("\"abc\""), Some(5_200_000_000));
        assert!(listed.is(&identity(3, Some("abc"), Some(5_000_000_000))));
        assert!(!listed.is(&identity(3, Some("abd"), Some(5_200_000_000))));
        assert!(!listed.is(&identity(4, Some("abc"), Some(5_200_000_000))));
    }

    #[test]
    fn without_etags_size_and_time_decide() {
        let listed = identity(3, None, Some(7));
        assert!(listed.is(&identity(3, None, Some(7))));
        assert!(!listed.is(&identity(3, None, Some(8))) && !listed.is(&identity(2, None, Some(7))));
        assert!(identity(3, None, None).is(&identity(3, None, None)) && !identity(3, None, None).tells());
    }

    #[test]
    fn what_was_written_right_now_is_not_settled() {
        let now = nanos(SystemTime::now()).unwrap();
        assert!(!identity(1, None, Some(now)).is_settled());
        assert!(!identity(1, None, Some(now + 3_600_000_000_000)).is_settled());
        assert!(identity(1, None, Some(now - 61_000_000_000)).is_settled());
        assert!(!identity(1, None, None).is_settled());
    }
}
