//! A thread for each place that an archive goes to: a slow one does not hold up the others before its queue is full.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use dumprestore::{ArchiveCopy, CopyOutcome};
use dumprestore_driver::{Cancel, Error, Result};

use super::check::{Checked, Written};

/// Blocks that may wait for one place.
const QUEUE: usize = 4;

/// A copy of an archive that is being written to one place. All of it may wait for the place.
pub(crate) trait Copying: Send {
    /// Its name for people.
    fn shown(&self) -> String;
    /// Appends. After an error it is aborted.
    fn write(&mut self, block: Bytes) -> Result<()>;
    /// Makes it appear under its name, and looks at what the place has then. After an error nothing is left there.
    fn publish(self: Box<Self>, written: &Written) -> Result<Checked>;
    /// Removes what was written.
    fn abort(self: Box<Self>);
}

enum Message {
    Block(Bytes),
    Publish(Written),
}

type End = Result<Option<Checked>>;

/// One place of several.
pub(crate) struct Lane {
    place: String,
    /// None once there is nothing more to say.
    messages: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<End>>,
    cancel: Cancel,
}

impl Lane {
    /// `cancel` is told when the copy is to be given up: what waits for the place may stop then.
    pub(crate) fn start(copy: Box<dyn Copying>, cancel: Cancel) -> Result<Self> {
        let place = copy.shown();
        let (messages, queue) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new().name("copy".into()).spawn(move || run(copy, &queue));
        let thread = thread.map_err(|error| Error::io("can't start a thread for a copy", error))?;
        Ok(Self { place, messages: Some(messages), thread: Some(thread), cancel })
    }

    /// Hands on a block. If the copy has failed, its place and why.
    pub(crate) fn send(self, block: Bytes) -> Result<Self, (String, Error)> {
        match self.tell(Message::Block(block)) {
            true => Ok(self),
            false => Err(self.failure()),
        }
    }

    /// Has the copy published; [`ended`](Self::ended) waits for it.
    pub(crate) fn publish(mut self, written: &Written) -> Self {
        // If it has failed already, that is what is told of it.
        let _told = self.tell(Message::Publish(written.clone()));
        self.messages = None;
        self
    }

    fn tell(&self, message: Message) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.send(message).is_ok())
    }

    /// What became of a copy that was to be published.
    pub(crate) fn ended(mut self) -> Result<ArchiveCopy, (String, Error)> {
        let place = std::mem::take(&mut self.place);
        match self.join() {
            Ok(Some(Checked::Same)) => Ok(ArchiveCopy::verified(place)),
            Ok(Some(Checked::Unknown(error))) => {
                Ok(ArchiveCopy::amiss(place, CopyOutcome::Unverified, &error))
            }
            Ok(None) => Err((place, Error::defect("a copy ended before it was published"))),
            Err(error) => Err((place, error)),
        }
    }

    /// Why a copy has ended by itself.
    fn failure(mut self) -> (String, Error) {
        let place = std::mem::take(&mut self.place);
        let error = self.join().err().unwrap_or_else(|| Error::defect("a copy ended without a reason"));
        (place, error)
    }

    /// Gives the copy up, and waits until nothing is left of it.
    pub(crate) fn abort(self) {}

    fn join(&mut self) -> End {
        self.messages = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(end)) => end,
            _ => Err(Error::defect("the thread of a copy panicked")),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.cancel.cancel();
            // What was to be removed and could not be, the next run removes: it is noted down.
            let _ended = self.join();
        }
    }
}

fn run(mut copy: Box<dyn Copying>, queue: &Receiver<Message>) -> End {
    for message in queue {
        match message {
            Message::Block(block) => {
                if let Err(error) = copy.write(block) {
                    copy.abort();
                    return Err(error);
                }
            }
            Message::Publish(written) => return copy.publish(&written).map(Some),
        }
    }
    copy.abort();
    Ok(None)
}
