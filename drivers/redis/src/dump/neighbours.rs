//! Nodes of one run that are on the same server.
//!
//! A server makes one save at a time. Were each node to wait until the save of the other has gone, none would be read, for a
//! set is read once all of it is pinned. So nodes that know of each other have the server write a file, which it does
//! without waiting for whoever reads: the second node gets the same file, or one that was begun after it. Both are of an
//! instant within the cut.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::moment::Moment;

/// Sources that are open in this process, by run and server.
static OPEN: Mutex<BTreeMap<(String, String), Server>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Server {
    nodes: usize,
    /// Where the server was before the first of them asked, at the last cut.
    before: Option<(SystemTime, Moment)>,
}

/// One of the nodes, for as long as its source is open.
pub(super) struct Neighbour {
    key: (String, String),
}

impl Neighbour {
    /// One more node of that run on the server of that `run_id`.
    pub(super) fn enter(run: &str, server: &str) -> Self {
        let key = (run.to_owned(), server.to_owned());
        open().entry(key.clone()).or_default().nodes += 1;
        Self { key }
    }

    /// Whether there are others.
    pub(super) fn has_others(&self) -> bool {
        open().get(&self.key).is_some_and(|server| server.nodes > 1)
    }

    /// Where the server was before another node asked, if one has at this cut.
    pub(super) fn before(&self, cut: SystemTime) -> Option<Moment> {
        let open = open();
        let (at, before) = open.get(&self.key)?.before.as_ref()?;
        (*at == cut).then(|| before.clone())
    }

    /// Notes that this node is the first to ask at this cut.
    pub(super) fn is_first(&self, cut: SystemTime, before: &Moment) {
        if let Some(server) = open().get_mut(&self.key) {
            server.before = Some((cut, before.clone()));
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let mut open = open();
        let left = open.get_mut(&self.key).map(|server| {
            server.nodes -= 1;
            server.nodes
        });
        if left == Some(0) {
            open.remove(&self.key);
        }
    }
}

fn open() -> MutexGuard<'static, BTreeMap<(String, String), Server>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}
