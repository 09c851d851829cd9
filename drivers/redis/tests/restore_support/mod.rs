//! Databases of a server to dump and restore, and their content as text.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test file uses its share; a fixture that fails ends the test"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion, Seed};
use redis::{Cmd, Connection, Value};

/// The databases of the node.
pub const LIVE: [u64; 2] = [0, 3];
/// A time that is not soon: in milliseconds since 1970.
pub const LATER: u64 = 4_102_444_800_123;

/// A server, of which two databases are meant.
pub struct Source {
    pub server: RedisServer,
}

pub fn cmd(parts: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for part in parts {
        cmd.arg(part);
    }
    cmd
}

/// Runs commands, one a line, words apart by spaces.
pub fn script(connection: &mut Connection, text: &str) {
    let mut pipe = redis::pipe();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        pipe.add_command(cmd(&words));
    }
    let _: Vec<Value> = pipe.query(connection).unwrap();
}

impl Source {
    pub fn new() -> Self {
        Self::with(&RedisOptions::new(RedisVersion::Redis7_0))
    }

    pub fn with(options: &RedisOptions) -> Self {
        Self { server: options.start() }
    }

    pub fn connection(&self, index: u64) -> Connection {
        self.server.connection(index)
    }

    /// Has the server write its file. It may still be at the save of a dump.
    pub fn save(&self) {
        dumprestore_testkit::soon("the end of another save", || {
            self.server.info("rdb_bgsave_in_progress") == "0"
        });
        self.run(0, &["SAVE"]);
    }

    pub fn run(&self, index: u64, parts: &[&str]) {
        self.server.run(index, &cmd(parts));
    }

    pub fn ask<T: redis::FromRedisValue>(&self, index: u64, parts: &[&str]) -> T {
        self.server.ask(index, &cmd(parts))
    }

    fn has_functions(&self) -> bool {
        self.server.version() != RedisVersion::Redis6_0
    }

    /// Empties what is meant.
    pub fn clear(&self) {
        for index in LIVE {
            self.run(index, &["FLUSHDB"]);
        }
        if self.has_functions() {
            self.run(0, &["FUNCTION", "FLUSH"]);
        }
    }

