//! What lanes share: idle buffers, idle compressors, and the workers that compress blocks of large parts.

use crate::error::{Error, ErrorKind, Result};
use crate::method::Method;
use crate::writer::encode::Encoder;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A lock that outlives a panic elsewhere: what these locks guard is never left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Things that are costly to make, handed round.
pub(crate) struct Idle<T> {
    items: Mutex<Vec<T>>,
    keep: usize,
}

impl<T: Default> Idle<T> {
    pub(crate) fn new(keep: usize) -> Self {
        Self { items: Mutex::new(Vec::new()), keep }
    }

    pub(crate) fn take(&self) -> T {
        lock(&self.items).pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, item: T) {
        let mut items = lock(&self.items);
        if items.len() < self.keep {
            items.push(item);
        }
    }
}

/// Idle buffers. None is kept that grew beyond what a block can take.
pub(crate) struct Buffers {
    idle: Idle<Vec<u8>>,
    largest: usize,
}

impl Buffers {
    pub(crate) fn new(keep: usize, largest: usize) -> Self {
        Self { idle: Idle::new(keep), largest }
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        self.idle.take()
    }

    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= self.largest {
            buffer.clear();
            self.idle.give(buffer);
        }
    }
}

/// A block of a large part, compressed.
pub(crate) struct Block {
    pub(crate) crc: crc32fast::Hasher,
    /// Bytes of content.
    pub(crate) size: u64,
    pub(crate) stored: Vec<u8>,
}

struct Job {
    raw: Vec<u8>,
    method: Method,
    done: SyncSender<Result<Block>>,
}

/// Threads that compress blocks. They wait for nothing but jobs, so a job always comes to its end.
pub(crate) struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn start(count: usize, buffers: &Arc<Buffers>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self { jobs: Some(jobs), threads: Vec::new() };
        for number in 0..count {
            let (queue, buffers) = (queue.clone(), buffers.clone());
            let thread = thread::Builder::new().name(format!("compress-{number}"));
            let thread = thread.spawn(move || work(&queue, &buffers));
            workers.threads.push(thread.map_err(|e| Error::io("starting a worker", e))?);
        }
        Ok(workers)
    }

    /// Has a block compressed. The result comes through the receiver, once.
    pub(crate) fn compress(&self, raw: Vec<u8>, method: Method) -> Result<Receiver<Result<Block>>> {
        let (done, result) = mpsc::sync_channel(1);
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Job { raw, method, done }));
        match sent {
            Some(Ok(())) => Ok(result),
            _ => Err(gone()),
        }
    }
}

pub(crate) fn gone() -> Error {
    Error::new(ErrorKind::Io, "a thread of the archive's writer has ended before its time")
}

fn work(queue: &Mutex<Receiver<Job>>, buffers: &Buffers) {
    let mut encoder = Encoder::default();
    loop {
        // A statement of its own, so that the lock is not held while compressing.
        let job = lock(queue).recv();
        let Ok(Job { raw, method, done }) = job else { return };
        let block = compress(&mut encoder, buffers, raw, method);
        // Nobody waits for the blocks of a part that was abandoned.
        let _ = done.send(block);
    }
}

fn compress(encoder: &mut Encoder, buffers: &Buffers, raw: Vec<u8>, method: Method) -> Result<Block> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&raw);
    let mut stored = buffers.take();
    encoder.block(method, &raw, &mut stored)?;
    let size = raw.len() as u64;
    buffers.give(raw);
    Ok(Block { crc, size, stored })
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker that panicked has been reported to the lane that waited for it.
            let _ = thread.join();
        }
    }
}
