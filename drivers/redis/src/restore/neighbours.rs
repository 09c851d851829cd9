//! Nodes of one run that are restored on the same server: none makes its new keys in a database that is another's.
//!
//! A live database can be empty, and looks like one that nobody uses then. All nodes are planned before the first one begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The live databases of restores of this process, by run and server.
static LIVE: Mutex<BTreeMap<(String, String), Vec<u64>>> = Mutex::new(BTreeMap::new());

/// One of the nodes, for as long as its restore goes on.
pub(super) struct Neighbour {
    key: (String, String),
    live: Vec<u64>,
}

impl Neighbour {
    /// One more node of that run, with these live databases, on the server of that `run_id`.
    pub(super) fn enter(run: &str, server: &str, live: Vec<u64>) -> Self {
        let key = (run.to_owned(), server.to_owned());
        all().entry(key.clone()).or_default().extend(&live);
        Self { key, live }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let mut all = all();
        let Some(left) = all.get_mut(&self.key) else { return };
        for live in &self.live {
            // Another node may have named the same one.
            if let Some(at) = left.iter().position(|index| index == live) {
                left.swap_remove(at);
            }
        }
        if left.is_empty() {
            all.remove(&self.key);
        }
    }
}

/// The live databases of all nodes of a run on a server.
pub(super) fn live(run: &str, server: &str) -> BTreeSet<u64> {
    let all = all();
    all.get(&(run.to_owned(), server.to_owned())).into_iter().flatten().copied().collect()
}

fn all() -> MutexGuard<'static, BTreeMap<(String, String), Vec<u64>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
