//! Room for new keys beside the live ones: a server that is full throws live keys away, or takes no more writes.

use dumprestore_driver::{Error, Result};

use super::Restore;
use super::line::Line;
use super::lines::Lines;
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
/// In bytes: after so much the server is asked again, for others write as well.
const OFTEN: u64 = 16 << 20;

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

/// What new keys take at each server, and what it may still take.
pub(super) struct Needs(Vec<Need>);

/// In bytes.
struct Need {
    takes: u64,
    /// `None`: there is no limit.
    left: Option<u64>,
}

impl Needs {
    pub(super) fn ask(lines: &mut Lines) -> Result<Self> {
        let need = |line| Ok(Need { takes: 0, left: Room::ask(line)?.left() });
        lines.all().map(need).collect::<Result<_>>().map(Self)
    }

    /// Whether any of them has a limit.
    pub(super) fn are_limited(&self) -> bool {
        self.0.iter().any(|need| need.left.is_some())
    }

    /// Counts bytes that go to the server of that place among the connections.
    pub(super) fn add(&mut self, at: usize, bytes: u64) {
        if let Some(need) = self.0.get_mut(at) {
            need.takes = need.takes.saturating_add(bytes);
        }
    }

    /// Of the server that comes nearest to its limit: bytes that it needs, and has.
    pub(super) fn tightest(&self) -> Option<(u64, u64)> {
        let limited = self.0.iter().filter_map(|need| Some((need.takes, need.left?)));
        limited.min_by_key(|(takes, left)| i128::from(*left) - i128::from(*takes))
    }
}

/// Watches over the room while keys are made. What is made is weighed rather too heavy; twice that must be left.
pub(super) struct Guard {
    line: Line,
    left: Option<u64>,
    /// Bytes that were added since the server was asked, at the most.
    spent: u64,
}

impl Guard {
    pub(super) fn new(mut line: Line) -> Result<Self> {
        let left = Room::ask(&mut line)?.left();
        Ok(Self { line, left, spent: 0 })
    }

    /// Whether the server has a limit at all.
    pub(super) fn has_limit(&self) -> bool {
        self.left.is_some()
    }

    /// How much may be sent in one transaction.
    pub(super) fn most(&self, usual: u64) -> u64 {
        const LEAST: u64 = 4 << 10;
        self.left.map_or(usual, |left| (left / 32).clamp(LEAST, usual))
    }

    /// Whether so many bytes may be added without asking the server again.
    pub(super) fn fits(&self, weight: u64) -> bool {
        self.left.is_none_or(|left| self.spent.saturating_add(weight) <= (left / 4).min(OFTEN))
    }

    /// Asks the server again. All that was sent must be answered by now.
    ///
    /// # Errors
    /// If there would be too little room for the application with so many bytes more.
    pub(super) fn ask(&mut self, weight: u64) -> Result<()> {
        self.left = Room::ask(&mut self.line)?.left();
        self.spent = 0;
        match self.left {
            Some(left) if weight > left / 2 => Err(Error::environment(
                "the server has not enough room for the new keys beside the live ones",
            )
            .with_context("bytes left below `maxmemory`", left)
            .with_hint("raise `maxmemory` for the time of the restore: `CONFIG SET maxmemory …`")),
            _ => Ok(()),
        }
    }

    pub(super) fn spend(&mut self, weight: u64) {
        self.spent = self.spent.saturating_add(weight);
    }
}

/// How many keys the server has evicted, ever.
fn evicted(line: &mut Line) -> Result<u64> {
    Ok(line.info("stats")?.number("evicted_keys").unwrap_or(0))
}

impl Restore {
    /// Notes how many keys were evicted before the first new one is made.
    pub(super) fn note_evicted(&self, line: &mut Line) -> Result<()> {
        if self.shared.evicted.get().is_none() {
            let _ = self.shared.evicted.set(evicted(line)?);
        }
        Ok(())
    }

    /// The last proof that nothing had to go for the new keys.
    ///
    /// # Errors
    /// If something had to: live keys, or new ones.
    pub(super) fn refuse_evicted(&self, line: &mut Line) -> Result<()> {
        let Some(before) = self.shared.evicted.get() else { return Ok(()) };
        refuse(evicted(line)?.saturating_sub(*before))
    }

    /// The same of all primaries of a cluster.
    pub(super) fn note_evicted_by_all(&self, lines: &mut Lines) -> Result<()> {
        if self.shared.evicted.get().is_none() {
            let _ = self.shared.evicted.set(evicted_by_all(lines)?);
        }
        Ok(())
    }

    /// The same of all primaries of a cluster.
    ///
    /// # Errors
    /// The same.
    pub(super) fn refuse_evicted_by_all(&self, lines: &mut Lines) -> Result<()> {
        let Some(before) = self.shared.evicted.get() else { return Ok(()) };
        refuse(evicted_by_all(lines)?.saturating_sub(*before))
    }
}

fn evicted_by_all(lines: &mut Lines) -> Result<u64> {
    lines.all().try_fold(0u64, |sum, line| Ok(sum.saturating_add(evicted(line)?)))
}

fn refuse(evicted: u64) -> Result<()> {
    match evicted {
            0 => Ok(()),
            gone => Err(Error::environment(
                "the server has evicted keys while new ones were made: live keys may be among them, and are lost",
            )
            .with_context("keys evicted", gone)
            .with_hint(
                "not the restore but the server has removed them, to stay below `maxmemory`: raise it, and restore again",
            )),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_that_comes_nearest_to_its_limit_counts() {
        let needs = |all: &[(u64, Option<u64>)]| {
            Needs(all.iter().map(|(takes, left)| Need { takes: *takes, left: *left }).collect())
        };
        assert_eq!(needs(&[(9, None), (9, None)]).tightest(), None);
        let mut some = needs(&[(9, None), (5, Some(20)), (1, Some(18))]);
        assert_eq!(some.tightest(), Some((5, 20)));
        some.add(2, 30);
        assert_eq!(some.tightest(), Some((31, 18)));
    }

    #[test]
    fn some_room_is_always_left_to_the_application() {
        let room = |limit, used| Room { limit, used }.left();
        assert_eq!(room(0, 123), None);
        assert_eq!(room(100 << 20, 0), Some(95 << 20));
        assert_eq!(room(10 << 20, 4 << 20), Some(5 << 20));
        assert_eq!(room(10 << 20, 20 << 20), Some(0));
    }
}
