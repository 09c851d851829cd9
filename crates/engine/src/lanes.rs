//! Lanes: threads that may block, each working on one part at a time.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Notify, Semaphore};

use crate::set::BackupSet;

/// Items that wait for a lane. The feed sleeps when there are so many, until half of them are gone: with small parts,
/// waking it for each would cost more than the parts.
const MOST_WAITING: usize = 256;

/// How many lanes a group has, and the permits that all groups of a run share.
#[derive(Clone)]
pub(crate) struct Lanes {
    pub(crate) count: NonZeroUsize,
    permits: Arc<Semaphore>,
    cancel: Cancel,
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

    /// The same, ended by `cancel`.
    pub(crate) fn stopped_by(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
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
        let queue = Arc::new(Queue::default());
        let crew = Arc::new(Crew { queue: queue.clone(), permits: self.permits.clone(), work });
        let lanes: Vec<_> = (0..self.count.get())
            .map(|_| {
                let crew = crew.clone();
                tokio::task::spawn_blocking(move || crew.drain())
            })
            .collect();
        let fed = self.feed(items, &queue).await;
        queue.close();
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

    async fn feed<S, I>(&self, mut items: S, queue: &Queue<I>) -> Result<()>
    where
        S: Stream<Item = Result<I>> + Send + Unpin,
    {
        while let Some(item) = items.next().await {
            self.cancel.check()?;
            if !queue.push(item?).await {
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

/// Of several endings, the error that made the others stop.
pub(crate) fn first_cause(ended: Vec<Result<()>>) -> Result<()> {
    let errors = ended.into_iter().filter_map(Result::err);
    errors.min_by_key(|error| error.kind() == ErrorKind::Cancelled).map_or(Ok(()), Err)
}

/// What waits for a lane.
struct Queue<I> {
    waiting: Mutex<Waiting<I>>,
    /// For lanes: there is something to do, or there will never be.
    filled: Condvar,
    /// For the feed: there is room again, or a lane has failed.
    drained: Notify,
    failed: AtomicBool,
}

struct Waiting<I> {
    items: VecDeque<I>,
    closed: bool,
}

impl<I> Default for Queue<I> {
    fn default() -> Self {
        let waiting = Mutex::new(Waiting { items: VecDeque::new(), closed: false });
        Self { waiting, filled: Condvar::new(), drained: Notify::new(), failed: AtomicBool::new(false) }
    }
}

impl<I> Queue<I> {
    /// Adds an item once there is room. False if a lane has failed: nothing more is wanted.
    async fn push(&self, item: I) -> bool {
        loop {
            if self.failed.load(Ordering::Relaxed) {
                return false;
            }
            if self.lock().items.len() < MOST_WAITING {
                break;
            }
            self.drained.notified().await;
        }
        self.lock().items.push_back(item);
        self.filled.notify_one();
        true
    }

    /// The next item; none if there will be no more, or a lane has failed.
    fn next(&self) -> Option<I> {
        let mut waiting = self.lock();
        loop {
            if self.failed.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(item) = waiting.items.pop_front() {
                if waiting.items.len() == MOST_WAITING / 2 {
                    self.drained.notify_one();
                }
                return Some(item);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// There will be no more items.
    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// A lane has failed: the others end with what they are doing, and the feed ends.
    fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.close();
        self.drained.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<I>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the lanes of one group share.
struct Crew<I, W> {
    queue: Arc<Queue<I>>,
    permits: Arc<Semaphore>,
    work: W,
}

impl<I, W> Crew<I, W> {
    fn drain<T>(&self) -> Result<Vec<T>>
    where
        W: Fn(I) -> Result<T>,
    {
        let unless_done = FailUnlessDone(Some(&self.queue));
        let runtime = tokio::runtime::Handle::current();
        let mut made = Vec::new();
        while let Some(item) = self.queue.next() {
            let permit = match self.permits.try_acquire() {
                Ok(permit) => permit,
                Err(_) => runtime.block_on(self.permits.acquire()).map_err(|_| Error::cancelled())?,
            };
            made.push((self.work)(item)?);
            drop(permit);
        }
        unless_done.done();
        Ok(made)
    }
}

/// Ends the other lanes if this one ends by an error or a panic.
struct FailUnlessDone<'a, I>(Option<&'a Queue<I>>);

impl<I> FailUnlessDone<'_, I> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl<I> Drop for FailUnlessDone<'_, I> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            queue.fail();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn lanes(count: usize) -> Lanes {
        let count = NonZeroUsize::new(count).unwrap();
        Lanes { count, permits: Arc::new(Semaphore::new(2)), cancel: Cancel::default() }
    }

    fn numbers(count: usize) -> impl Stream<Item = Result<usize>> + Send + Unpin {
        futures_util::stream::iter((0..count).map(Ok))
    }

    #[tokio::test]
    async fn every_item_is_worked_on_once_and_by_one_lane_in_order() {
        for count in [0, 1, 255, 256, 257, 5000] {
            let mut made = lanes(4).run(numbers(count), Ok).await.unwrap();
            made.sort_unstable();
            assert_eq!(made, (0..count).collect::<Vec<_>>());
            assert_eq!(lanes(1).run(numbers(count), Ok).await.unwrap(), made);
        }
    }

    #[tokio::test]
    async fn an_error_ends_all_lanes_and_the_feed() {
        let worked = Arc::new(AtomicUsize::new(0));
        let count = worked.clone();
        let work = move |item| {
            count.fetch_add(1, Ordering::Relaxed);
            if item == 300 { Err(Error::environment("the disk is full")) } else { Ok(item) }
        };
        let endless = futures_util::stream::iter((0..).map(Ok));
        let error = lanes(3).run(endless, work).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(worked.load(Ordering::Relaxed) < 1000);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_ends_all_lanes() {
        let endless = futures_util::stream::iter((0..).map(Ok));
        let work = |item: usize| if item == 10 { panic!("a driver's bug") } else { Ok(item) };
        let error = lanes(2).run(endless, work).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Defect);
    }

    #[tokio::test]
    async fn an_error_of_the_source_is_told_after_what_came_before_it() {
        let items = futures_util::stream::iter([Ok(1), Err(Error::config("a bad name")), Ok(2)]);
        let error = lanes(2).run(items, Ok).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