    pub fn seed(&self, seed: Seed) {
        self.clear();
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => self.ordinary(),
            Seed::Hostile => self.hostile(),
            Seed::Large => self.large(),
        }
    }

    fn ordinary(&self) {
        let mut first = self.connection(0);
        let mut pipe = redis::pipe();
        for id in 1..=100 {
            pipe.hset_multiple(
                format!("product:{id}"),
                &[("image", format!("img/{id}.png")), ("price", id.to_string())],
            );
            if id <= 10 {
                pipe.hset(format!("product:{id}"), "sha256", format!("{id:064x}"));
            }
            pipe.set(format!("sess:{id}"), format!("{}", id * 7))
                .pexpire_at(format!("sess:{id}"), LATER as i64);
        }
        pipe.exec(&mut first).unwrap();
        script(
            &mut first,
            "RPUSH queue a b c a
             SADD tags red green blue
             ZADD scores 1.5 one 2 two -inf three
             XADD log 1-1 a 1 b 2
             XADD log 2-1 a 3
             XGROUP CREATE log readers 0
             XREADGROUP GROUP readers me COUNT 1 STREAMS log >
             SETBIT bits 1000 1
             PFADD visitors a b c
             HSET customer:1 name Ann
             HSET customer:2 name Bob",
        );
        script(&mut self.connection(3), "SET cart:5 x\nSADD cart:6 a b\nRPUSH jobs 1 2 3\nSET counter 41");
        self.function("ordinary", "return 1");
    }

    fn function(&self, name: &str, body: &str) {
        if self.has_functions() {
            let code = format!(
                "#!lua name={name}\nredis.register_function('{name}', function(keys, args) {body} end)"
            );
            self.run(0, &["FUNCTION", "LOAD", &code]);
        }
    }

    fn hostile(&self) {
        let mut connection = self.connection(0);
        let mut set = |key: &[u8], value: &[u8]| {
            redis::cmd("SET").arg(key).arg(value).exec(&mut connection).unwrap();
        };
        set(b"", b"a key without a name");
        set(b"\r\n$3\r\nfoo", b"\r\n");
        set(&[0, 255, 128, b'*', b'[', b'\\'], &(0..=255).collect::<Vec<u8>>());
        set(&vec![b'k'; 100_000], b"");
        set(b"large", &vec![b'z'; 3 << 20]);
        set(b"random", &noise(1 << 20));
        set("sess:\u{fc}".as_bytes(), b"9223372036854775807");
        set(b"dumprestore", b"not of a restore");
        let mut pipe = redis::pipe();
        for at in 0..3000 {
            pipe.hset("many", at, "x".repeat(at % 70))
                .zadd("ranks", at, f64::from(at as u32) / 4.0)
                .rpush("list", at);
            pipe.sadd("numbers", at).sadd("words", format!("w{at}"));
        }
        pipe.exec(&mut connection).unwrap();
        script(&mut self.connection(3), "SET gone 1\nPEXPIREAT gone 4102444800999\nSET counter -1");
        self.function("hostile", "return redis.call('GET', keys[1])");
    }

    fn large(&self) {
        for index in LIVE {
            let mut pipe = redis::pipe();
            for at in 0..4000usize {
                pipe.set(format!("key:{at:05}"), noise(400 + at % 100));
            }
            pipe.exec(&mut self.connection(index)).unwrap();
        }
    }

    /// As an application would.
    pub fn mutate(&self) {
        let first = self.connection(0);
        script(
            &mut { first },
            "INCR mutations
             HSET product:2 image other.png
             DEL product:1 customer:1
             RPUSH queue more
             PERSIST sess:7
             SET new:1 x",
        );
        script(&mut self.connection(3), "INCR counter\nDEL cart:5\nRPUSH jobs 4");
    }

    /// All of what is meant, as text.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for index in LIVE {
            text += &self.content(index);
        }
        text + &self.functions()
    }

    pub fn functions(&self) -> String {
        if !self.has_functions() {
            return String::new();
        }
        let list: Value = self.ask(0, &["FUNCTION", "LIST", "WITHCODE"]);
        let mut libraries: Vec<String> = match list {
            Value::Array(libraries) => libraries.iter().map(|library| format!("{library:?}")).collect(),
            other => panic!("{other:?}"),
        };
        libraries.sort();
        format!("functions: {libraries:#?}\n")
    }

    /// A database as text.
    pub fn content(&self, index: u64) -> String {
        let mut connection = self.connection(index);
        let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        keys.retain(|key| !key.starts_with(b"dumprestore:"));
        keys.sort();
        let mut text = format!("database {index}\n");
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut connection).unwrap();
            let expires: i64 = match self.has_functions() {
                true => redis::cmd("PEXPIRETIME").arg(&key).query(&mut connection).unwrap(),
                false => redis::cmd("PTTL").arg(&key).query::<i64>(&mut connection).unwrap().min(0),
            };
            let value = value(&mut connection, &kind, &key);
            writeln!(text, "{} {kind} {expires} {value}", shown(&key)).unwrap();
        }
        text
    }

    /// What restores have left: databases that are not meant, and marks in those that are.
    pub fn beside(&self) -> BTreeSet<String> {
        let keyspace: String = self.ask(0, &["INFO", "keyspace"]);
        let filled =
            keyspace.lines().filter_map(|line| line.split(':').next()?.strip_prefix("db")?.parse().ok());
        let others =
            filled.filter(|index: &u64| !LIVE.contains(index)).map(|index| format!("database {index}"));
        let marked = LIVE.iter().filter(|index| {
            let marks: Vec<String> = self.ask(**index, &["KEYS", "dumprestore:*"]);
            !marks.is_empty()
        });
        others.chain(marked.map(|index| format!("a mark in database {index}"))).collect()
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = length as u64 | 1;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as u8
    };
    (0..length).map(|_| next(&mut state)).collect()
}

fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    use std::hash::{DefaultHasher, Hash, Hasher};
    if bytes.len() <= MOST {
        return format!("`{}`", bytes.escape_ascii());
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("`{}`... {} bytes {:016x}", bytes[..MOST].escape_ascii(), bytes.len(), hasher.finish())
}

fn value(connection: &mut Connection, kind: &str, key: &[u8]) -> String {
    let mut ask = |parts: &[&str]| -> Value {
        let mut cmd = redis::cmd(parts[0]);
        cmd.arg(key);
        parts[1..].iter().for_each(|part| {
            cmd.arg(part);
        });
        cmd.query(connection).unwrap()
    };
    let list = |value: Value| -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().map(|item| shown(format!("{item:?}").as_bytes())).collect(),
            other => panic!("{other:?}"),
        }
    };
    let text = match kind {
        "string" => match ask(&["GET"]) {
            Value::BulkString(bytes) => return shown(&bytes),
            other => format!("{other:?}"),
        },
        "list" => format!("{:?}", list(ask(&["LRANGE", "0", "-1"]))),
        "set" => {
            let mut members = list(ask(&["SMEMBERS"]));
            members.sort();
            format!("{members:?}")
        }
        "zset" => format!("{:?}", list(ask(&["ZRANGE", "0", "-1", "WITHSCORES"]))),
        "hash" => {
            let fields = list(ask(&["HGETALL"]));
            let mut pairs: Vec<String> = fields.chunks(2).map(|pair| pair.join("=")).collect();
            pairs.sort();
            format!("{pairs:?}")
        }
        "stream" => {
            let groups: Value = redis::cmd("XINFO").arg("GROUPS").arg(key).query(connection).unwrap();
            let entries: Value = redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(connection).unwrap();
            format!("{entries:?} {groups:?}")
        }
        other => panic!("a key of type {other}"),
    };
    shown(text.as_bytes())
}
