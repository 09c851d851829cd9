//! References from keys, and to keys, as of the cut.

use std::sync::Arc;

use dumprestore_driver::{Driver, Edge, ErrorKind, KeySink, NodePath, OpenContext, Reference, Source};
use dumprestore_testkit::{RedisServer, RedisVersion};
use serde_json::{Value, json};

use crate::dump_support::{config, cut, driver, read_once};

fn edge(keys: &Value) -> Edge {
    let (from, to) = (NodePath::new("cache").unwrap(), NodePath::new("db").unwrap());
    Edge { from, to, keys: keys.clone(), within: None }
}

/// The references, sorted; those that are none with a `!` before them.
async fn references(source: &dyn Source, keys: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut take = |one: std::result::Result<Reference, dumprestore_driver::Unresolved>| {
        found.push(match one {
            Ok(reference) => match reference.digest {
                Some(digest) => format!("{} {digest}", reference.key),
                None => reference.key.to_string(),
            },
            Err(bad) => format!("!{}", bad.reference.key),
        });
        Ok(())
    };
    source.references(&edge(keys), &mut KeySink::of_all(&mut take)).await.unwrap();
    found.sort();
    found
}

async fn missing(source: &dyn Source, within: Option<&str>, keys: &[&str]) -> Vec<String> {
    let references: Vec<_> = keys.iter().map(|key| Reference::to(*key)).collect();
    let missing = source.resolve(within, &references).await.unwrap();
    missing.iter().map(|one| one.reference.key.to_string()).collect()
}

fn filled(version: RedisVersion) -> RedisServer {
    let server = RedisServer::start(version);
    let run = |database: u64, words: &[&str]| {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        server.run(database, &cmd);
    };
    let sum = "0f".repeat(32);
    run(2, &["HSET", "sess:1", "customer", "7", "sum", &sum, "other", "x"]);
    run(2, &["HSET", "sess:2", "customer", "8", "sum", ""]);
    run(2, &["HSET", "sess:3", "customer", ""]);
    run(2, &["HSET", "sess:4", "other", "9"]);
    run(2, &["SET", "sess:5", "no hash"]);
    run(2, &["HSET", "sess:6", "customer", "10", "sum", "no sum"]);
    for n in 0..1000 {
        run(2, &["HSET", "sess:large", &format!("field{n}"), "x"]);
    }
    run(2, &["HSET", "sess:large", "customer", "11"]);
    run(2, &["SADD", "likes:1", "1", "2", "3"]);
    run(2, &["RPUSH", "likes:2", "a", "b", ""]);
    run(2, &["ZADD", "likes:3", "1.5", "z"]);
    run(2, &["SET", "owner:1", "12"]);
    run(2, &["SET", "cart:77", "x"]);
    run(2, &["SET", "cart:expired", "x"]);
    run(2, &["PEXPIREAT", "cart:expired", "4102444800123"]);
    run(4, &["SET", "cart:of4", "x"]);
    run(0, &["HSET", "sess:of0", "customer", "nobody"]);
    server
}

fn declared(server: &RedisServer) -> Arc<dyn Driver> {
    let mut config = config(&server.url(2));
    config.databases = Some(dumprestore_redis::Databases::These(vec![2, 4]));
    config.exclude = vec!["cart:no".to_owned()];
    driver(config)
}

