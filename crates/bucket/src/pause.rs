//! Pauses between tries.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Before the second try.
pub(crate) const FIRST: Duration = Duration::from_millis(250);
/// At the most.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// The pauses between so many tries: each twice as long as the one before, and a little longer by chance, so that clients
/// that were turned away together don't come back together.
pub(crate) struct Pauses {
    left: usize,
    next: Duration,
}

impl Pauses {
    /// Between so many tries.
    pub(crate) fn new(tries: usize) -> Self {
        Self { left: tries.saturating_sub(1), next: FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        let chance = RandomState::new().hash_one(self.left) % 1000;
        Some(pause + FIRST * u32::try_from(chance).unwrap_or(0) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_pause_between_two_tries_and_none_after_the_last() {
        assert_eq!(Pauses::new(0).count(), 0);
        assert_eq!(Pauses::new(1).count(), 0);
        assert_eq!(Pauses::new(8).count(), 7);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<_> = Pauses::new(20).collect();
        assert!(pauses.windows(2).all(|two| two[1] + FIRST > two[0]));
        assert!(pauses[0] >= FIRST && pauses[0] < FIRST * 2);
        assert!(pauses[19 - 1] >= LONGEST && pauses[19 - 1] < LONGEST + FIRST);
    }
}
