//! A dump, driven as the engine does, with its part in memory or thrown away.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test file uses its share; what a test can't go on without ends it"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dumprestore_driver::{
    BuildContext, Cancel, CaptureId, CutContext, CutMode, Digest, Driver, DriverConfig, Dumped, Facts,
    LedgerEntry, NodePath, OpenContext, Part, PartSink, PartWriter, Receipt, Result, Source,
};
use dumprestore_redis::{All, Databases, Mode, RedisConfig};
use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion};
use futures_util::TryStreamExt;
use redis::Value;

pub fn config(url: &str) -> RedisConfig {
    RedisConfig::new(url)
}

/// All databases of a server.
pub fn all(server: &RedisServer) -> RedisConfig {
    let mut config = config(&server.url(0));
    config.databases = Some(Databases::All(All::All));
    config
}

/// The same, key by key.
pub fn scanned(mut config: RedisConfig) -> RedisConfig {
    config.mode = Mode::Scan;
    config
}

pub fn driver(config: RedisConfig) -> Arc<dyn Driver> {
    config.build(&BuildContext::new(NodePath::new("cache").unwrap(), "/")).unwrap()
}

pub async fn open(config: RedisConfig) -> Box<dyn Source> {
    open_for(config, &Cancel::default()).await
}

pub async fn open_for(config: RedisConfig, cancel: &Cancel) -> Box<dyn Source> {
    let cx = OpenContext::new("run", Path::new("/tmp")).with_cancel(cancel.clone());
    driver(config).open(cx).await.unwrap()
}

pub fn cut() -> CutContext {
    CutContext::new(SystemTime::now(), CutMode::Open)
}

pub async fn pinned(config: RedisConfig) -> Box<dyn Source> {
    let mut source = open(config).await;
    source.pin(&cut()).await.unwrap();
    source
}

/// Takes a part, and keeps its bytes if asked to.
pub struct Sink {
    pub bytes: Vec<u8>,
    pub size: u64,
    pub keep: bool,
    /// After each piece.
    pub pause: Duration,
}

impl Sink {
    pub fn new(keep: bool) -> Self {
        Self { bytes: Vec::new(), size: 0, keep, pause: Duration::ZERO }
    }
}

impl PartSink for Sink {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.size += data.len() as u64;
        if self.keep {
            self.bytes.extend_from_slice(data);
        }
        std::thread::sleep(self.pause);
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        Ok(Receipt { capture: CaptureId(7), size: self.size, digest: Digest::new([0; 32]) })
    }
}

/// What was dumped.
#[derive(Debug)]
pub struct Dump {
    pub bytes: Vec<u8>,
    pub keys: u64,
    pub ledger: Vec<LedgerEntry>,
    pub facts: Facts,
}

impl Dump {
    /// Whether these bytes stand somewhere in the file.
    pub fn has(&self, bytes: &str) -> bool {
        self.bytes.windows(bytes.len()).any(|window| window == bytes.as_bytes())
    }
}

async fn only_part(source: &mut dyn Source, capture: bool) -> Result<Part> {
    let parts = if capture { source.capture().await? } else { source.parts().await? };
    let mut parts: Vec<Part> = parts.try_collect().await?;
    assert_eq!(parts.len(), 1);
    Ok(parts.remove(0))
}

