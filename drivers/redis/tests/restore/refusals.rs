//! What is refused, and leaves everything as it was.

use dumprestore_driver::{ArchivedNode, Driver, Error, ErrorKind, StageContext};
use dumprestore_testkit::{RedisOptions, RedisVersion, Seed};
use serde_json::json;

use crate::archive::{Dump, Ground, Made, driver, driver_of, dump, prepared, run, stage};
use crate::restore_support::{LIVE, Source};

/// The error of a restore that is refused before anything is changed.
async fn refused(driver: &dyn Driver, dump: &Dump) -> Error {
    stage(driver, dump.node.clone()).await.err().expect("a refusal")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_server_has_dumped_is_refused_before_anything_changes() {
    for (from, to) in [
        (RedisVersion::Redis8_0, RedisVersion::Redis7_0),
        (RedisVersion::Redis7_0, RedisVersion::Redis6_0),
        (RedisVersion::Valkey9, RedisVersion::Redis8_0),
        (RedisVersion::Redis8_0, RedisVersion::Valkey9),
    ] {
        let (old, new) = (Source::with(&RedisOptions::new(from)), Source::with(&RedisOptions::new(to)));
        old.seed(Seed::Ordinary);
        new.seed(Seed::Hostile);
        let before = new.fingerprint();
        let dump = dump(&*driver_of(&old)).await;
        let error = refused(&*driver_of(&new), &dump).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(driver_of(&new).changes(dump.node.clone(), &StageContext::new(run())).await.is_err());
        assert_eq!(new.fingerprint(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_swap_is_refused_before_anything_changes() {
    for missing in ["swapdb", "flushdb", "restore", "hset", "multi", "exec", "watch", "hgetall"] {
        let options = RedisOptions::new(RedisVersion::Redis7_0)
            .user("limited", &format!("on >secret ~* &* +@all -{missing}"));
        let Ground { source, dump, before, .. } = Ground::with(&options, driver_of).await;
        let url = format!("redis://limited:secret@127.0.0.1:{}", source.server.port());
        let error = refused(&*driver(json!({ "url": url, "databases": LIVE })), &dump).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("NOPERM"), "{error:?}");
        assert_eq!(source.fingerprint(), before);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_rename_is_refused_before_anything_changes() {
    for missing in ["rename", "set", "unlink", "eval", "pttl", "exec", "scan"] {
        let options = RedisOptions::new(RedisVersion::Redis7_0)
            .user("limited", &format!("on >secret ~* &* +@all -{missing}"));
        let Ground { source, dump, before, .. } = Ground::with(&options, driver_of).await;
        let url = format!("redis://limited:secret@127.0.0.1:{}", source.server.port());
        let error =
            refused(&*driver(json!({ "url": url, "databases": LIVE, "include": ["*"] })), &dump).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("NOPERM"), "{error:?}");
        assert_eq!(source.fingerprint(), before);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_the_server_refuses_leaves_the_old_keys() {
    for (undo, refusing) in [
        (
            ["ACL", "SETUSER", "limited", "+swapdb"].as_slice(),
            ["ACL", "SETUSER", "limited", "-swapdb"].as_slice(),
        ),
        (&["REPLICAOF", "NO", "ONE"], &["REPLICAOF", "127.0.0.1", "1"]),
        (&["CONFIG", "SET", "min-replicas-to-write", "0"], &["CONFIG", "SET", "min-replicas-to-write", "1"]),
        (&["CONFIG", "SET", "maxmemory", "0"], &["CONFIG", "SET", "maxmemory", "1"]),
    ] {
        let options = RedisOptions::new(RedisVersion::Redis7_0).user("limited", "on >secret ~* &* +@all");
        let Ground { source, dump, before, .. } = Ground::with(&options, driver_of).await;
        let url = format!("redis://limited:secret@127.0.0.1:{}", source.server.port());
        let driver = driver(json!({ "url": url, "databases": LIVE }));
        let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
        source.run(0, refusing);
        let error = staging.commit().await.unwrap_err();
        assert!(error.hint().is_some(), "{error:?}");
        assert_eq!(source.fingerprint(), before, "{refusing:?}");
        source.run(0, undo);
        staging.rollback().await.unwrap();
        assert_eq!(source.fingerprint(), before);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused() {
    let Ground { source, dump, .. } = Ground::new().await;
    let replica = Source::with(&RedisOptions::new(RedisVersion::Redis7_0).replica_of(&source.server));
    let error = refused(&*driver_of(&replica), &dump).await;
    assert!(error.message().contains("replica"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_live_key_goes_where_both_have_no_room() {
    for policy in ["allkeys-lru", "noeviction"] {
        let options = RedisOptions::new(RedisVersion::Redis7_0).setting("maxmemory-policy", policy);
        let source = Source::with(&options);
        source.seed(Seed::Large);
        let driver = driver_of(&source);
        let dump = dump(&*driver).await;
        let used: u64 = source.server.info("used_memory").parse().unwrap();
        source.run(0, &["CONFIG", "SET", "maxmemory", &(used + (3 << 20)).to_string()]);
        let before = source.fingerprint();
        let mut staging = stage(&*driver, dump.node.clone()).await.unwrap();
        staging.begin().await.unwrap();
        let error = crate::archive::load(&*staging, &*dump.node).await.unwrap_err();
        assert!(error.hint().unwrap().contains("maxmemory"), "{error:?}");
        assert_eq!(source.server.info("evicted_keys"), "0");
        staging.rollback().await.unwrap();
        assert_eq!(source.fingerprint(), before);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_live_key_goes_for_values_that_are_packed_in_the_archive() {
    for policy in ["allkeys-random", "allkeys-lru"] {
        let options = RedisOptions::new(RedisVersion::Redis7_0).setting("maxmemory-policy", policy);
        let source = Source::with(&options);
        let mut pipe = redis::pipe();
        for at in 0..3000 {
            pipe.set(format!("page:{at}"), "<td>html</td>".repeat(500));
        }
        pipe.exec(&mut source.connection(0)).unwrap();
        source.run(0, &["SET", "list", "short"]);
        let driver = driver_of(&source);
        let dump = dump(&*driver).await;
        let used: u64 = source.server.info("used_memory").parse().unwrap();
        source.run(0, &["CONFIG", "SET", "maxmemory", &(used + (10 << 20)).to_string()]);
        let before = source.fingerprint();
        let changes = driver.changes(dump.node.clone(), &StageContext::new(run())).await.unwrap();
        assert!(changes.needs_bytes > changes.free_bytes, "{changes:?}");
        let mut staging = stage(&*driver, dump.node.clone()).await.unwrap();
        staging.begin().await.unwrap();
        let error = crate::archive::load(&*staging, &*dump.node).await.unwrap_err();
        assert!(error.hint().unwrap().contains("maxmemory"), "{error:?}");
        assert_eq!(source.server.info("evicted_keys"), "0");
        staging.rollback().await.unwrap();
        assert_eq!(source.fingerprint(), before);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_fails_if_the_server_evicts_for_whatever_reason_and_says_so() {
    let options = RedisOptions::new(RedisVersion::Redis7_0).setting("maxmemory-policy", "allkeys-random");
    let source = Source::with(&options);
    source.seed(Seed::Large);
    let driver = driver_of(&source);
    let dump = dump(&*driver).await;
    let mut staging = stage(&*driver, dump.node.clone()).await.unwrap();
    staging.begin().await.unwrap();
    crate::archive::load(&*staging, &*dump.node).await.unwrap();
    let used: u64 = source.server.info("used_memory").parse().unwrap();
    source.run(9, &["SET", "of the application", "x"]);
    source.run(0, &["CONFIG", "SET", "maxmemory", &(used - (64 << 10)).to_string()]);
    source.run(9, &["SET", "of the application", "y"]);
    source.run(0, &["CONFIG", "SET", "maxmemory", "0"]);
    assert_ne!(source.server.info("evicted_keys"), "0");
    let error = staging.prepare().await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("the server has evicted keys"), "{text}");
    staging.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_server_takes_not_at_once_is_refused() {
    let Ground { source, driver, dump, before, .. } = Ground::new().await;
    source.seed(Seed::Hostile);
    let large = crate::archive::dump(&*driver).await;
    source.run(0, &["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
    let error = refused(&*driver, &large).await;
    assert!(error.hint().unwrap().contains("proto-max-bulk-len"), "{error:?}");
    prepared(&*driver, dump.node.clone()).await.unwrap().rollback().await.unwrap();
    assert_eq!(source.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_cut_off_or_altered_is_refused() {
    let Ground { source, driver, dump, before, .. } = Ground::new().await;
    let part = dump.node.parts().next().unwrap();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut dump.node.read(&part.name).unwrap(), &mut content).unwrap();
    let mut altered = content.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let mut longer = content.clone();
    longer.push(0);
    for wrong in [content[..content.len() - 1].to_vec(), content[..middle].to_vec(), altered, longer] {
        let node = Made::new(wrong);
        let error = match stage(&*driver, node.clone()).await {
            Err(error) => error,
            Ok(mut staging) => {
                staging.begin().await.unwrap();
                let error = crate::archive::load(&*staging, &*node).await.unwrap_err();
                staging.rollback().await.unwrap();
                error
            }
        };
        assert_eq!(error.kind(), ErrorKind::Archive, "{error:?}");
        assert_eq!(source.fingerprint(), before);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_with_keys_of_a_database_that_it_does_not_name_is_refused() {
    for patterns in [json!([]), json!(["nobody's"])] {
        let Ground { source, dump, before, .. } = Ground::new().await;
        let driver = driver(json!({ "url": source.server.url(0), "databases": [0, 3], "exclude": patterns }));
        let part = dump.node.parts().next().unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut dump.node.read(&part.name).unwrap(), &mut content).unwrap();
        let mut node = Made::new(content);
        std::sync::Arc::get_mut(&mut node)
            .unwrap()
            .facts
            .insert("keys_by_database".to_owned(), "0: 1".to_owned());
        let mut staging = stage(&*driver, node.clone()).await.unwrap();
        staging.begin().await.unwrap();
        let error = crate::archive::load(&*staging, &*node).await.unwrap_err();
        assert!(error.to_string().contains("does not name"), "{error:?}");
        staging.rollback().await.unwrap();
        assert_eq!(source.fingerprint(), before);
    }
}
