//! Small objects, fetched before their turn comes: many requests are under way at once, whatever the number of lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::reading::{Read, Reader, Reading};
use crate::state::State;

/// Larger ones are read when their turn comes.
const LARGEST: u64 = 256 << 10;
/// All that is fetched ahead takes so many KiB at most.
const ROOM: usize = 16 << 10;
/// The least that is counted for each, in KiB.
const LEAST: u64 = 16;

type Small = Result<Reading<(Read, Vec<u8>)>>;

/// What is on its way, by key.
#[derive(Clone)]
pub(crate) struct Ahead {
    reader: Reader,
    room: Arc<Semaphore>,
    waiting: Arc<Mutex<HashMap<String, Fetching>>>,
}

struct Fetching {
    state: State,
    small: JoinHandle<Small>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.small.abort();
    }
}

impl Ahead {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, room: Arc::new(Semaphore::new(ROOM)), waiting: Arc::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Fetching>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to fetch an object, if it is small and there is room: else it is read when its turn comes.
    pub(crate) fn fetch(&self, key: &str, state: &State) {
        if state.size > LARGEST || state.etag.is_none() {
            return;
        }
        let size = (state.size >> 10).max(LEAST) as u32;
        let Ok(room) = self.room.clone().try_acquire_many_owned(size) else { return };
        let (reader, key_too, state_too) = (self.reader.clone(), key.to_owned(), state.clone());
        let small = tokio::spawn(async move { reader.read_small(&key_too, &state_too).await });
        self.waiting().insert(key.to_owned(), Fetching { state: state.clone(), small, _room: room });
    }

    /// What was fetched of the object in that state.
    pub(crate) async fn take(&self, key: &str, state: &State) -> Option<Small> {
        let mut fetching = self.waiting().remove(key)?;
        if fetching.state != *state {
            return None;
        }
        let ended = (&mut fetching.small).await;
        Some(
            ended.unwrap_or_else(|error| {
                Err(Error::defect("fetching an object broke off").with_source(error))
            }),
        )
    }

    /// Nothing of it is wanted any more.
    pub(crate) fn forget(&self) {
        self.waiting().clear();
    }
}
