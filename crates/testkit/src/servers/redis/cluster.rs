//! A cluster of three servers.

use redis::cmd;

use super::{RedisOptions, RedisServer, RedisVersion};
use crate::soon;

/// How many slots keys are spread over.
const SLOTS: u16 = 16_384;

/// Three primaries, which share the slots.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one, and waits until it takes keys.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up.
    pub fn start(version: RedisVersion) -> Self {
        Self::with(&RedisOptions::new(version))
    }

    /// The same, with these options for each node.
    ///
    /// # Panics
    /// The same.
    pub fn with(options: &RedisOptions) -> Self {
        let options = options.clone().cluster();
        let nodes: Vec<_> = (0..3).map(|_| options.start()).collect();
        let count = u16::try_from(nodes.len()).expect("three");
        for (number, node) in (0..).zip(&nodes) {
            let end = |number: u16| u32::from(SLOTS) * u32::from(number) / u32::from(count);
            let slots: Vec<_> = (end(number)..end(number + 1)).collect();
            node.run(0, cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(number + 1));
            node.run(0, cmd("CLUSTER").arg("ADDSLOTS").arg(slots));
        }
        let (first, others) = nodes.split_first().expect("three");
        for other in others {
            first.run(0, cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(other.port()));
        }
        let this = Self { nodes };
        soon("a cluster", || this.nodes.iter().all(|node| is_whole(node, this.nodes.len())));
        this
    }

    /// Its nodes, in the order of their slots.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URL of one of its nodes.
    pub fn url(&self) -> String {
        self.nodes[0].url(0)
    }
}

fn is_whole(node: &RedisServer, nodes: usize) -> bool {
    let info: String = node.ask(0, cmd("CLUSTER").arg("INFO"));
    let has = |line: String| info.lines().any(|found| found == line);
    has("cluster_state:ok".to_owned())
        && has(format!("cluster_known_nodes:{nodes}"))
        && has(format!("cluster_size:{nodes}"))
}
