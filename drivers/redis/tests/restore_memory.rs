//! A restore holds the largest value, and little else; alone in its program, for the peak is that of the process.
//!
//! `DUMPRESTORE_VALUE` is how many megabytes that value has.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod restore_support;

#[path = "restore/archive.rs"]
#[allow(dead_code, unreachable_pub, reason = "each program uses its share")]
mod archive;

use archive::{driver, dump, prepared};
use dumprestore_driver::{Edge, KeySink, NodePath, OldState, Reference};
use dumprestore_testkit::{RedisServer, RedisVersion};
use serde_json::json;

const MB: u64 = 1 << 20;

/// Of this process, since the last time.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_a_restore_grows_with_the_largest_value_alone() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    let script = "for i = 1, 200000 do redis.call('SET', 'key:' .. i, string.rep('v', 20) .. i) end";
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    // Values that can't be compressed much, made where they are kept: a large one, and twenty of 10 MB that refer to something.
    let megabytes = "local function megabyte(i) local t = {} for j = 1, 16384 do \
                     t[j] = redis.sha1hex(i .. ' ' .. j) .. string.sub(redis.sha1hex(j .. ' ' .. i), 1, 24) end return table.concat(t) end ";
    let largest: u64 = std::env::var("DUMPRESTORE_VALUE").map_or(64, |text| text.parse().expect("megabytes"));
    let script =
        format!("{megabytes} for i = 1, {largest} do redis.call('APPEND', 'large', megabyte(i)) end");
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    let script = format!(
        "{megabytes} for n = 1, 20 do redis.call('HSET', 'hash:' .. n, 'id', n) \
         for i = 1, 10 do redis.call('HSET', 'hash:' .. n, i, megabyte(i)) end end"
    );
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    assert_eq!(server.ask::<u64>(0, redis::cmd("STRLEN").arg("large")), largest * MB);
    let driver = driver(json!({ "url": server.url(0) }));
    let dump = dump(&*driver).await;
    let dumped = peak_mb();
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    let loaded = peak_mb();
    let edge = Edge {
        from: NodePath::new("cache").unwrap(),
        to: NodePath::new("db").unwrap(),
        keys: json!({ "pattern": "hash:*", "field": "id" }),
        within: None,
    };
    let mut count = 0u64;
    let mut take = |_: Reference| {
        count += 1;
        Ok(())
    };
    staging.references(&edge, &mut KeySink::new(&mut take)).await.unwrap();
    let looked = peak_mb();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    println!("a value of {largest} MB; peaks: dump {dumped} MB, load {loaded} MB, references {looked} MB");
    assert_eq!(count, 20);
    assert!(loaded < 100 + 2 * largest, "{loaded} MB");
    assert!(looked < 100, "{looked} MB");
}
