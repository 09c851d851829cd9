//! Writers that go on while the shop is dumped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dumprestore::{Error, Result};

use super::Shop;

const WRITERS: u64 = 2;
/// Between two writes of one writer.
const PAUSE: Duration = Duration::from_millis(8);

/// Writers at work.
pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    writes: AtomicU64,
    /// In microseconds.
    longest: AtomicU64,
}

/// What was written since some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) writes: u64,
    /// The longest that one write took, waiting included.
    pub(crate) longest: Duration,
}

impl Writers {
    /// Lets them begin, each with its own connection.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for nth in 1..=WRITERS {
            let (shop, shared) = (Shop::open(folder, nth << 32)?, shared.clone());
            threads.push(std::thread::spawn(move || write(shop, &shared)));
        }
        Ok(Self { shared, threads })
    }

    /// What was written since this was asked last.
    pub(crate) fn since_last(&self) -> Written {
        Written {
            writes: self.shared.writes.swap(0, Ordering::Relaxed),
            longest: Duration::from_micros(self.shared.longest.swap(0, Ordering::Relaxed)),
        }
    }

    /// Lets them end.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).try_for_each(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(_) => Err(Error::defect("a writer of the demo panicked")),
        })
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // They may write into a folder that is about to be removed. What they have to say has been said elsewhere.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn write(mut shop: Shop, shared: &Shared) -> Result<()> {
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        shop.work()?;
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.longest.fetch_max(took, Ordering::Relaxed);
        shared.writes.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
