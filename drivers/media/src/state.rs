//! What an object is known by, at one moment.

use dumprestore_bucket::opendal::Metadata;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const SECOND: i64 = 1_000_000_000;

/// The smallest block that stores take uploads in, in bytes.
const BLOCK: u64 = 1 << 20;

/// What a listing, a look or a reading tells of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// In bytes.
    pub(crate) size: u64,
    /// Without quotes. A weak one is none: it does not tell bytes apart.
    pub(crate) etag: Option<String>,
    /// The version, if the store keeps versions and told which it is. `null` is one that can be overwritten.
    pub(crate) version: Option<String>,
    /// When it was written, in nanoseconds since 1970. Stores with ETags count seconds, in some of their answers.
    pub(crate) modified: Option<i64>,
}

impl State {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.content_length(),
            etag: meta.etag().and_then(strong),
            version: meta.version().filter(|version| !version.is_empty()).map(str::to_owned),
            modified: meta.last_modified().and_then(|time| nanos(time.into())),
        }
    }

    /// Whether both are the same bytes, with the same things belonging to them.
    pub(crate) fn is(&self, other: &Self) -> bool {
        if let (Some(one), Some(two)) = (self.fixed(), other.fixed()) {
            return one == two;
        }
        match (&self.etag, &other.etag) {
            // Some answers give no size of an object whose key ends in `/`, and none is needed.
            (Some(one), Some(two)) => one == two && self.second() == other.second(),
            _ => {
                self.size == other.size
                    && self.modified == other.modified
                    && self.etag.is_none() == other.etag.is_none()
            }
        }
    }

    /// The version, if it is always the same bytes. What was written while versions were off, and is called `null`, can
    /// be overwritten.
    pub(crate) fn fixed(&self) -> Option<&str> {
        self.version.as_deref().filter(|version| *version != "null")
    }

    /// In whole seconds since 1970.
    pub(crate) fn second(&self) -> Option<i64> {
        self.modified.map(|nanos| nanos.div_euclid(SECOND))
    }

    /// Whether it was written by one request: then its ETag is a digest of its bytes.
    pub(crate) fn is_of_one_part(&self) -> bool {
        let is_digest = |etag: &String| etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.etag.as_ref().is_some_and(is_digest)
    }

    /// Whether its time is that of the moment at which it was there. The time of what was uploaded in parts is that of the
    /// beginning, which may be days before; and some stores take the time of any upload when its first block has arrived.
    pub(crate) fn is_told_by_time(&self) -> bool {
        self.is_of_one_part() && self.size <= BLOCK
    }

    /// When it was written, for people and programs.
    pub(crate) fn time(&self) -> Option<String> {
        let time = OffsetDateTime::from_unix_timestamp_nanos(self.modified?.into()).ok()?;
        time.format(&Rfc3339).ok()
    }
}

/// An ETag without its quotes, if it tells bytes apart.
pub(crate) fn strong(etag: &str) -> Option<String> {
    let etag = etag.trim();
    (!etag.starts_with("W/") && !etag.is_empty()).then(|| etag.trim_matches('"').to_owned())
}

/// As a request has it.
pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

pub(crate) fn nanos(time: std::time::SystemTime) -> Option<i64> {
    i64::try_from(OffsetDateTime::from(time).unix_timestamp_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(etag: Option<&str>, version: Option<&str>, modified: i64) -> State {
        State {
            size: 3,
            etag: etag.and_then(strong),
            version: version.map(str::to_owned),
            modified: Some(modified),
        }
    }

    #[test]
    fn a_version_decides_then_the_etag_with_the_second_then_size_and_time() {
        let listed = state(Some("\"abc\""), None, 5 * SECOND + 200);
        assert!(listed.is(&state(Some("abc"), Some("v1"), 5 * SECOND)));
        assert!(
            !listed.is(&state(Some("abc"), None, 6 * SECOND))
                && !listed.is(&state(Some("abd"), None, 5 * SECOND))
        );
        assert!(state(Some("a"), Some("v1"), 1).is(&state(Some("a"), Some("v1"), 1)));
        assert!(!state(Some("a"), Some("v1"), 1).is(&state(Some("a"), Some("v2"), 1)));
        assert!(
            state(None, None, 7).is(&state(None, None, 7)) && !state(None, None, 7).is(&state(None, None, 8))
        );
        assert!(!state(None, None, 7).is(&state(Some("a"), None, 7)));
    }

    #[test]
    fn weak_etags_are_none() {
        assert_eq!(strong("W/\"abc\""), None);
        assert!(!state(Some("0123456789abcdef0123456789abcdef-7"), None, 1).is_of_one_part());
        let digest = state(Some("\"0123456789abcdef0123456789ABCDEF\""), None, 1);
        assert!(digest.is_of_one_part() && digest.is_told_by_time());
        assert!(!State { size: BLOCK + 1, ..digest }.is_told_by_time());
    }
}
