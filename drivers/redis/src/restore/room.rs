//! Room for new keys beside the live ones: a server that is full throws live keys away, or takes no more writes.

use dumprestore_driver::{Error, Result};

use super::line::Line;
use crate::connect::Info;

/// How much a server may hold, and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes. 0: it has no limit of its own.
    pub(super) limit: u64,
    used: u64,
}

/// So much of the limit is left to the application, at least.
const RESERVE: u64 = 20;
const LEAST_RESERVE: u64 = 1 << 20;
/// A value takes more in memory than in an archive.
const GROWTH: u64 = 4;

impl Room {
    pub(super) fn ask(line: &mut Line) -> Result<Self> {
        Ok(Self::of(&line.info("memory")?))
    }

    fn of(info: &Info) -> Self {
        let number = |name| info.number(name).unwrap_or(0);
        Self {
            limit: number("maxmemory"),
            used: number("used_memory").saturating_sub(number("mem_not_counted_for_evict")),
        }
    }

    /// Bytes that may still be taken. `None`: there is no limit.
    pub(super) fn left(&self) -> Option<u64> {
        let reserve = (self.limit / RESERVE).max(LEAST_RESERVE);
        (self.limit > 0).then(|| self.limit.saturating_sub(reserve).saturating_sub(self.used))
    }
}

/// Watches over the room while keys are loaded.
pub(super) struct Guard {
    line: Line,
    left: Option<u64>,
    /// Bytes that were sent since the server was asked.
    sent: u64,
}

impl Guard {
    pub(super) fn new(mut line: Line) -> Result<Self> {
        let left = Room::ask(&mut line)?.left();
        Ok(Self { line, left, sent: 0 })
    }

    /// How much may be sent in one transaction.
    pub(super) fn most(&self, usual: u64) -> u64 {
        const LEAST: u64 = 4 << 10;
        self.left.map_or(usual, |left| (left / 32).clamp(LEAST, usual))
    }

    /// Before so many bytes are sent.
    ///
    /// # Errors
    /// If there would be too little room for the application then.
    pub(super) fn before(&mut self, bytes: u64) -> Result<()> {
        let Some(left) = self.left else { return Ok(()) };
        self.sent = self.sent.saturating_add(bytes);
        if self.sent.saturating_mul(GROWTH) < left {
            return Ok(());
        }
        // What was sent last may not be counted yet.
        self.left = Room::ask(&mut self.line)?.left();
        self.sent = bytes;
        match self.left {
            Some(left) if bytes.saturating_mul(GROWTH) >= left => Err(Error::environment(
                "the server has not enough room for the new keys beside the live ones",
            )
            .with_context("bytes left below `maxmemory`", left)
            .with_hint("raise `maxmemory` for the time of the restore: `CONFIG SET maxmemory …`")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_room_is_always_left_to_the_application() {
        let room = |limit, used| Room { limit, used }.left();
        assert_eq!(room(0, 123), None);
        assert_eq!(room(100 << 20, 0), Some(95 << 20));
        assert_eq!(room(10 << 20, 4 << 20), Some(5 << 20));
        assert_eq!(room(10 << 20, 20 << 20), Some(0));
    }
}
