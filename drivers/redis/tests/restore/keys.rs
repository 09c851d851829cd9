//! Keys, and what belongs to them, after a restore.

use std::io::Read as _;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Extras, OldState, StageContext};
use dumprestore_testkit::{RedisOptions, RedisVersion, Seed, soon};
use serde_json::json;

use crate::archive::{Dump, Ground, Made, driver, driver_of, dump, load, prepared, run};
use crate::restore_support::{LIVE, Source, cmd};

async fn restore(driver: &dyn dumprestore_driver::Driver, dump: &Dump, cx: StageContext) -> Vec<String> {
    let mut staging = driver.stage(dump.node.clone(), cx).await.unwrap();
    staging.begin().await.unwrap();
    load(&*staging, &*dump.node).await.unwrap();
    staging.prepare().await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    staging.ledger().into_iter().map(|entry| format!("{}: {}", entry.what, entry.why)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_expired_are_counted_and_stay_gone() {
    let source = Source::new();
    source.run(0, &["SET", "stays", "1"]);
    source.run(0, &["SET", "goes", "1", "PX", "3000"]);
    source.run(0, &["SET", "later", "1", "PX", "100000"]);
    let driver = driver_of(&source);
    let dump = dump(&*driver).await;
    let expires: u64 = source.ask(0, &["PEXPIRETIME", "later"]);
    soon("its end", || !source.ask::<bool>(0, &["EXISTS", "goes"]));
    source.clear();
    let counted = driver.changes(dump.node.clone(), &StageContext::new(run())).await.unwrap();
    assert_eq!((counted.create, counted.replace, counted.remove), (2, 0, 0), "{counted:?}");
    assert!(
        counted.notes.iter().any(|note| note.contains("1 keys of the archive have expired")),
        "{counted:?}"
    );
    let told = restore(&*driver, &dump, StageContext::new(run())).await;
    assert!(told.iter().any(|told| told.contains("1 had expired")), "{told:?}");
    let mut keys: Vec<String> = source.ask(0, &["KEYS", "*"]);
    keys.sort();
    assert_eq!(keys, ["later", "stays"]);
    assert_eq!(source.ask::<u64>(0, &["PEXPIRETIME", "later"]), expires);

    let options = json!({ "url": source.server.url(0), "databases": LIVE, "expiry": "relative" });
    let told = restore(&*crate::archive::driver(options), &dump, StageContext::new(run())).await;
    assert!(told.is_empty(), "{told:?}");
    assert!(source.ask::<bool>(0, &["EXISTS", "goes"]));
    assert!(source.ask::<u64>(0, &["PEXPIRETIME", "later"]) > expires + 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_into_empty_databases_is_read_to_be_counted_only_if_some_may_have_expired() {
    let Ground { source, driver, dump, .. } = Ground::new().await;
    source.clear();
    let part = dump.node.parts().next().unwrap();
    let mut content = Vec::new();
    dump.node.read(&part.name).unwrap().read_to_end(&mut content).unwrap();
    // Whoever reads on finds that it is cut off.
    content.truncate(content.len() / 2);
    let mut facts = dump.node.facts().clone();
    assert_eq!(facts["first_expiry_ms"], crate::restore_support::LATER.to_string());
    for (first_expiry, is_read) in [(None, false), (Some("never"), false), (Some("1"), true)] {
        if let Some(first_expiry) = first_expiry {
            facts.insert("first_expiry_ms".to_owned(), first_expiry.to_owned());
        }
        let mut node = Made::new(content.clone());
        Arc::get_mut(&mut node).unwrap().facts.clone_from(&facts);
        match driver.changes(node, &StageContext::new(run())).await {
            Ok(counted) => {
                assert!(!is_read);
                let keys = (counted.create.to_string(), counted.replace, counted.remove);
                assert_eq!(keys, (facts["keys"].clone(), 0, 0), "{counted:?}");
            }
            Err(error) => assert!(is_read, "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_goes_to_another_if_it_is_the_only_one() {
    let source = Source::new();
    source.seed(Seed::Ordinary);
    let dump = dump(&*driver(json!({ "url": source.server.url(3), "functions": false }))).await;
    let content = source.content(3).replace("database 3", "database 5");
    let before = source.fingerprint();
    let elsewhere = driver(json!({ "url": source.server.url(5) }));
    restore(&*elsewhere, &dump, StageContext::new(run())).await;
    assert_eq!(source.content(5), content);
    assert_eq!(source.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_all_sizes_and_servers_are_the_same_after_a_restore() {
    for (from, to) in [
        (RedisVersion::Redis6_0, RedisVersion::Redis6_0),
        (RedisVersion::Redis6_0, RedisVersion::Redis7_0),
        (RedisVersion::Redis7_0, RedisVersion::Redis8_0),
        (RedisVersion::Redis7_0, RedisVersion::Valkey9),
        (RedisVersion::Valkey8_1, RedisVersion::Valkey9),
        (RedisVersion::Redis8_0, RedisVersion::Redis8_0),
        (RedisVersion::Valkey9, RedisVersion::Valkey9),
    ] {
        let (old, new) = (Source::with(&RedisOptions::new(from)), Source::with(&RedisOptions::new(to)));
        for seed in [Seed::Ordinary, Seed::Hostile] {
            old.seed(seed);
            let dump = dump(&*driver_of(&old)).await;
            new.seed(Seed::Large);
            restore(&*driver_of(&new), &dump, StageContext::new(run())).await;
            let keys = |source: &Source, index| -> Vec<Vec<u8>> {
                let mut keys: Vec<Vec<u8>> = source.ask(index, &["KEYS", "*"]);
                keys.sort();
                keys
            };
            for index in LIVE {
                assert_eq!(keys(&old, index), keys(&new, index), "{from:?} {to:?} {seed:?}");
                if from != RedisVersion::Redis6_0 && to != RedisVersion::Redis6_0 && seed == Seed::Hostile {
                    let (old, new) = (old.content(index), new.content(index));
                    for (old, new) in old.lines().zip(new.lines()) {
                        assert_eq!(old, new, "{from:?} {to:?}");
                    }
                }
            }
            assert!(new.beside().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_hashes_expire_when_they_would_have() {
    for version in [RedisVersion::Redis8_0, RedisVersion::Valkey9] {
        let source = Source::with(&RedisOptions::new(version));
        source.run(0, &["HSET", "hash", "soon", "1", "later", "2", "never", "3"]);
        source.run(0, &["HPEXPIRE", "hash", "300", "FIELDS", "1", "soon"]);
        source.run(0, &["HPEXPIRE", "hash", "100000", "FIELDS", "1", "later"]);
        source.run(0, &["HSET", "fades", "soon", "1"]);
        source.run(0, &["HPEXPIRE", "fades", "300", "FIELDS", "1", "soon"]);
        let driver = driver_of(&source);
        let dump = dump(&*driver).await;
        let times = |source: &Source| -> Vec<i64> {
            source.ask(0, &["HPEXPIRETIME", "hash", "FIELDS", "2", "later", "never"])
        };
        let before = times(&source);
        std::thread::sleep(std::time::Duration::from_millis(400));
        restore(&*driver, &dump, StageContext::new(run())).await;
        assert_eq!(times(&source), before);
        let fields: Vec<String> = source.ask(0, &["HKEYS", "hash"]);
        assert!(!fields.contains(&"soon".to_owned()), "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_of_another_database_stay_with_their_times() {
    for version in [RedisVersion::Redis6_0, RedisVersion::Redis7_0] {
        let source = Source::with(&RedisOptions::new(version));
        source.run(0, &["SET", "both", "old"]);
        let driver = driver_of(&source);
        let dump = dump(&*driver).await;
        source.run(0, &["SET", "both", "new"]);
        source.run(0, &["SET", "extra", "1", "PX", "100000"]);
        source.run(3, &["SADD", "other", "a", "b"]);
        let cx = StageContext::new(run()).with_extras(Extras::Keep);
        let counted = driver.changes(dump.node.clone(), &cx).await.unwrap();
        assert_eq!((counted.create, counted.replace, counted.remove), (0, 1, 2), "{counted:?}");
        assert_eq!(counted.removes, ["0/extra", "3/other"]);
        restore(&*driver, &dump, cx).await;
        assert_eq!(source.ask::<String>(0, &["GET", "both"]), "old");
        assert!((1..100_001).contains(&source.ask::<i64>(0, &["PTTL", "extra"])));
        assert_eq!(source.ask::<u64>(3, &["SCARD", "other"]), 2);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_follow_the_keys_and_come_back_with_them() {
    let source = Source::new();
    source.seed(Seed::Ordinary);
    let driver = driver_of(&source);
    let dump = dump(&*driver).await;
    let dumped = source.functions();
    source.seed(Seed::Hostile);
    let before = source.functions();
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    assert_eq!(source.functions(), before);
    staging.commit().await.unwrap();
    assert_eq!(source.functions(), dumped);
    staging.rollback().await.unwrap();
    assert_eq!(source.functions(), before);

    let left =
        crate::archive::driver(json!({ "url": source.server.url(0), "databases": LIVE, "functions": false }));
    restore(&*left, &dump, StageContext::new(run())).await;
    assert_eq!(source.functions(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_the_server_does_not_take_are_found_before_the_swap() {
    let source = Source::new();
    source.run(0, &["SET", "a", "1"]);
    source.run(
        0,
        &["FUNCTION", "LOAD", "#!lua name=good\nredis.register_function('f', function() return 1 end)"],
    );
    let driver = driver_of(&source);
    let dump = dump(&*driver).await;
    source.run(0, &["FUNCTION", "FLUSH"]);
    // Of another library, yet of the same name: with `--extras keep` both can't be.
    source.run(
        0,
        &["FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('f', function() return 2 end)"],
    );
    let before = source.fingerprint();
    let mut staging =
        driver.stage(dump.node.clone(), StageContext::new(run()).with_extras(Extras::Keep)).await.unwrap();
    staging.begin().await.unwrap();
    load(&*staging, &*dump.node).await.unwrap();
    let error = staging.prepare().await.unwrap_err();
    assert!(error.hint().unwrap().contains("functions: false"), "{error:?}");
    assert_eq!(source.fingerprint(), before);
    staging.rollback().await.unwrap();
    assert_eq!(source.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_state_is_no_part_of_all_databases() {
    let source = Source::new();
    source.seed(Seed::Ordinary);
    let driver = driver(json!({ "url": source.server.url(0), "databases": "all" }));
    let first = dump(&*driver).await;
    let mut staging = prepared(&*driver, first.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    let kept = staging.finish(OldState::Keep).await.unwrap().unwrap();
    assert!(!source.beside().is_empty());
    let again = dump(&*driver).await;
    assert_eq!(again.node.facts()["keys_by_database"], first.node.facts()["keys_by_database"]);
    source.run(7, &["SET", "extra", "1"]);
    restore(&*driver, &again, StageContext::new(run())).await;
    assert!(!source.ask::<bool>(7, &["EXISTS", "extra"]));
    assert!(!source.beside().is_empty());
    driver.discard_previous(&kept).await.unwrap();
    assert!(source.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_last_and_how_often_is_kept() {
    for (policy, asked, least) in [("allkeys-lru", "IDLETIME", 500u64), ("allkeys-lfu", "FREQ", 100)] {
        let options = RedisOptions::new(RedisVersion::Redis7_0)
            .setting("maxmemory-policy", policy)
            .setting("lfu-decay-time", "0");
        let source = Source::with(&options);
        source.run(0, &["SET", "key", "1"]);
        let payload: Vec<u8> = source.ask(0, &["DUMP", "key"]);
        let mut made = cmd(&["RESTORE", "key", "0"]);
        made.arg(payload).arg("REPLACE").arg(if asked == "FREQ" { "FREQ" } else { "IDLETIME" });
        made.arg(if asked == "FREQ" { 120 } else { 1000 });
        source.server.run(0, &made);
        let driver = driver_of(&source);
        let dump = dump(&*driver).await;
        source.clear();
        restore(&*driver, &dump, StageContext::new(run())).await;
        let found: u64 = source.ask(0, &["OBJECT", asked, "key"]);
        assert!(found >= least, "{policy}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_keys_the_few_that_go_are_named() {
    let source = Source::new();
    let fill = "for i = 1, 5000 do redis.call('SET', 'key:' .. i, 'x') end";
    source.server.run(0, redis::cmd("EVAL").arg(fill).arg(0));
    let driver = driver_of(&source);
    let dump = dump(&*driver).await;
    for key in ["extra", "another"] {
        source.run(0, &["SET", key, "x"]);
    }
    let counted = driver.changes(dump.node.clone(), &StageContext::new(run())).await.unwrap();
    assert_eq!((counted.remove, counted.removes), (2, vec!["0/another".to_owned(), "0/extra".to_owned()]));
}
