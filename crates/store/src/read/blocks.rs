//! The blocks of an object that are at hand, and those that are on their way.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dumprestore_driver::{Error, Result};

use super::Pinned;
use super::ahead::Readers;
use crate::transfers;

pub(super) struct Blocks {
    pub(super) pinned: Pinned,
    size: u64,
    block: u64,
    /// So many bytes the first block is short: the end of an archive, where reading begins, is then one block.
    short: u64,
    kept: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    slots: HashMap<u64, Slot>,
    readers: Readers,
    clock: u64,
}

enum Slot {
    OnItsWay,
    There { bytes: Bytes, used: u64 },
    Failed(Error),
}

impl Blocks {
    pub(super) fn new(pinned: Pinned, size: u64, block: u64, kept: usize) -> Self {
        let short = (block - size % block) % block;
        Self { pinned, size, block, short, kept, state: Mutex::default(), changed: Condvar::new() }
    }

    /// The block that holds that byte, and where in it.
    pub(super) fn place(&self, offset: u64) -> (u64, usize) {
        let block = (offset + self.short) / self.block;
        (block, usize::try_from(offset - self.start(block)).unwrap_or(usize::MAX))
    }

    fn start(&self, block: u64) -> u64 {
        (block * self.block).saturating_sub(self.short)
    }

    fn count(&self) -> u64 {
        (self.size + self.short) / self.block
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a block. Waits until they are there.
    pub(super) fn get(self: &Arc<Self>, block: u64) -> Result<Bytes> {
        let mut state = self.lock();
        let ahead = state.readers.step(block, self.kept);
        for next in block + 1..(block + 1 + ahead).min(self.count()) {
            if !state.slots.contains_key(&next) {
                self.fetch(&mut state, next)?;
            }
        }
        loop {
            state.clock += 1;
            let clock = state.clock;
            match state.slots.get_mut(&block) {
                Some(Slot::There { bytes, used }) => {
                    *used = clock;
                    return Ok(bytes.clone());
                }
                Some(Slot::OnItsWay) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Slot::Failed(_)) => {
                    // Whoever comes next tries again.
                    if let Some(Slot::Failed(error)) = state.slots.remove(&block) {
                        return Err(error);
                    }
                }
                None => self.fetch(&mut state, block)?,
            }
        }
    }

    fn fetch(self: &Arc<Self>, state: &mut State, block: u64) -> Result<()> {
        let handle = transfers::handle()?;
        state.make_room(self.kept);
        state.slots.insert(block, Slot::OnItsWay);
        let arriving = Arrival { blocks: self.clone(), block, arrived: None };
        let (start, end) = (self.start(block), self.start(block + 1));
        handle.spawn(async move {
            let mut arriving = arriving;
            arriving.arrived = Some(arriving.blocks.pinned.fetch(start, end - start).await);
        });
        Ok(())
    }
}

impl State {
    /// Lets the blocks go that were not used for the longest time. Those that are on their way stay.
    fn make_room(&mut self, kept: usize) {
        while self.slots.len() >= kept {
            let used = |slot: &Slot| match slot {
                Slot::There { used, .. } => Some(*used),
                Slot::Failed(_) => Some(0),
                Slot::OnItsWay => None,
            };
            let oldest = self.slots.iter().filter_map(|(at, slot)| Some((used(slot)?, *at))).min();
            let Some((_, at)) = oldest else { return };
            self.slots.remove(&at);
        }
    }
}

/// Puts down what came, whatever happens: somebody waits for it.
struct Arrival {
    blocks: Arc<Blocks>,
    block: u64,
    arrived: Option<Result<Bytes>>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut state = self.blocks.lock();
        state.clock += 1;
        let slot = match self.arrived.take() {
            Some(Ok(bytes)) => Slot::There { bytes, used: state.clock },
            Some(Err(error)) => Slot::Failed(error),
            None => Slot::Failed(Error::defect("fetching a block of an archive panicked")),
        };
        state.slots.insert(self.block, slot);
        drop(state);
        self.blocks.changed.notify_all();
    }
}
