//! The store's clock, as far as it is known here.

use std::time::SystemTime;

use dumprestore_bucket::{Bucket, Scheme};

use crate::state::{SECOND, nanos};

/// Parts of one store may be that far apart.
const SKEW: i64 = SECOND;

/// By how much the store's clock is ahead of ours, in nanoseconds: at least, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    least: i64,
    most: i64,
}

impl Clock {
    /// Asks the store. `None` if it does not tell, or its times are not those of its objects.
    pub(crate) async fn ask(bucket: &Bucket) -> Option<Self> {
        if bucket.scheme() != Scheme::S3 {
            return None;
        }
        let before = SystemTime::now();
        let told = bucket.server_time().await.ok()?;
        Self::told(before, told, SystemTime::now())
    }

    /// What the answer says, which came between two moments, and is in whole seconds.
    fn told(before: SystemTime, told: SystemTime, after: SystemTime) -> Option<Self> {
        let (before, told, after) = (nanos(before)?, nanos(told)?, nanos(after)?);
        let told = told.div_euclid(SECOND) * SECOND;
        (before <= after).then(|| Self { least: told - after, most: told + SECOND - before })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(least: i64, most: i64) -> Self {
        Self { least, most }
    }

    /// What holds by both answers. `None` if one of the clocks was set in between: then none is to be trusted.
    pub(crate) fn and(self, later: Self) -> Option<Self> {
        let both = Self { least: self.least.min(later.least), most: self.most.max(later.most) };
        let agree = self.least <= later.most && later.least <= self.most;
        agree.then_some(both)
    }
}

/// The cut on the store's clock: no earlier, and no later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    from: i64,
    to: i64,
}

impl Window {
    /// Of a cut that took place between two of our moments.
    pub(crate) fn of(clock: Clock, from: SystemTime, to: SystemTime) -> Option<Self> {
        Some(Self { from: nanos(from)? + clock.least, to: nanos(to)? + clock.most })
    }

    /// Whether what was written in that second was written before the cut.
    pub(crate) fn is_before(&self, second: i64) -> bool {
        (second + 1).checked_mul(SECOND).is_some_and(|end| end + SKEW <= self.from)
    }

    /// Whether it was written after it.
    pub(crate) fn is_after(&self, second: i64) -> bool {
        second.checked_mul(SECOND).is_some_and(|begin| begin - SKEW >= self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_second_is_before_the_cut_only_if_all_of_it_surely_was() {
        // The store's clock is two hours ahead.
        let hours = 7_200_000;
        let clock = Clock::told(at(10_000), at(10_000 + hours), at(10_100)).unwrap();
        let window = Window::of(clock, at(20_000), at(20_300)).unwrap();
        let second = |millis: i64| (millis + hours as i64).div_euclid(1000);
        assert!(window.is_before(second(17_000)) && !window.is_before(second(18_000)));
        assert!(!window.is_before(second(20_000)) && !window.is_after(second(20_300)));
        assert!(!window.is_after(second(22_000)) && window.is_after(second(23_000)));
    }

    #[test]
    fn a_clock_that_was_set_is_not_trusted() {
        let one = Clock::told(at(10_000), at(10_000), at(10_100)).unwrap();
        let other = Clock::told(at(20_000), at(20_000), at(20_100)).unwrap();
        let set = Clock::told(at(30_000), at(90_000), at(30_100)).unwrap();
        assert!(one.and(other).is_some() && one.and(set).is_none());
        assert_eq!(Clock::told(at(10_000), at(10_000), at(9_000)), None);
    }
}
