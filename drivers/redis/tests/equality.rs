//! A dump that is restored is what the server held at one instant, key by key, while writers went on.
//!
//! What the server held is known from its stream of changes: all of it is recorded from the first key on, and given to another
//! server up to where the dump says that it was begun. `DUMPRESTORE_KEYS` is how many keys there are.

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
#[path = "equality/keys.rs"]
mod keys;
#[path = "equality/tap.rs"]
mod tap;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use archive::{driver, dump, prepared};
use dumprestore_driver::{ArchivedNode, OldState};
use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion};
use redis::Value;
use serde_json::json;
use tap::Tap;

/// Of them, the first are in database 0, the others in 3.
const DATABASES: [u64; 2] = [0, 3];

fn count() -> u64 {
    std::env::var("DUMPRESTORE_KEYS").map_or(20_000, |text| text.parse().expect("a number of keys"))
}

/// Ends even if the test does.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn all(server: &RedisServer) -> std::sync::Arc<dyn dumprestore_driver::Driver> {
    driver(json!({ "url": server.url(0), "databases": "all" }))
}

async fn equal(version: RedisVersion, count: u64) {
    let options = RedisOptions::new(version).setting("repl-timeout", "3600");
    let primary = options.line("client-output-buffer-limit replica 0 0 0").start();
    let tap = Tap::begin(&primary);
    for index in DATABASES {
        keys::fill(&mut primary.connection(index), count / 2);
    }
    keys::open_accounts(&mut primary.connection(0));
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let (dump, took, meanwhile) = std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for seed in 1..4 {
            let (primary, done, written) = (&primary, &done, &written);
            scope.spawn(move || keys::write(primary, DATABASES, count / 2, seed, done, written));
        }
        while written.load(Ordering::Relaxed) < 100 {
            std::thread::yield_now();
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let (before, begun) = (written.load(Ordering::Relaxed), Instant::now());
                let dump = dump(&*all(&primary)).await;
                (dump, begun.elapsed(), written.load(Ordering::Relaxed) - before)
            })
        })
    });
    assert!(meanwhile > 10, "nobody wrote meanwhile");
    let offset: u64 = dump.node.facts()["replication_offset"].parse().unwrap();
    let reference = RedisServer::start(version);
    let replayed = tap.replay(offset, &reference);
    // Of what came later there was something.
    assert!(tap.received() > offset, "the dump is of the end of the stream");

    let restored = RedisServer::start(version);
    let loading = Instant::now();
    let mut staging = prepared(&*all(&restored), dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    let loading = loading.elapsed();

    let (mut same, mut alike) = (0u64, 0u64);
    for index in DATABASES {
        let size = |server: &RedisServer| server.ask::<u64>(index, &redis::cmd("DBSIZE"));
        assert_eq!(size(&reference), size(&restored), "database {index}");
        let (equal, alone) = keys::compare(&mut reference.connection(index), &mut restored.connection(index));
        same += equal;
        alike += alone;
    }
    println!(
        "{version:?}: {} keys equal by `DUMP` and expiry, {alike} more by their members; {meanwhile} transactions during the dump; \
         {} MB of changes replayed; dump {took:.1?}, restore {loading:.1?}, all {:.1?}",
        same,
        replayed >> 20,
        begun.elapsed()
    );
    assert!(same + alike > count * 9 / 10, "{same} and {alike}");
    // Those whose order is a server's own are sets and hashes that are large.
    assert!(same > alike * 4, "{same} and {alike}");
    assert_eq!(keys::sum_of_accounts(&mut restored.connection(0)), keys::SUM);
    // This is no accident of a server that had nothing to do.
    let live: Value = primary.ask(0, redis::cmd("GET").arg("account:0"));
    assert_ne!(live, Value::Nil);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_is_what_redis_7_held_at_one_instant_of_its_changes() {
    equal(RedisVersion::Redis7_0, count()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_is_what_valkey_9_held_at_one_instant_of_its_changes() {
    equal(RedisVersion::Valkey9, count() / 4).await;
}
