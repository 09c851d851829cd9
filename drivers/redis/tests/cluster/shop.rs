//! A cluster with keys of every type, and its content as text.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::Driver;
use dumprestore_testkit::{RedisCluster, RedisOptions, RedisServer, RedisVersion};
use redis::Cmd;
use serde_json::json;

use crate::archive::{Dump, driver, dump};
use crate::restore_support::cmd;

pub(crate) const V: RedisVersion = RedisVersion::Redis7_0;

pub(crate) fn start() -> RedisCluster {
    RedisCluster::with(&RedisOptions::new(V).durable())
}

pub(crate) fn driver_of(url: &str) -> Arc<dyn Driver> {
    driver(json!({ "url": url }))
}

/// One for a while: it takes seconds until one is ready.
pub(crate) struct Leased {
    cluster: Option<RedisCluster>,
    comes_back: bool,
}

static FREE: Mutex<Vec<RedisCluster>> = Mutex::new(Vec::new());

fn free() -> MutexGuard<'static, Vec<RedisCluster>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that is empty. It may neither be changed itself, nor stopped.
pub(crate) fn lease() -> Leased {
    let one = free().pop();
    Leased { cluster: Some(one.unwrap_or_else(start)), comes_back: true }
}

/// One that nobody gets after it: whatever is done to it, may be.
pub(crate) fn own() -> Leased {
    Leased { cluster: Some(start()), comes_back: false }
}

impl Deref for Leased {
    type Target = RedisCluster;

    fn deref(&self) -> &RedisCluster {
        self.cluster.as_ref().unwrap()
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        // In whatever state a failed test leaves it, nobody else gets it.
        let comes_back = self.comes_back && !std::thread::panicking();
        if let Some(cluster) = self.cluster.take().filter(|_| comes_back) {
            empty(&cluster);
            free().push(cluster);
        }
    }
}

/// A cluster, an archive of what it had, and what it has instead by now.
pub(crate) struct Ground {
    pub(crate) cluster: Leased,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) dump: Dump,
    pub(crate) dumped: Content,
    pub(crate) changed: Content,
}

impl Ground {
    pub(crate) async fn of(cluster: Leased) -> Self {
        fill(&cluster);
        let driver = driver_of(&cluster.url());
        let dumped = content(cluster.nodes());
        let dump = dump(&*driver).await;
        change(&cluster);
        let changed = content(cluster.nodes());
        Self { cluster, driver, dump, dumped, changed }
    }
}

pub(crate) fn empty(cluster: &RedisCluster) {
    for node in cluster.nodes() {
        node.run(0, &cmd(&["FLUSHALL"]));
        node.run(0, &cmd(&["FUNCTION", "FLUSH"]));
    }
}

/// Runs a command at the node that has the key.
pub(crate) fn run(cluster: &RedisCluster, key: &[u8], cmd: &Cmd) {
    owner(cluster, slot(key)).run(0, cmd);
}

/// Runs commands, each at the node that has its key, for all at once.
pub(crate) fn run_all(cluster: &RedisCluster, commands: impl IntoIterator<Item = (Vec<u8>, Cmd)>) {
    let mut pipes = [redis::pipe(), redis::pipe(), redis::pipe()];
    for (key, cmd) in commands {
        pipes[node_of(slot(&key))].add_command(cmd);
    }
    for (pipe, node) in pipes.iter().zip(cluster.nodes()).filter(|(pipe, _)| !pipe.is_empty()) {
        let _: Vec<redis::Value> = pipe.query(&mut node.connection(0)).unwrap();
    }
}

/// What servers take for the slot of a key.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let close = open + 1 + key[open + 1..].iter().position(|byte| *byte == b'}')?;
        Some(&key[open + 1..close]).filter(|tag| !tag.is_empty())
    });
    let sum = tag.unwrap_or(key).iter().fold(0u16, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| {
            (sum << 1) ^ if sum >> 15 == 1 { 0x1021 } else { 0 }
        })
    });
    sum % 16_384
}

/// The node that has a slot, as long as none has moved.
pub(crate) fn owner(cluster: &RedisCluster, slot: u16) -> &RedisServer {
    &cluster.nodes()[node_of(slot)]
}

fn node_of(slot: u16) -> usize {
    (0..3).find(|at| usize::from(slot) < 16_384 * (at + 1) / 3).unwrap()
}

/// A command with its key, of words.
pub(crate) fn words(words: &[&str]) -> (Vec<u8>, Cmd) {
    let key = words[if words[0] == "XGROUP" { 2 } else { 1 }];
    (key.as_bytes().to_vec(), cmd(words))
}

/// What the application had when it was dumped.
pub(crate) fn fill(cluster: &RedisCluster) {
    let mut all = Vec::new();
    for at in 0..300 {
        all.push(words(&["SET", &format!("key:{at}"), &format!("value {at}")]));
    }
    for at in 0..40 {
        all.push(words(&["SET", &format!("{{user:{at}}}:name"), "Ann"]));
        all.push(words(&["HSET", &format!("{{user:{at}}}:cart"), "a", "1", "product", &at.to_string()]));
        all.push(words(&["SET", &format!("fades:{at}"), "x", "PXAT", "4102444800123"]));
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
        &["SET", "long", &"y".repeat((1 << 20) + 1)],
    ] {
        all.push(words(command));
    }
    run_all(cluster, all);
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
    let mut all = Vec::new();
    for at in 0..100 {
        all.push(words(&["SET", &format!("key:{at}"), "changed", "PXAT", "4102444800999"]));
        all.push(words(&["DEL", &format!("key:{}", at + 150)]));
        all.push(words(&["RPUSH", &format!("new:{at}"), "x"]));
    }
    all.extend([words(&["DEL", "list"]), words(&["DEL", "log"]), words(&["SET", "log", "of another type"])]);
    run_all(cluster, all);
    functions(cluster, "changed");
}

/// Keys with when they expire, and what they are.
type Content = BTreeMap<Vec<u8>, (i64, Vec<u8>)>;

/// Keys of servers; functions as well. Those of ours, too.
pub(crate) fn content(nodes: &[RedisServer]) -> Content {
    content_of(nodes)
}

/// The same of nodes that are not together.
pub(crate) fn content_of<'n>(nodes: impl IntoIterator<Item = &'n RedisServer>) -> Content {
    let mut content = BTreeMap::new();
    for node in nodes {
        let mut connection = node.connection(0);
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        let mut pipe = redis::pipe();
        for key in &keys {
            pipe.cmd("PEXPIRETIME").arg(key);
            pipe.cmd("DEBUG").arg("DIGEST-VALUE").arg(key);
        }
        let answers: Vec<redis::Value> =
            if keys.is_empty() { Vec::new() } else { pipe.query(&mut connection).unwrap() };
        for (key, answer) in keys.into_iter().zip(answers.chunks(2)) {
            let expires: i64 = redis::from_redis_value(answer[0].clone()).unwrap();
            let digest: Vec<String> = redis::from_redis_value(answer[1].clone()).unwrap();
            let value = digest.concat().into_bytes();
            assert!(content.insert(key, (expires, value)).is_none(), "a key is at two nodes");
        }
        let functions: Vec<u8> = node.ask(0, &cmd(&["FUNCTION", "DUMP"]));
        let known = content.entry(b"functions of all".to_vec()).or_insert((0, functions.clone()));
        assert_eq!(known.1, functions, "each node has the same functions");
    }
    content
}
