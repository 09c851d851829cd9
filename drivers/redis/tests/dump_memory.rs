//! Memory does not grow with the data; alone in its program, for the peak is that of the process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;

use dump_support::{Sink, all, open, pinned, scanned, write_part};
use dumprestore_testkit::{RedisServer, RedisVersion};

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_values_or_keys() {
    const MB: u64 = 1 << 20;
    let server = RedisServer::start(RedisVersion::Redis7_0);
    let script = "for i = 1, 600000 do redis.call('SET', 'key:' .. i, string.rep('v', 20) .. i) end";
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    // One value of 200 MB that can't be compressed much, made where it is kept.
    let script = "for i = 1, 200 do local t = {} for j = 1, 16384 do t[j] = redis.sha1hex(i .. ' ' .. j) .. '0123456789abcdefghijklmn' end \
                  redis.call('APPEND', 'large', table.concat(t)) end";
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    let length: u64 = server.ask(0, redis::cmd("STRLEN").arg("large"));
    assert_eq!(length, 200 * MB);
    let before = peak_mb();
    let mut source = pinned(all(&server)).await;
    let mut sink = Sink::new(false);
    assert_eq!(write_part(&mut *source, &mut sink, true).await.unwrap(), 600_001);
    source.release().await.unwrap();
    let as_replica = peak_mb();
    println!("{} MB as a replica: peak {as_replica} MB, and {before} MB before", sink.size / MB);
    let mut source = open(scanned(all(&server))).await;
    let mut sink = Sink::new(false);
    assert_eq!(write_part(&mut *source, &mut sink, false).await.unwrap(), 600_001);
    source.release().await.unwrap();
    let scanned = peak_mb();
    println!("{} MB key by key: peak {scanned} MB", sink.size / MB);
    assert!(sink.size > 100 * MB);
    assert!(as_replica < 40, "{as_replica} MB");
    assert!(scanned < 60, "{scanned} MB");
}
