//! What tells one state of a file from another, and when that can be trusted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A point in time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

impl Stamp {
    pub(crate) fn mtime(stat: &Stat) -> Self {
        Self { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 }
    }

    pub(crate) fn ctime(stat: &Stat) -> Self {
        Self { seconds: stat.st_ctime, nanos: stat.st_ctime_nsec as u32 }
    }

    /// Now, on the coarse clock that Linux stamps files with: a change made later carries this stamp or a later one.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Self { seconds: now.tv_sec, nanos: now.tv_nsec as u32 }
    }

    pub(crate) fn plus(self, more: Duration) -> Self {
        let nanos = self.nanos + more.subsec_nanos();
        let seconds = self.seconds.saturating_add(more.as_secs() as i64);
        Self {
            seconds: seconds.saturating_add(i64::from(nanos / 1_000_000_000)),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// How long until `self`, seen from `now`.
    pub(crate) fn after(self, now: Stamp) -> Duration {
        let nanos = |s: Stamp| i128::from(s.seconds) * 1_000_000_000 + i128::from(s.nanos);
        Duration::from_nanos(u64::try_from(nanos(self) - nanos(now)).unwrap_or(0))
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                match before.subsec_nanos() {
                    0 => Self { seconds: -(before.as_secs() as i64), nanos: 0 },
                    nanos => Self { seconds: -(before.as_secs() as i64) - 1, nanos: 1_000_000_000 - nanos },
                }
            }
        }
    }
}

/// How far the stamps of a folder's file system can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// This kernel stamps, finely.
    Local,
    /// A server stamps, by its own clock.
    Remote,
}

/// Two changes closer than this may carry one stamp. Ticks are 1 to 10 ms; the rest is for a write that was stamped
/// and is still copying.
const FINE: Duration = Duration::from_millis(20);
/// For file systems that keep whole seconds (FAT: two), and for the clocks of others.
const COARSE: Duration = Duration::from_secs(2);

/// A state of a file: any change to content, mode, owner, name or links makes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signature {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtime: Stamp,
    pub(crate) ctime: Stamp,
}

impl Signature {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size.max(0) as u64,
            mtime: Stamp::mtime(stat),
            ctime: Stamp::ctime(stat),
        }
    }

    /// What tells a file from all others, whatever its names.
    pub(crate) fn inode(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }
}

impl Clock {
    fn margin(self, stamp: Stamp) -> Duration {
        // A fine stamp with no nanoseconds comes once in a billion; a coarse one always.
        if self == Clock::Remote || stamp.nanos == 0 { COARSE } else { FINE }
    }

    /// Whether a change made since `read_at` would surely carry another stamp than `stamp`. If not, a file with that
    /// stamp read at `read_at` is "racily clean": its state is not proof of its content.
    ///
    /// A stamp from the future is as good as an old one: changes are stamped with the present.
    pub(crate) fn tells_changes_since(self, read_at: Stamp, stamp: Stamp) -> bool {
        let margin = self.margin(stamp);
        stamp.plus(margin) < read_at || stamp > Stamp::now().plus(margin)
    }

    /// How long to wait before reading a file that was stamped `stamp`, so that its state is proof of its content.
    pub(crate) fn wait_before_reading(self, stamp: Stamp) -> Duration {
        let now = Stamp::now();
        let margin = self.margin(stamp);
        if stamp > now.plus(margin) {
            return Duration::ZERO;
        }
        stamp.plus(margin).plus(Duration::from_nanos(1)).after(now)
    }

    /// Whether something stamped `stamp` was in that state before `cut` and has been ever since. `cut` is on the
    /// coarse clock: a change after it is stamped no earlier.
    pub(crate) fn is_before(self, cut: Stamp, stamp: Stamp) -> bool {
        let margin = self.margin(stamp);
        let slack = if margin == FINE { Duration::ZERO } else { margin };
        stamp.plus(slack) < cut || stamp > Stamp::now().plus(margin)
    }
}

pub(crate) fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Neither a file, nor a folder, nor a link: no dump has it, and a restore leaves it where it is.
pub(crate) fn is_special(kind: FileType) -> bool {
    matches!(kind, FileType::Socket | FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: i64, nanos: u32) -> Stamp {
        Stamp { seconds, nanos }
    }

    #[test]
    fn a_file_read_right_after_its_change_is_not_trusted() {
        let changed = stamp(1_000, 5_000_000);
        assert!(!Clock::Local.tells_changes_since(changed, changed));
        assert!(!Clock::Local.tells_changes_since(changed.plus(Duration::from_millis(20)), changed));
        assert!(Clock::Local.tells_changes_since(changed.plus(Duration::from_millis(21)), changed));
    }

    #[test]
    fn whole_seconds_are_taken_for_a_coarse_clock() {
        assert!(!Clock::Local.tells_changes_since(stamp(1_002, 0), stamp(1_000, 0)));
        assert!(Clock::Local.tells_changes_since(stamp(1_002, 1), stamp(1_000, 0)));
        assert!(!Clock::Local.is_before(stamp(1_001, 0), stamp(1_000, 0)));
    }

    #[test]
    fn a_stamp_from_the_future_tells_changes() {
        let future = Stamp::now().plus(Duration::from_secs(3_600));
        assert!(Clock::Local.tells_changes_since(Stamp::now(), future));
        assert!(Clock::Local.is_before(Stamp::now(), future));
        assert_eq!(Clock::Local.wait_before_reading(future), Duration::ZERO);
    }

    #[test]
    fn what_is_stamped_with_the_cut_is_not_before_it() {
        let cut = stamp(1_000, 7);
        assert!(!Clock::Local.is_before(cut, cut));
        assert!(Clock::Local.is_before(cut, stamp(1_000, 6)));
        assert!(!Clock::Remote.is_before(cut, stamp(999, 6)));
    }

    #[test]
    fn times_before_1970_keep_their_fraction() {
        let before = Stamp::from(UNIX_EPOCH - Duration::from_millis(1_250));
        assert_eq!(before, stamp(-2, 750_000_000));
    }
}
