//! When keys expire that are restored.

use std::time::Instant;

use dumprestore_driver::Result;

use super::line::{Line, bytes, not_understood};
use crate::config::Expiry;
use crate::connect::Reply;
use crate::rdb::Entry;

/// What becomes of times of expiry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    /// The server's clock, in milliseconds since 1970, at `then`.
    now: u64,
    then: Instant,
    /// By how much they are moved, in milliseconds.
    shift: u64,
}

/// What becomes of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It does not expire.
    Lasts,
    /// It does so then, in milliseconds since 1970.
    Expires(u64),
    /// It has done so already.
    Expired,
}

impl Lifetime {
    /// `cut`: when it was dumped, in milliseconds since 1970.
    ///
    /// # Errors
    /// If the server does not tell its time.
    pub(super) fn begin(line: &mut Line, expiry: Expiry, cut: Option<u64>) -> Result<Self> {
        let Reply::Array(parts) = line.ask(&redis::cmd("TIME"))? else { return Err(not_understood()) };
        let mut parts = parts
            .into_iter()
            .filter_map(bytes)
            .filter_map(|digits| String::from_utf8(digits).ok()?.parse::<u64>().ok());
        let (Some(seconds), Some(micros)) = (parts.next(), parts.next()) else {
            return Err(not_understood());
        };
        let now = seconds.saturating_mul(1000) + micros / 1000;
        let shift = match (expiry, cut) {
            (Expiry::Relative, Some(cut)) => now.saturating_sub(cut),
            _ => 0,
        };
        Ok(Self { now, then: Instant::now(), shift })
    }

    pub(super) fn of(&self, entry: &Entry) -> Fate {
        match entry.expires {
            None => Fate::Lasts,
            Some(expires) if self.has_passed(expires) => Fate::Expired,
            // Servers count in 64 bits with a sign.
            Some(expires) => Fate::Expires(expires.saturating_add(self.shift).min(i64::MAX as u64)),
        }
    }

    /// Whether what was to expire then has done so.
    pub(super) fn has_passed(&self, expires: u64) -> bool {
        let elapsed = u64::try_from(self.then.elapsed().as_millis()).unwrap_or(u64::MAX);
        expires.saturating_add(self.shift) <= self.now.saturating_add(elapsed)
    }
}
