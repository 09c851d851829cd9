//! Nodes of one run that are restored on the same server: none makes its new keys in a database that is another's, and none counts
//! on one that another needs.
//!
//! A live database can be empty, and looks like one that nobody uses then. All nodes are planned before the first one begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By run and server: its nodes in the order in which they came.
static NODES: Mutex<BTreeMap<(String, String), Vec<Node>>> = Mutex::new(BTreeMap::new());

struct Node {
    /// Its live databases.
    live: Vec<u64>,
    /// How many databases it needs beside them.
    needs: usize,
    holders: usize,
}

/// One of the nodes, for as long as its restore goes on, or is planned.
pub(crate) struct Neighbour {
    key: (String, String),
    live: Vec<u64>,
}

impl Neighbour {
    /// One more node of that run, with these live databases, on the server of that `run_id`; or the same once more.
    pub(super) fn enter(run: &str, server: &str, live: Vec<u64>) -> Self {
        let key = (run.to_owned(), server.to_owned());
        let mut all = all();
        let nodes = all.entry(key.clone()).or_default();
        match nodes.iter_mut().find(|node| node.live == live) {
            Some(node) => node.holders += 1,
            None => nodes.push(Node { live: live.clone(), needs: 0, holders: 1 }),
        }
        Self { key, live }
    }

    /// How many databases are other nodes', or may be.
    pub(super) fn of_others(&self) -> usize {
        let all = all();
        let nodes = all.get(&self.key).into_iter().flatten().filter(|node| node.live != self.live);
        nodes.map(|node| node.live.len() + node.needs).sum()
    }

    /// Whether of these databases, which are empty, there are as many as it has live ones, those left out that are other nodes', or
    /// that nodes need which came before it. If so, they are its own.
    pub(super) fn can_have(&self, empty: &[u64]) -> bool {
        let mut all = all();
        let Some(nodes) = all.get_mut(&self.key) else { return false };
        let free = empty.iter().filter(|index| !nodes.iter().any(|node| node.live.contains(index))).count();
        let before =
            nodes.iter().take_while(|node| node.live != self.live).map(|node| node.needs).sum::<usize>();
        let can = free >= before + self.live.len();
        if let Some(node) = nodes.iter_mut().find(|node| node.live == self.live) {
            node.needs = if can { self.live.len() } else { 0 };
        }
        can
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let mut all = all();
        let Some(nodes) = all.get_mut(&self.key) else { return };
        if let Some(at) = nodes.iter().position(|node| node.live == self.live) {
            match nodes.get_mut(at) {
                Some(node) if node.holders > 1 => node.holders -= 1,
                _ => drop(nodes.remove(at)),
            }
        }
        if nodes.is_empty() {
            all.remove(&self.key);
        }
    }
}

/// The live databases of all nodes of a run on a server.
pub(super) fn live(run: &str, server: &str) -> BTreeSet<u64> {
    let all = all();
    let nodes = all.get(&(run.to_owned(), server.to_owned())).into_iter().flatten();
    nodes.flat_map(|node| node.live.iter().copied()).collect()
}

fn all() -> MutexGuard<'static, BTreeMap<(String, String), Vec<Node>>> {
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nodes_count_on_one_empty_database() {
        let enter = |live: &[u64]| Neighbour::enter("a run of neighbours", "server", live.to_vec());
        let (first, second) = (enter(&[0]), enter(&[1, 2]));
        assert!(first.can_have(&[15, 14, 2]));
        assert!(!second.can_have(&[15, 14, 2]), "one is the first's, and one its own");
        assert!(second.can_have(&[15, 14, 13, 2]));
        // Once more it is the same node.
        let again = enter(&[0]);
        drop(first);
        assert!(again.can_have(&[15]) && !second.can_have(&[15, 14]));
        drop(again);
        assert!(second.can_have(&[15, 14]));
        drop(second);
        assert!(live("a run of neighbours", "server").is_empty());
    }
}
