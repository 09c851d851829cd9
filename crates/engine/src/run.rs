//! What all runs have in common: a name, an observer, and a way to stop.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dumprestore_driver::Cancel;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::Observer;

/// A run under way.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) started: OffsetDateTime,
    pub(crate) observer: Arc<dyn Observer>,
    /// The caller's wish to stop.
    pub(crate) cancel: Cancel,
    /// Ends the lanes: on the caller's wish, when one of them has failed, and when the run is dropped.
    pub(crate) stop: Cancel,
    _guard: Arc<StopOnDrop>,
}

struct StopOnDrop(Cancel);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Run {
    pub(crate) fn new(observer: Arc<dyn Observer>, cancel: Cancel) -> Self {
        let started = OffsetDateTime::now_utc();
        let stop = cancel.child();
        Self {
            name: name_of(started),
            started,
            observer,
            cancel,
            _guard: Arc::new(StopOnDrop(stop.clone())),
            stop,
        }
    }
}

/// Sortable by time, and unique: two runs of one second differ in the last eight digits.
fn name_of(started: OffsetDateTime) -> String {
    let stamp =
        started.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap_or_default();
    let chance = RandomState::new().hash_one(started.unix_timestamp_nanos());
    format!("{stamp}-{:08x}", chance as u32)
}

/// When the run of that name began.
pub fn run_began(name: &str) -> Option<OffsetDateTime> {
    let stamp = name.split('-').next()?;
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(stamp, format).ok()?.assume_utc())
}

/// Now, on the clock that Linux stamps inodes with. It lags behind the precise clock by up to a tick (10 ms at
/// most), so that a file changed later never carries an earlier time than this.
pub(crate) fn coarse_now() -> SystemTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_run_says_when_it_began() {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        assert_eq!(run_began(&name_of(now)), Some(now));
        assert_eq!(run_began("shop.zip"), None);
    }
}