pub async fn write_part(source: &mut dyn Source, sink: &mut Sink, capture: bool) -> Result<u64> {
    let part = only_part(source, capture).await?;
    assert!(part.captured.is_none());
    match source.dump(&part, &mut PartWriter::new(sink)).await? {
        Dumped::Whole { rows } => Ok(rows.unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Reads what is pinned, as the engine does before it asks for references.
pub async fn read_once(source: &mut dyn Source) -> Result<Dump> {
    let mut sink = Sink::new(true);
    let keys = write_part(source, &mut sink, true).await?;
    let part = only_part(source, false).await?;
    assert_eq!((part.captured, part.rows), (Some(CaptureId(7)), Some(keys)));
    Ok(Dump { bytes: sink.bytes, keys, ledger: source.ledger(), facts: source.facts() })
}

pub async fn try_dump(config: RedisConfig) -> Result<Dump> {
    let scan = config.mode == Mode::Scan;
    let mut source = open(config).await;
    source.pin(&cut()).await?;
    let dump = if scan {
        let mut sink = Sink::new(true);
        let keys = write_part(&mut *source, &mut sink, false).await?;
        Dump { bytes: sink.bytes, keys, ledger: source.ledger(), facts: source.facts() }
    } else {
        read_once(&mut *source).await?
    };
    source.release().await?;
    Ok(dump)
}

pub async fn dump(config: RedisConfig) -> Dump {
    try_dump(config).await.unwrap()
}

/// A fresh server that has loaded the file.
pub fn loaded(version: RedisVersion, bytes: &[u8]) -> RedisServer {
    let server = RedisOptions::new(version).start();
    server.stop();
    let file = server.folder().join("data/dump.rdb");
    std::fs::write(&file, bytes).unwrap();
    dumprestore_testkit::Account::of_servers().give(&file, 0o644);
    server.restart();
    server
}

/// The server's own digest of all keys in all databases, and what it leaves out: when they expire.
pub fn state(server: &RedisServer) -> (String, BTreeMap<(u64, Vec<u8>), i64>) {
    let digest: String = server.ask(0, redis::cmd("DEBUG").arg("DIGEST"));
    let mut expiry = BTreeMap::new();
    for database in 0..16 {
        let mut connection = server.connection(database);
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        for key in keys {
            expiry.insert((database, key.clone()), expires_at(&mut connection, server.version(), &key));
        }
    }
    (digest, expiry)
}

fn expires_at(connection: &mut redis::Connection, version: RedisVersion, key: &[u8]) -> i64 {
    if version == RedisVersion::Redis6_0 {
        // To ten seconds, for it can't be asked for as it is: in the middle of them.
        let left: i64 = redis::cmd("PTTL").arg(key).query(connection).unwrap();
        let (now, _): (i64, i64) = redis::cmd("TIME").query(connection).unwrap();
        return if left < 0 { left } else { (now + left / 1000 + 5) / 10 };
    }
    redis::cmd("PEXPIRETIME").arg(key).query(connection).unwrap()
}

/// Some keys of every type, in as many encodings as the server has, in two databases; and functions.
pub fn fill(server: &RedisServer) {
    let version = server.version();
    let mut connection = server.connection(0);
    let mut run = |words: &[&str]| {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        let _: Value = cmd.query(&mut connection).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    };
    run(&["SET", "int", "12345"]);
    run(&["SET", "negative", "-9223372036854775808"]);
    run(&["SET", "text", "some text"]);
    run(&["SET", "long", &"compresses well ".repeat(5000)]);
    run(&["SET", "", "of the empty key"]);
    run(&["SETBIT", "bits", "100", "1"]);
    run(&["PFADD", "loglog", "a", "b", "c"]);
    run(&["GEOADD", "geo", "13.4", "52.5", "Berlin"]);
    for (name, count) in [("small", 3), ("large", 3000)] {
        for n in 0..count {
            let (n, long) = (n.to_string(), format!("{n}{}", "x".repeat(n % 90)));
            run(&["RPUSH", &format!("list:{name}"), &long]);
            run(&["SADD", &format!("set:{name}"), &long]);
            run(&["SADD", &format!("intset:{name}"), &n]);
            run(&["ZADD", &format!("zset:{name}"), &format!("{n}.5"), &long]);
            run(&["HSET", &format!("hash:{name}"), &n, &long]);
            run(&[
                "XADD",
                &format!("stream:{name}"),
                &format!("1-{}", n.parse::<u64>().unwrap() + 1),
                "field",
                &long,
            ]);
        }
    }
    run(&["ZADD", "zset:odd", "inf", "a", "-inf", "b", "0.1", "c", "1e300", "d"]);
    run(&["RPUSH", "list:of a long value", &"y".repeat(100_000)]);
    run(&["XGROUP", "CREATE", "stream:large", "group", "0"]);
    run(&["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "10", "STREAMS", "stream:large", ">"]);
    run(&["XACK", "stream:large", "group", "1-1"]);
    run(&["XDEL", "stream:large", "1-2"]);
    run(&["SET", "expires", "x", "PXAT", "4102444800123"].as_slice()
        [..if version == RedisVersion::Redis6_0 { 3 } else { 5 }]);
    run(&["PEXPIREAT", "list:small", "4102444800456"]);
    if matches!(version, RedisVersion::Redis8_0 | RedisVersion::Valkey9) {
        for key in ["hash:small", "hash:large"] {
            run(&["HPEXPIREAT", key, "4102444800789", "FIELDS", "1", "1"]);
        }
    }
    if version != RedisVersion::Redis6_0 {
        let code = "#!lua name=lib\nredis.register_function('f', function() return 'of a function' end)";
        run(&["FUNCTION", "LOAD", code]);
    }
    run(&["SELECT", "3"]);
    run(&["SET", "int", "of another database"]);
    let every_byte: Vec<u8> = (0..=255).collect();
    server.run(3, redis::cmd("SET").arg(&every_byte).arg(&every_byte));
}
