//! A limit to how fast archives leave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Result};

use crate::transfers;

/// Bytes per second that all copies of an archive take together; its clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Arc<Limit>);

#[derive(Debug)]
struct Limit {
    per_second: f64,
    /// When what was let go so far has left.
    free: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(per_second: u64) -> Self {
        Self(Arc::new(Limit { per_second: per_second.max(1) as f64, free: Mutex::new(Instant::now()) }))
    }

    /// Waits until so many bytes may leave.
    ///
    /// # Errors
    /// If it is cancelled meanwhile.
    pub(crate) fn wait(&self, bytes: u64, cancel: &Cancel) -> Result<()> {
        let (time, cancel) = (self.take(bytes), cancel.clone());
        if time.is_zero() {
            return cancel.check();
        }
        transfers::wait(async move {
            tokio::select! {
                () = tokio::time::sleep(time) => Ok(()),
                () = cancel.cancelled() => Err(Error::cancelled()),
            }
        })
    }

    /// How long to wait before so many bytes may leave.
    pub(crate) fn take(&self, bytes: u64) -> Duration {
        let now = Instant::now();
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*free).max(now);
        *free = begins + Duration::from_secs_f64(bytes as f64 / self.0.per_second);
        begins - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_waits_for_what_left_before_and_nobody_saves_up() {
        let pace = Pace::new(1000);
        assert_eq!(pace.take(500), Duration::ZERO);
        let waited = pace.clone().take(1000);
        assert!(waited > Duration::from_millis(400) && waited <= Duration::from_millis(500), "{waited:?}");
        let waited = pace.take(1);
        assert!(waited > Duration::from_millis(1400), "{waited:?}");
    }
}
