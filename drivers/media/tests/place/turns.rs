//! Parts that take turns, as those of an archive do: so much of each is held back, then it waits until the others have
//! come to their end.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use dumprestore_driver::{CaptureId, Error, PartSink, Receipt, Result};

use super::sha256;

/// What is held back of each.
const HELD_BACK: usize = 2 << 20;
/// Who waits longer than that waits for ever.
const PATIENCE: Duration = Duration::from_secs(40);

/// Whether it is somebody's turn.
#[derive(Default)]
pub struct Turns {
    taken: Mutex<bool>,
    ended: Condvar,
}

pub struct TurnSink<'a> {
    turns: &'a Turns,
    is_ours: bool,
    content: Vec<u8>,
}

impl Turns {
    pub fn sink(&self) -> TurnSink<'_> {
        TurnSink { turns: self, is_ours: false, content: Vec::new() }
    }

    fn take(&self) -> Result<()> {
        let taken = self.taken.lock().unwrap();
        let waited = self.ended.wait_timeout_while(taken, PATIENCE, |taken| *taken);
        let (mut taken, waited) = waited.unwrap();
        if waited.timed_out() {
            return Err(Error::defect("all wait for each other"));
        }
        *taken = true;
        Ok(())
    }
}

impl TurnSink<'_> {
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_ours) {
            *self.turns.taken.lock().unwrap() = false;
            self.turns.ended.notify_all();
        }
    }
}

impl PartSink for TurnSink<'_> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.content.extend_from_slice(data);
        if !self.is_ours && self.content.len() > HELD_BACK {
            self.turns.take()?;
            self.is_ours = true;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        self.end();
        let size = self.content.len() as u64;
        Ok(Receipt { capture: CaptureId(0), size, digest: sha256(&self.content) })
    }
}

impl Drop for TurnSink<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
