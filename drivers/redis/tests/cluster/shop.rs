//! A cluster with keys of every type, and its content as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use dumprestore_driver::Driver;
use dumprestore_testkit::{RedisCluster, RedisOptions, RedisServer, RedisVersion};
use redis::Cmd;
use serde_json::json;

use crate::archive::driver;
use crate::restore_support::cmd;

pub(crate) const V: RedisVersion = RedisVersion::Redis7_0;

pub(crate) fn start() -> RedisCluster {
    RedisCluster::with(&RedisOptions::new(V).durable())
}

pub(crate) fn driver_of(url: &str) -> Arc<dyn Driver> {
    driver(json!({ "url": url }))
}

/// Runs a command at the node that has the key.
pub(crate) fn run(cluster: &RedisCluster, key: &[u8], cmd: &Cmd) {
    let slot: u16 = cluster.nodes()[0].ask(0, redis::cmd("CLUSTER").arg("KEYSLOT").arg(key));
    owner(cluster, slot).run(0, cmd);
}

/// The node that has a slot, as long as none has moved.
pub(crate) fn owner(cluster: &RedisCluster, slot: u16) -> &RedisServer {
    let nodes = cluster.nodes();
    let end = |at: usize| 16_384 * (at + 1) / nodes.len();
    let at = (0..nodes.len()).find(|at| usize::from(slot) < end(*at)).unwrap();
    &nodes[at]
}

fn words(cluster: &RedisCluster, words: &[&str]) {
    run(cluster, words[if words[0] == "XGROUP" { 2 } else { 1 }].as_bytes(), &cmd(words));
}

/// What the application had when it was dumped.
pub(crate) fn fill(cluster: &RedisCluster) {
    for at in 0..300 {
        words(cluster, &["SET", &format!("key:{at}"), &format!("value {at}")]);
    }
    for at in 0..40 {
        words(cluster, &["SET", &format!("{{user:{at}}}:name"), "Ann"]);
        words(cluster, &["HSET", &format!("{{user:{at}}}:cart"), "a", "1", "product", &at.to_string()]);
        words(cluster, &["SET", &format!("fades:{at}"), "x", "PXAT", "4102444800123"]);
    }
    for command in [
        ["RPUSH", "list", "a", "b"].as_slice(),
        &["SADD", "set", "a", "b"],
        &["SADD", "numbers", "1", "2"],
        &["ZADD", "sorted", "1.5", "a", "2", "b"],
        &["XADD", "log", "1-1", "a", "1"],
        &["XGROUP", "CREATE", "log", "readers", "0"],
        &["PFADD", "visitors", "a", "b"],
        &["SETBIT", "bits", "1000", "1"],
        &["SET", "", "of the empty key"],
        &["SET", "{}x", "an empty tag"],
        &["SET", "a}{b", "braces"],
        &["SET", "long", &"y".repeat(2 << 20)],
    ] {
        words(cluster, command);
    }
    let bytes: Vec<u8> = (0..=255).collect();
    run(cluster, &bytes, redis::cmd("SET").arg(&bytes).arg(&bytes));
    functions(cluster, "dumped");
}

pub(crate) fn functions(cluster: &RedisCluster, name: &str) {
    let code = format!("#!lua name={name}\nredis.register_function('{name}', function() return 1 end)");
    for node in cluster.nodes() {
        node.run(0, &cmd(&["FUNCTION", "FLUSH"]));
        node.run(0, &cmd(&["FUNCTION", "LOAD", &code]));
    }
}

/// What it has later: some keys are others, some are gone, some are new.
pub(crate) fn change(cluster: &RedisCluster) {
    for at in 0..100 {
        words(cluster, &["SET", &format!("key:{at}"), "changed", "PXAT", "4102444800999"]);
        words(cluster, &["DEL", &format!("key:{}", at + 150)]);
        words(cluster, &["RPUSH", &format!("new:{at}"), "x"]);
    }
    words(cluster, &["DEL", "list"]);
    words(cluster, &["DEL", "log"]);
    words(cluster, &["SET", "log", "of another type"]);
    functions(cluster, "changed");
}

/// Keys of servers with when they expire, and what they are; functions as well. Those of ours, too.
pub(crate) fn content(nodes: &[RedisServer]) -> BTreeMap<Vec<u8>, (i64, Vec<u8>)> {
    let mut content = BTreeMap::new();
    for node in nodes {
        let mut connection = node.connection(0);
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        for key in keys {
            let expires = redis::cmd("PEXPIRETIME").arg(&key).query(&mut connection).unwrap();
            let value: Vec<u8> = redis::cmd("DEBUG")
                .arg("DIGEST-VALUE")
                .arg(&key)
                .query::<Vec<String>>(&mut connection)
                .unwrap()
                .concat()
                .into();
            assert!(content.insert(key, (expires, value)).is_none(), "a key is at two nodes");
        }
        let functions: Vec<u8> = node.ask(0, &cmd(&["FUNCTION", "DUMP"]));
        let known = content.entry(b"functions of all".to_vec()).or_insert((0, functions.clone()));
        assert_eq!(known.1, functions, "each node has the same functions");
    }
    content
}
