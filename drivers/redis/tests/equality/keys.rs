//! Keys of all types, who writes to them, and whether two servers have the same.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dumprestore_testkit::RedisServer;
use redis::{Cmd, Connection, Pipeline, Value};

const ACCOUNTS: u64 = 500;
const EACH: i64 = 1000;
/// Of all accounts, always.
pub(crate) const SUM: i64 = 500 * EACH;
/// As many are asked for at once.
const AT_ONCE: u64 = 1000;
/// Nothing expires while the test runs, in milliseconds.
const LATER: u64 = 36_000_000;

/// The key of that number: its type follows from it.
fn name(number: u64) -> String {
    let kind = ["string", "text", "list", "set", "numbers", "hash", "sorted", "log", "visitors", "large"];
    format!("{}:{number}", kind[usize::try_from(number % 10).unwrap()])
}

fn cmd(words: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd
}

/// What adds to a key of that number, or makes it.
fn add(number: u64, value: u64) -> Cmd {
    let (key, value) = (name(number), value.to_string());
    match number % 10 {
        0 => cmd(&["SET", &key, &value]),
        1 => cmd(&["APPEND", &key, &format!("text {value} {}", "lorem ipsum ".repeat(20))]),
        2 => cmd(&["RPUSH", &key, &value, "an element", &value]),
        3 => cmd(&["SADD", &key, &value, "a member", &format!("member {value}")]),
        4 => cmd(&["SADD", &key, &value, "7", "9"]),
        5 => cmd(&["HSET", &key, &format!("field {value}"), &value, "other", "x"]),
        6 => cmd(&["ZADD", &key, &value, &format!("member {value}"), "0.5", "half"]),
        7 => cmd(&["XADD", &key, "*", "field", &value]),
        8 => cmd(&["PFADD", &key, &value, "one"]),
        // Past what is kept packed, from time to time.
        _ => {
            let mut cmd =
                redis::cmd(["HSET", "ZADD", "RPUSH", "SADD"][usize::try_from(number / 10 % 4).unwrap()]);
            cmd.arg(format!("{}:{}", name(number), number / 10 % 4));
            for at in 0..if number % 70 == 9 { 200 } else { 6 } {
                match number / 10 % 4 {
                    0 => cmd.arg(format!("field {at}")).arg(format!("{value} {at}")),
                    1 => cmd.arg(at).arg(format!("member {at}")),
                    _ => cmd.arg(format!("element {value} {at}")),
                };
            }
            cmd
        }
    }
}

pub(crate) fn fill(connection: &mut Connection, count: u64) {
    for from in (0..count).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let mut pipe = Pipeline::new();
        for number in from..(from + AT_ONCE).min(count) {
            pipe.add_command(add(number, number)).ignore();
            if number % 5 == 0 && number % 10 != 9 {
                pipe.cmd("PEXPIRE").arg(name(number)).arg(LATER + number).ignore();
            }
            if number % 10 == 7 {
                pipe.cmd("XGROUP").arg("CREATE").arg(name(number)).arg("readers").arg("0").ignore();
            }
        }
        pipe.exec(connection).unwrap();
    }
}

pub(crate) fn open_accounts(connection: &mut Connection) {
    let mut pipe = Pipeline::new();
    for number in 0..ACCOUNTS {
        pipe.cmd("SET").arg(format!("account:{number}")).arg(EACH).ignore();
    }
    pipe.exec(connection).unwrap();
}

pub(crate) fn sum_of_accounts(connection: &mut Connection) -> i64 {
    let names: Vec<String> = (0..ACCOUNTS).map(|number| format!("account:{number}")).collect();
    redis::cmd("MGET").arg(names).query::<Vec<i64>>(connection).unwrap().iter().sum()
}

/// Writes to keys in both databases, and moves amounts between accounts, until it is to stop.
pub(crate) fn write(
    server: &RedisServer,
    databases: [u64; 2],
    count: u64,
    seed: u64,
    done: &AtomicBool,
    written: &AtomicU64,
) {
    let mut connection = server.connection(databases[0]);
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    while !done.load(Ordering::Relaxed) {
        let mut pipe = Pipeline::new();
        pipe.atomic();
        for index in databases {
            pipe.cmd("SELECT").arg(index).ignore();
            for _ in 0..3 {
                let number = random(count);
                pipe.add_command(add(number, random(1_000_000))).ignore();
            }
            let number = random(count);
            match random(4) {
                0 => pipe.cmd("DEL").arg(name(number)).ignore(),
                1 => pipe.cmd("PERSIST").arg(name(number)).ignore(),
                2 => pipe.cmd("PEXPIRE").arg(name(number)).arg(LATER + random(1000)).ignore(),
                // Keys that come and go.
                _ => pipe.cmd("SET").arg(format!("passing:{}", random(1000))).arg(random(9)).ignore(),
            };
        }
        pipe.cmd("SELECT").arg(databases[0]).ignore();
        let amount = i64::try_from(random(50)).unwrap();
        pipe.cmd("INCRBY").arg(format!("account:{}", random(ACCOUNTS))).arg(amount).ignore();
        pipe.cmd("DECRBY").arg(format!("account:{}", random(ACCOUNTS))).arg(amount).ignore();
        pipe.exec(&mut connection).unwrap();
        written.fetch_add(1, Ordering::Relaxed);
    }
}

/// Compares all keys of two databases. Gives how many are the same by `DUMP`, and how many more by their members: sets and hashes that are
/// large have the order of their server.
pub(crate) fn compare(one: &mut Connection, other: &mut Connection) -> (u64, u64) {
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(one).unwrap();
    let (mut same, mut alike) = (0, 0);
    for keys in keys.chunks(usize::try_from(AT_ONCE).unwrap()) {
        let mut pipe = Pipeline::new();
        for key in keys {
            pipe.cmd("PEXPIRETIME").arg(key);
            pipe.cmd("DUMP").arg(key);
        }
        let wanted: Vec<Value> = pipe.query(one).unwrap();
        let found: Vec<Value> = pipe.query(other).unwrap();
        for (key, (wanted, found)) in keys.iter().zip(wanted.chunks(2).zip(found.chunks(2))) {
            let name = key.escape_ascii().to_string();
            let [Value::Int(wanted_expiry), Value::BulkString(wanted)] = wanted else { panic!("{name}") };
            let [Value::Int(found_expiry), Value::BulkString(found)] = found else {
                panic!("{name} is lost")
            };
            assert!(
                (wanted_expiry - found_expiry).abs() < 1000,
                "{name}: {wanted_expiry} and {found_expiry}"
            );
            if wanted == found {
                same += 1;
            } else {
                assert_eq!(members(one, key), members(other, key), "{name}");
                alike += 1;
            }
        }
    }
    (same, alike)
}

/// The members of a set, or the fields of a hash with their values, in an order that no server has.
fn members(connection: &mut Connection, key: &[u8]) -> BTreeSet<Vec<Vec<u8>>> {
    let kind: String = redis::cmd("TYPE").arg(key).query(connection).unwrap();
    let ask = |name: &str| redis::cmd(name).arg(key).clone();
    let (cmd, each) = match kind.as_str() {
        "set" => (ask("SMEMBERS"), 1),
        "hash" => (ask("HGETALL"), 2),
        _ => panic!("{} differs, and is a {kind}", key.escape_ascii()),
    };
    let all: Vec<Vec<u8>> = cmd.query(connection).unwrap();
    all.chunks(each).map(<[Vec<u8>]>::to_vec).collect()
}
