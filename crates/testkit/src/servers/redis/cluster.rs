//! A cluster of three servers.

use redis::cmd;

use super::{RedisOptions, RedisServer, RedisVersion};
use crate::soon;

/// How many slots keys are spread over.
const SLOTS: u16 = 16_384;

/// Three primaries, which share the slots.
pub struct RedisCluster {
    options: RedisOptions,
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

    /// The same, with these options for each node. With [`RedisOptions::tls`] they speak TLS among themselves as well.
    ///
    /// # Panics
    /// The same.
    pub fn with(options: &RedisOptions) -> Self {
        let mut options = options.clone().cluster();
        let first = options.start();
        if options.tls {
            // They trust each other only with one authority.
            let file = |name: &str| first.folder().join(name).display().to_string();
            options = options
                .setting("tls-ca-cert-file", &file("ca.crt"))
                .setting("tls-cert-file", &file("server.crt"))
                .setting("tls-key-file", &file("server.key"));
        }
        let nodes: Vec<_> = [first].into_iter().chain((1..3).map(|_| options.start())).collect();
        let count = u16::try_from(nodes.len()).expect("three");
        for (number, node) in (0..).zip(&nodes) {
            let end = |number: u16| u32::from(SLOTS) * u32::from(number) / u32::from(count);
            let slots: Vec<_> = (end(number)..end(number + 1)).collect();
            node.run(0, cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(number + 1));
            node.run(0, cmd("CLUSTER").arg("ADDSLOTS").arg(slots));
        }
        let this = Self { options, nodes };
        this.nodes.iter().skip(1).for_each(|other| this.meet(other));
        this.wait_until_whole(&[]);
        this
    }

    /// One more node, as a replica of one of the three, by its place among them. It goes when it is dropped.
    ///
    /// # Panics
    /// If it does not come up, or does not follow.
    pub fn add_replica(&self, of: usize) -> RedisServer {
        let replica = self.options.start();
        self.meet(&replica);
        self.wait_until_whole(&[&replica]);
        let id: String = self.nodes[of].ask(0, cmd("CLUSTER").arg("MYID"));
        replica.run(0, cmd("CLUSTER").arg("REPLICATE").arg(&id));
        let own: String = replica.ask(0, cmd("CLUSTER").arg("MYID"));
        let knows = |node: &RedisServer| {
            let told: String = node.ask(0, cmd("CLUSTER").arg("NODES"));
            told.lines().any(|line| line.starts_with(&own) && line.contains(&format!("slave {id}")))
        };
        // Who is not known to be one is not voted for.
        soon("a replica", || replica.info("master_link_status") == "up" && self.nodes.iter().all(knows));
        replica
    }

    /// Its primaries, in the order of their slots.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URL of one of its nodes.
    pub fn url(&self) -> String {
        self.nodes[0].url(0)
    }

    fn meet(&self, other: &RedisServer) {
        let port = other.tls_port.unwrap_or(other.port());
        self.nodes[0].run(0, cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(port));
    }

    /// All know each other.
    fn wait_until_whole(&self, others: &[&RedisServer]) {
        let count = self.nodes.len() + others.len();
        let size = self.nodes.len();
        soon("a cluster", || {
            self.nodes.iter().chain(others.iter().copied()).all(|node| is_whole(node, count, size))
        });
    }
}

fn is_whole(node: &RedisServer, nodes: usize, size: usize) -> bool {
    let info: String = node.ask(0, cmd("CLUSTER").arg("INFO"));
    let has = |line: String| info.lines().any(|found| found == line);
    has("cluster_state:ok".to_owned())
        && has(format!("cluster_known_nodes:{nodes}"))
        && has(format!("cluster_size:{size}"))
}
