//! How far a copy of an archive is, told a few times a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dumprestore::{Event, Observer};

const EACH: Duration = Duration::from_millis(200);

/// Tells of so many bytes of `total` that are done.
pub(crate) struct Copying {
    observer: Arc<dyn Observer>,
    total: u64,
    told: Mutex<Option<Instant>>,
}

impl Copying {
    pub(crate) fn new(observer: Arc<dyn Observer>, total: u64) -> Self {
        Self { observer, total, told: Mutex::default() }
    }

    pub(crate) fn done(&self, done: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if done >= self.total || told.is_none_or(|told| told.elapsed() >= EACH) {
            *told = Some(Instant::now());
            self.observer.event(&Event::Copying { done, total: self.total });
        }
    }
}
