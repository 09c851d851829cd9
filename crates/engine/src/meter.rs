//! How far a node is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dumprestore_driver::NodePath;

use crate::event::{Event, Observer};

/// Between two reports of progress on one node.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Counts the bytes and parts of one node in one phase, and tells the observer now and then.
pub(crate) struct Meter {
    node: NodePath,
    phase: &'static str,
    observer: Arc<dyn Observer>,
    begun: Instant,
    bytes: AtomicU64,
    parts: AtomicU64,
    reported: AtomicU64,
}

impl Meter {
    /// Begins a phase of a node, of about that many bytes and parts.
    pub(crate) fn begin(
        observer: &Arc<dyn Observer>,
        node: &NodePath,
        phase: &'static str,
        (bytes, parts): (Option<u64>, Option<u64>),
    ) -> Arc<Self> {
        observer.event(&Event::NodeStarted { node: node.clone(), phase, bytes, parts });
        Arc::new(Self {
            node: node.clone(),
            phase,
            observer: observer.clone(),
            begun: Instant::now(),
            bytes: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        })
    }

    /// So many bytes more.
    pub(crate) fn add_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.report();
    }

    /// One part more.
    pub(crate) fn add_part(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends the phase.
    pub(crate) fn finish(&self) {
        self.observer.event(&Event::NodeFinished {
            node: self.node.clone(),
            phase: self.phase,
            bytes: self.bytes(),
            parts: self.parts.load(Ordering::Relaxed),
            seconds: self.begun.elapsed(),
        });
    }

    fn report(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        let last = self.reported.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= REPORT_EVERY.as_millis() as u64;
        // Of several lanes that find it due, one reports.
        if due && self.reported.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.observer.event(&Event::Progress {
                node: self.node.clone(),
                bytes: self.bytes(),
                parts: self.parts.load(Ordering::Relaxed),
            });
        }
    }
}
