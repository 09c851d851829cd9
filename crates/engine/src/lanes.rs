//! Lanes: threads that may block, each working on one part at a time.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};

use crate::set::BackupSet;

/// How many lanes a group has, and the permits that all groups of a run share.
#[derive(Clone)]
pub(crate) struct Lanes {
    pub(crate) count: NonZeroUsize,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) cancel: Cancel,
}

/// The lanes of a run of that set.
pub(crate) fn of(set: &BackupSet, cancel: &Cancel) -> Lanes {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let count = set.parallel().unwrap_or(processors);
    Lanes { count, permits: Arc::new(Semaphore::new(count.get())), cancel: cancel.clone() }
}

impl Lanes {
    /// The same, with at most `count` lanes.
    pub(crate) fn at_most(&self, count: usize) -> Self {
        let count = NonZeroUsize::new(count.min(self.count.get())).unwrap_or(NonZeroUsize::MIN);
        Self { count, ..self.clone() }
    }

    /// Does `work` on every item, on as many lanes as there are, and gives back what it made. With one lane, the
    /// items are worked on in their order. The first error ends all lanes.
    pub(crate) async fn run<S, I, T, W>(&self, items: S, work: W) -> Result<Vec<T>>
    where
        S: Stream<Item = Result<I>> + Send + Unpin,
        I: Send + 'static,
        T: Send + 'static,
        W: Fn(I) -> Result<T> + Send + Sync + 'static,
    {
        let (sender, receiver) = mpsc::channel(self.count.get() * 4);
        let stopped = AtomicBool::new(false);
        let queue =
            Arc::new(Queue { items: Mutex::new(receiver), permits: self.permits.clone(), stopped, work });
        let lanes: Vec<_> = (0..self.count.get())
            .map(|_| {
                let queue = queue.clone();
                tokio::task::spawn_blocking(move || queue.drain())
            })
            .collect();
        // Only the lanes hold the queue: when all have ended, the feed notices.
        drop(queue);
        let fed = self.feed(items, sender).await;
        let mut made = Vec::new();
        let mut failed = fed.err();
        for lane in lanes {
            match lane.await.map_err(|error| Error::defect("a driver panicked").with_source(error)).flatten()
            {
                Ok(more) if made.is_empty() => made = more,
                Ok(more) => made.extend(more),
                Err(error) => failed = Some(worse(failed, error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(made),
        }
    }

    async fn feed<S, I>(&self, mut items: S, sender: mpsc::Sender<I>) -> Result<()>
    where
        S: Stream<Item = Result<I>> + Send + Unpin,
    {
        while let Some(item) = items.next().await {
            self.cancel.check()?;
            // A closed channel means that every lane has ended; the reason comes from there.
            if sender.send(item?).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Of two errors the one that tells more: lanes that were told to stop only say so.
fn worse(first: Option<Error>, second: Error) -> Error {
    match first {
        Some(first) if first.kind() != ErrorKind::Cancelled => first,
        _ => second,
    }
}

struct Queue<I, W> {
    items: Mutex<mpsc::Receiver<I>>,
    permits: Arc<Semaphore>,
    stopped: AtomicBool,
    work: W,
}

impl<I, W> Queue<I, W> {
    fn drain<T>(&self) -> Result<Vec<T>>
    where
        W: Fn(I) -> Result<T>,
    {
        let runtime = tokio::runtime::Handle::current();
        let mut made = Vec::new();
        while let Some(item) = self.next() {
            let permit = runtime.block_on(self.permits.acquire());
            let permit = permit.map_err(|_| Error::cancelled())?;
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let done = (self.work)(item).inspect_err(|_| self.stopped.store(true, Ordering::Relaxed));
            drop(permit);
            made.push(done?);
        }
        Ok(made)
    }

    fn next(&self) -> Option<I> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }
}
