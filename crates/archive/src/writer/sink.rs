//! The one thread that writes: it takes the archive's bytes in order, hashes them and hands them to the output.

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::writer::pool::{Buffers, gone};
use sha2::{Digest as _, Sha256};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

/// How many buffers may wait for the output before the lanes do.
const QUEUE: usize = 4;
/// Bytes of small entries are brought together up to this.
const COALESCE: usize = 256 << 10;

enum Message {
    Bytes(Vec<u8>),
    /// Asks for the digest of all bytes so far.
    Digest(SyncSender<Digest>),
}

/// The sending side, behind the appender's lock.
pub(crate) struct Sink {
    messages: SyncSender<Message>,
    thread: JoinHandle<Box<dyn Output>>,
    buffers: Arc<Buffers>,
    gathered: Vec<u8>,
    /// Where the next byte goes.
    pub(crate) offset: u64,
}

/// The first failure of the output, for every lane to see.
pub(crate) type Failure = Arc<OnceLock<Error>>;

impl Sink {
    pub(crate) fn start(output: Box<dyn Output>, buffers: Arc<Buffers>, failure: Failure) -> Result<Self> {
        let (messages, queue) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new().name("append".into()).spawn({
            let buffers = buffers.clone();
            move || run(output, &queue, &buffers, &failure)
        });
        let thread = thread.map_err(|e| Error::io("starting the thread that writes", e))?;
        Ok(Self { messages, thread, buffers, gathered: Vec::new(), offset: 0 })
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.offset += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= COALESCE { self.flush() } else { Ok(()) }
    }

    /// As [`push`](Self::push), without copying what is large.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.len() < COALESCE / 2 {
            self.push(&bytes)?;
            self.buffers.give(bytes);
            return Ok(());
        }
        self.flush()?;
        self.offset += bytes.len() as u64;
        self.send(Message::Bytes(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let next = self.buffers.take();
        let bytes = std::mem::replace(&mut self.gathered, next);
        self.send(Message::Bytes(bytes))
    }

    fn send(&self, message: Message) -> Result<()> {
        self.messages.send(message).map_err(|_| gone())
    }

    /// The digest of all bytes pushed so far. Waits until they are hashed.
    pub(crate) fn digest(&mut self) -> Result<Digest> {
        self.flush()?;
        let (answer, digest) = mpsc::sync_channel(1);
        self.send(Message::Digest(answer))?;
        digest.recv().map_err(|_| gone())
    }

    /// Hands over what is left and gives the output back. The caller looks at the failure afterwards.
    pub(crate) fn close(mut self) -> Result<Box<dyn Output>> {
        self.flush()?;
        drop(self.messages);
        self.thread.join().map_err(|_| gone())
    }

    /// Gives the output back without what has not been handed over.
    pub(crate) fn discard(self) -> Option<Box<dyn Output>> {
        drop(self.messages);
        self.thread.join().ok()
    }
}

fn run(
    mut output: Box<dyn Output>,
    queue: &Receiver<Message>,
    buffers: &Buffers,
    failure: &OnceLock<Error>,
) -> Box<dyn Output> {
    let mut hash = Sha256::new();
    for message in queue {
        match message {
            Message::Bytes(bytes) => {
                // After a failure the queue is emptied all the same, so that no lane waits for room in it.
                if failure.get().is_none() {
                    hash.update(&bytes);
                    if let Err(error) = output.write_all(&bytes) {
                        failure.get_or_init(|| Error::io("writing the archive", error));
                    }
                }
                buffers.give(bytes);
            }
            Message::Digest(answer) => {
                // Whoever asked and has gone does not need it.
                let _ = answer.send(Digest(hash.clone().finalize().into()));
            }
        }
    }
    output
}