async fn references_are_those_of_the_cut(version: RedisVersion) {
    let server = filled(version);
    let driver = declared(&server);
    let by_field = json!({ "pattern": "sess:*", "field": "customer" });
    let with_sum = json!({ "pattern": "sess:*", "field": "customer", "digest": "sum" });
    let members = json!({ "pattern": "likes:*", "members": true });
    let value = json!({ "pattern": "owner:*", "value": true });
    let name = json!({ "pattern": "cart:*", "name": true });
    let of_four = json!({ "pattern": "cart:*", "name": true, "database": 4 });
    for keys in [&by_field, &with_sum, &members, &value, &name, &of_four] {
        driver.check_keys(keys).unwrap();
    }
    let mut source = driver.open(OpenContext::new("run", "/tmp")).await.unwrap();
    source.pin(&cut()).await.unwrap();
    for key in ["sess:1", "likes:1", "owner:1", "cart:77"] {
        server.run(2, redis::cmd("DEL").arg(key));
    }
    read_once(&mut *source).await.unwrap();
    // Asked for twice, they come twice.
    for _ in 0..2 {
        assert_eq!(references(&*source, &by_field).await, ["!sess:5", "10", "11", "7", "8"]);
        let sum = "0f".repeat(32);
        let expected =
            ["!10".to_owned(), "!sess:5".to_owned(), "11".to_owned(), format!("7 {sum}"), "8".to_owned()];
        assert_eq!(references(&*source, &with_sum).await, expected);
        assert_eq!(references(&*source, &members).await, ["1", "2", "3", "a", "b", "z"]);
        assert_eq!(references(&*source, &value).await, ["12"]);
        assert_eq!(references(&*source, &name).await, ["77", "expired"]);
        assert_eq!(references(&*source, &of_four).await, ["of4"]);
    }
    let undeclared = edge(&json!({ "pattern": "x", "value": true }));
    let error = source.references(&undeclared, &mut KeySink::new(&mut |_| Ok(()))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Defect);
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_those_of_the_cut_in_redis_6() {
    references_are_those_of_the_cut(RedisVersion::Redis6_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_those_of_the_cut_in_redis_8() {
    references_are_those_of_the_cut(RedisVersion::Redis8_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_those_of_the_cut_in_valkey_9() {
    references_are_those_of_the_cut(RedisVersion::Valkey9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_those_of_the_cut_that_are_dumped_and_have_not_expired() {
    let server = filled(RedisVersion::Redis7_0);
    server.run(0, redis::cmd("DEBUG").arg("SET-ACTIVE-EXPIRE").arg(0));
    server.run(2, redis::cmd("SET").arg("cart:no").arg("x"));
    server.run(2, redis::cmd("PEXPIRE").arg("cart:expired").arg(1));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let driver = declared(&server);
    for within in [None, Some("cart:*"), Some("4/cart:*"), Some("sess:*")] {
        driver.check_within(within).unwrap();
    }
    let mut source = driver.open(OpenContext::new("run", "/tmp")).await.unwrap();
    source.pin(&cut()).await.unwrap();
    server.run(2, redis::cmd("DEL").arg("cart:77"));
    server.run(2, redis::cmd("SET").arg("cart:late").arg("x"));
    read_once(&mut *source).await.unwrap();
    let asked = ["77", "late", "no", "expired", "of4", ""];
    assert_eq!(missing(&*source, Some("cart:*"), &asked).await, ["late", "no", "expired", "of4", ""]);
    assert_eq!(missing(&*source, Some("4/cart:*"), &asked).await, ["77", "late", "no", "expired", ""]);
    assert_eq!(missing(&*source, None, &["cart:77", "owner:1", "77"]).await, ["77"]);
    let with_sum = Reference { digest: dumprestore_driver::Digest::parse(&[200; 32]), ..Reference::to("77") };
    let error = source.resolve(Some("cart:*"), &[with_sum]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_references_are_kept_in_bounded_memory_and_none_is_lost() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    // More than is kept in memory, of hashes and of references.
    let script =
        "for i = 1, 200000 do redis.call('SADD', 'members:' .. (i % 7), string.rep('x', 50) .. i) end";
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    let script = "for i = 1, 20000 do redis.call('SET', 'k:' .. i, i) end";
    server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    let driver = driver(config(&server.url(0)));
    let members = json!({ "pattern": "members:*", "members": true });
    driver.check_keys(&members).unwrap();
    driver.check_within(Some("k:*")).unwrap();
    let mut source = driver.open(OpenContext::new("run", "/tmp")).await.unwrap();
    source.pin(&cut()).await.unwrap();
    read_once(&mut *source).await.unwrap();
    let mut found = references(&*source, &members).await;
    found.dedup();
    assert_eq!(found.len(), 200_000);
    let asked: Vec<_> = (1..=20_010).map(|n: u32| Reference::to(n.to_string())).collect();
    assert_eq!(source.resolve(Some("k:*"), &asked).await.unwrap().len(), 10);
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_by_which_nothing_is_found_is_told() {
    let server = filled(RedisVersion::Redis7_0);
    let driver = driver(config(&server.url(2)));
    for keys in [
        json!({ "pattern": "sess:*", "field": "customer" }),
        json!({ "pattern": "sesion:*", "field": "customer" }),
        json!({ "pattern": "sess:[1-4]", "field": "cust" }),
    ] {
        driver.check_keys(&keys).unwrap();
    }
    let mut source = driver.open(OpenContext::new("run", std::path::Path::new("/tmp"))).await.unwrap();
    source.pin(&cut()).await.unwrap();
    let dump = read_once(&mut *source).await.unwrap();
    source.release().await.unwrap();
    let mut told: Vec<String> =
        dump.ledger.iter().map(|entry| format!("{} {} {}", entry.degrades, entry.what, entry.why)).collect();
    told.sort();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("false keys `sesion:*` no key"), "{told:?}");
    assert!(told[1].contains("`sess:[1-4]` 4 keys") && told[1].contains("`cust`"), "{told:?}");
}
