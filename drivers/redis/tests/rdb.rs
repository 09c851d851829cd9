//! Servers load what the writer writes, and then hold what they held.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::Path;

use dumprestore_redis::rewrite_rdb;
use dumprestore_testkit::{RedisServer, RedisVersion};

/// What a server holds after it has loaded that file: a digest of all keys, values and times, and the libraries of functions.
fn loaded(server: &RedisServer, file: &[u8]) -> (String, Vec<String>) {
    server.stop();
    std::fs::write(server.folder().join("data/dump.rdb"), file).unwrap();
    server.restart();
    let digest: String = server.ask(0, redis::cmd("DEBUG").arg("DIGEST"));
    let mut libraries = Vec::new();
    if server.version() != RedisVersion::Redis6_0 {
        let listed: redis::Value = server.ask(0, redis::cmd("FUNCTION").arg("LIST").arg("WITHCODE"));
        let redis::Value::Array(listed) = listed else { panic!("{listed:?}") };
        libraries.extend(listed.iter().map(|library| format!("{library:?}")));
        libraries.sort();
    }
    (digest, libraries)
}

fn loads_what_is_written(version: RedisVersion, file: &str) {
    let original = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rdb").join(file)).unwrap();
    let mut anew = Vec::new();
    assert!(rewrite_rdb(&original[..], &mut anew).unwrap() > 60);
    let server = RedisServer::start(version);
    let held = loaded(&server, &original);
    assert!(held.0.bytes().any(|digit| digit != b'0'), "nothing was loaded");
    assert_eq!(loaded(&server, &anew), held);
}

#[test]
fn redis_6_0_loads_what_is_written() {
    loads_what_is_written(RedisVersion::Redis6_0, "redis-6.0.rdb");
}

#[test]
fn redis_7_0_loads_what_is_written() {
    loads_what_is_written(RedisVersion::Redis7_0, "redis-7.0.rdb");
}

#[test]
fn redis_8_0_loads_what_is_written() {
    loads_what_is_written(RedisVersion::Redis8_0, "redis-8.0.rdb");
}

#[test]
fn valkey_8_1_loads_what_is_written() {
    loads_what_is_written(RedisVersion::Valkey8_1, "valkey-8.1.rdb");
}

#[test]
fn valkey_9_loads_what_is_written() {
    loads_what_is_written(RedisVersion::Valkey9, "valkey-9.1.rdb");
}
