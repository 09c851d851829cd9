//! What is going on at the server while a dump begins, or lasts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dumprestore_redis::RedisConfig;
use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion};

use crate::dump_support::{Dump, all, dump, loaded, scanned};

const ACCOUNTS: u64 = 20_000;
const EACH: i64 = 1000;

/// Says that it is done, even if it panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Accounts in two databases, whose sum never changes.
fn open_accounts(server: &RedisServer) {
    let script = "for i = 0, ARGV[1] - 1 do redis.call('SET', 'account:' .. i, ARGV[2]) end";
    for database in [0, 1] {
        server.run(database, redis::cmd("EVAL").arg(script).arg(0).arg(ACCOUNTS).arg(EACH));
    }
}

fn sum(server: &RedisServer, index: u64) -> i64 {
    let keys: Vec<String> = server.ask(index, redis::cmd("KEYS").arg("account:*"));
    let values: Vec<i64> = server.ask(index, redis::cmd("MGET").arg(keys));
    values.iter().sum()
}

/// Moves amounts between far accounts, and from one database into the other, as fast as it can.
fn transfer(server: &RedisServer, done: &AtomicBool, transfers: &AtomicU64, seed: u64) {
    let mut connection = server.connection(0);
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % ACCOUNTS
    };
    while !done.load(Ordering::Relaxed) {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for _ in 0..5 {
            pipe.cmd("SELECT").arg(0).ignore();
            pipe.cmd("DECRBY").arg(format!("account:{}", random())).arg(7).ignore();
            pipe.cmd("SELECT").arg(1).ignore();
            pipe.cmd("INCRBY").arg(format!("account:{}", random())).arg(7).ignore();
        }
        pipe.exec(&mut connection).unwrap();
        transfers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Dumps some times while amounts are moved, and gives the sum in each dump.
fn sums(version: RedisVersion, server: &RedisServer, config: &RedisConfig, count: u32) -> Vec<i64> {
    open_accounts(server);
    let (done, transfers) = (AtomicBool::new(false), AtomicU64::new(0));
    let dumps: Vec<Dump> = thread::scope(|scope| {
        for seed in 1..3 {
            let (done, transfers) = (&done, &transfers);
            scope.spawn(move || transfer(server, done, transfers, seed));
        }
        let _ends = Ends(&done);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let mut dumps = Vec::new();
            for _ in 0..count {
                let before = transfers.load(Ordering::Relaxed);
                dumps.push(dump(config.clone()).await);
                assert!(transfers.load(Ordering::Relaxed) > before, "nobody wrote meanwhile");
            }
            dumps
        })
    });
    let sums = dumps.iter().map(|dump| {
        let again = loaded(version, &dump.bytes);
        sum(&again, 0) + sum(&again, 1)
    });
    sums.collect()
}

fn whole() -> i64 {
    2 * i64::try_from(ACCOUNTS).unwrap() * EACH
}

fn of_one_instant(options: &RedisOptions, version: RedisVersion) {
    let server = options.start();
    assert_eq!(sums(version, &server, &all(&server), 4), [whole(); 4]);
}

#[test]
fn every_transaction_is_whole_or_not_there_in_redis_6() {
    of_one_instant(&RedisOptions::new(RedisVersion::Redis6_0), RedisVersion::Redis6_0);
}

#[test]
fn every_transaction_is_whole_or_not_there_in_redis_7() {
    of_one_instant(&RedisOptions::new(RedisVersion::Redis7_0), RedisVersion::Redis7_0);
}

#[test]
fn every_transaction_is_whole_or_not_there_in_redis_7_with_a_file() {
    let options = RedisOptions::new(RedisVersion::Redis7_0).setting("repl-diskless-sync", "no");
    of_one_instant(&options, RedisVersion::Redis7_0);
}

#[test]
fn every_transaction_is_whole_or_not_there_in_redis_8() {
    of_one_instant(&RedisOptions::new(RedisVersion::Redis8_0), RedisVersion::Redis8_0);
}

#[test]
fn every_transaction_is_whole_or_not_there_in_valkey_8() {
    of_one_instant(&RedisOptions::new(RedisVersion::Valkey8_1), RedisVersion::Valkey8_1);
}

#[test]
fn every_transaction_is_whole_or_not_there_in_valkey_9() {
    of_one_instant(&RedisOptions::new(RedisVersion::Valkey9), RedisVersion::Valkey9);
}

#[test]
fn key_by_key_there_is_no_one_instant() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    let sums = sums(RedisVersion::Redis7_0, &server, &scanned(all(&server)), 4);
    assert!(sums.iter().any(|sum| *sum != whole()), "the test before this one could not fail: {sums:?}");
}

#[test]
fn keys_that_are_there_all_the_time_are_there_once_however_the_table_grows_and_shrinks() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    open_accounts(&server);
    let done = AtomicBool::new(false);
    let dumps: Vec<Dump> = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let script = "for i = 0, 30000 do redis.call(ARGV[1], 'more:' .. i, unpack(ARGV, 2)) end";
                server.run(0, redis::cmd("EVAL").arg(script).arg(0).arg("SET").arg("x"));
                // The server does nothing else meanwhile.
                thread::sleep(Duration::from_millis(20));
                server.run(0, redis::cmd("EVAL").arg(script).arg(0).arg("DEL"));
                thread::sleep(Duration::from_millis(20));
            }
        });
        let _ends = Ends(&done);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let mut dumps = Vec::new();
            for _ in 0..3 {
                dumps.push(dump(scanned(all(&server))).await);
            }
            dumps
        })
    });
    for dump in dumps {
        // A server refuses a file that has a key twice.
        let again = loaded(RedisVersion::Redis7_0, &dump.bytes);
        assert_eq!((sum(&again, 0), sum(&again, 1)), (whole() / 2, whole() / 2));
    }
}
