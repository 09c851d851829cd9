//! What is dumped of what there is.

use dumprestore_driver::{ErrorKind, OpenContext};
use dumprestore_redis::{Databases, RedisConfig};
use dumprestore_testkit::{RedisServer, RedisVersion};
use serde_json::json;

use crate::dump_support::{Dump, all, config, driver, dump, loaded, scanned};

fn filled() -> RedisServer {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    for database in [0, 1, 5] {
        for key in ["user:1", "user:2", "cart:1", "cart:*", "tmp"] {
            server.run(database, redis::cmd("SET").arg(key).arg(database));
        }
        server.run(database, redis::cmd("SET").arg(b"bin:\xff\x00").arg("x"));
    }
    server.run(
        0,
        redis::cmd("FUNCTION")
            .arg("LOAD")
            .arg("#!lua name=lib\nredis.register_function('f', function() end)"),
    );
    server
}

/// All keys of the file, as `INDEX/KEY`, and how many functions there are.
fn held(dump: &Dump) -> (Vec<String>, usize) {
    let again = loaded(RedisVersion::Redis7_0, &dump.bytes);
    let mut all = Vec::new();
    for database in 0..16 {
        let keys: Vec<Vec<u8>> = again.ask(database, redis::cmd("KEYS").arg("*"));
        all.extend(keys.iter().map(|key| format!("{database}/{}", key.escape_ascii())));
    }
    all.sort();
    assert_eq!(all.len() as u64, dump.keys);
    let functions: Vec<redis::Value> = again.ask(0, redis::cmd("FUNCTION").arg("LIST"));
    (all, functions.len())
}

/// In both modes.
async fn dumped(config: RedisConfig) -> (Vec<String>, usize) {
    let found = held(&dump(config.clone()).await);
    assert_eq!(held(&dump(scanned(config)).await), found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_patterns_and_functions_are_chosen() {
    let server = filled();
    let (keys, functions) = dumped(config(&server.url(5))).await;
    assert_eq!(keys.len(), 6);
    assert!(keys.iter().all(|key| key.starts_with("5/")));
    assert_eq!(functions, 1);

    let mut some = config(&server.url(0));
    some.databases = Some(Databases::These(vec![1, 0]));
    some.functions = false;
    some.include = vec!["user:*".to_owned(), "cart:[*1]".to_owned(), "bin:??".to_owned()];
    some.exclude = vec!["*:2".to_owned(), "cart:\\*".to_owned()];
    let (keys, functions) = dumped(some.clone()).await;
    assert_eq!(
        keys,
        ["0/bin:\\xff\\x00", "0/cart:1", "0/user:1", "1/bin:\\xff\\x00", "1/cart:1", "1/user:1"]
    );
    assert_eq!(functions, 0);
    let facts = dump(some.clone()).await.facts;
    assert_eq!(facts["databases"], "0, 1");
    assert_eq!(facts["keys_by_database"], "0: 3, 1: 3");
    assert_eq!(facts["exclude"], "*:2, cart:\\*");

    some.include = vec!["crat:*".to_owned()];
    let ledger = dump(some).await.ledger;
    assert!(
        ledger.iter().any(|entry| entry.why.contains("misspelt")),
        "nothing is dumped in silence: {ledger:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_restores_write_is_no_data() {
    let server = filled();
    let mark = |database: u64, what: &str| {
        server.run(database, redis::cmd("HSET").arg("dumprestore:restore").arg("run:0").arg(what));
    };
    // Database 0 is live, and 1 has what was live before; what somebody else has in 5 is their own.
    mark(0, "new");
    mark(1, "kept");
    mark(5, "claimed");
    server.run(0, redis::cmd("SET").arg("dumprestore:of mine").arg("x"));
    let (keys, _) = dumped(all(&server)).await;
    let of = |database: &str| keys.iter().filter(|key| key.starts_with(database)).count();
    assert_eq!((of("0/"), of("1/"), of("5/")), (7, 0, 6));
    assert!(keys.contains(&"0/dumprestore:of mine".to_owned()));
    assert!(!keys.iter().any(|key| key.ends_with("dumprestore:restore")));
    for config in [all(&server), scanned(all(&server))] {
        let ledger = dump(config).await.ledger;
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!((ledger[0].what.as_str(), ledger[0].degrades), ("database 1", false));
    }
    // Who names it gets it.
    let (keys, _) = dumped(config(&server.url(1))).await;
    assert_eq!(keys.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_about_a_database_that_is_not_dumped_is_refused() {
    for declare in [
        |driver: &dyn dumprestore_driver::Driver| {
            driver.check_keys(&json!({ "pattern": "a:*", "value": true, "database": 3 }))
        },
        |driver: &dyn dumprestore_driver::Driver| driver.check_within(Some("3/cart:*")),
    ] {
        let driver = driver(config("redis://127.0.0.1:1/2"));
        declare(&*driver).unwrap();
        let error = driver.open(OpenContext::new("run", "/tmp")).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("database 3"), "{error}");
    }
}
