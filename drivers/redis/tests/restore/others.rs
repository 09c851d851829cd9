//! Others who use the server meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use dumprestore_driver::{ErrorKind, OldState, StageContext};
use dumprestore_testkit::Seed;
use serde_json::json;

use crate::archive::{Ground, driver, driver_of, dump, load, prepared, run, stage};
use crate::restore_support::{LIVE, Source};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_somebody_begins_to_use_is_not_taken() {
    let Ground { source, driver, dump, .. } = Ground::new().await;
    let mut staging = stage(&*driver, dump.node.clone()).await.unwrap();
    source.run(15, &["SET", "mine", "1"]);
    staging.begin().await.unwrap();
    assert_eq!(source.ask::<Vec<String>>(15, &["KEYS", "*"]), ["mine"]);
    load(&*staging, &*dump.node).await.unwrap();
    staging.prepare().await.unwrap();
    staging.rollback().await.unwrap();
    assert_eq!(source.beside(), ["database 15".to_owned()].into());
    assert_eq!(source.ask::<Vec<String>>(15, &["KEYS", "*"]), ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_among_staged_keys_is_neither_made_live_nor_lost() {
    for (key, expires) in [("mine", false), ("customer:1", false), ("passing", true)] {
        let Ground { source, driver, dump, before, .. } = Ground::new().await;
        let mut staging = stage(&*driver, dump.node.clone()).await.unwrap();
        staging.begin().await.unwrap();
        // The databases that are taken first: those from the back.
        source.run(15, &["SET", key, "1"]);
        let loaded = load(&*staging, &*dump.node).await;
        if expires {
            source.run(15, &["PEXPIRE", key, "10000000"]);
        }
        let error = match loaded {
            Ok(()) => staging.prepare().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(
            error.hint().unwrap().contains("somebody else") || error.message().contains("somebody else"),
            "{error:?}"
        );
        for _twice in 0..2 {
            let error = staging.rollback().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
            assert!(source.fingerprint() == before);
            assert_eq!(source.ask::<String>(15, &["GET", key]), "1");
        }
        assert_eq!(source.beside(), ["database 15".to_owned()].into());
        source.run(15, &["FLUSHDB"]);
        staging.rollback().await.unwrap();
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_among_the_old_keys_is_not_lost() {
    let Ground { source, driver, dump, .. } = Ground::new().await;
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    source.run(15, &["SET", "mine", "1"]);
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(source.ask::<String>(15, &["GET", "mine"]), "1");
    let told = staging.ledger();
    assert!(
        told.iter().any(|entry| entry.what == "database 15" && entry.why.contains("was not emptied")),
        "{told:?}"
    );
    assert_eq!(source.beside(), ["database 15".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_goes_on_during_the_load() {
    let source = Source::new();
    source.seed(Seed::Large);
    let driver = driver_of(&source);
    let dump = dump(&*driver).await;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let written = scope.spawn(|| {
            let mut connection = source.connection(0);
            let mut count = 0u64;
            while !stop.load(Ordering::Relaxed) {
                count = redis::cmd("INCR").arg("count").query(&mut connection).unwrap();
            }
            count
        });
        let staging = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
                staging.rollback().await.unwrap();
                prepared(&*driver, dump.node.clone()).await.unwrap()
            })
        });
        stop.store(true, Ordering::Relaxed);
        let written = written.join().unwrap();
        assert_eq!(source.ask::<u64>(0, &["GET", "count"]), written);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut staging = staging;
                staging.commit().await.unwrap();
                assert!(!source.ask::<bool>(0, &["EXISTS", "count"]));
                staging.rollback().await.unwrap();
                assert_eq!(source.ask::<u64>(0, &["GET", "count"]), written);
            });
        });
    });
    assert!(source.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_server_are_restored_side_by_side() {
    let source = Source::new();
    source.seed(Seed::Ordinary);
    let dumped = source.fingerprint();
    let drivers = LIVE.map(|index| driver(json!({ "url": source.server.url(index), "functions": false })));
    let dumps = [dump(&*drivers[0]).await, dump(&*drivers[1]).await];
    source.mutate();
    let before = source.fingerprint();
    let run = run();
    let mut stagings = Vec::new();
    for (driver, dump) in drivers.iter().zip(&dumps) {
        stagings.push(driver.stage(dump.node.clone(), StageContext::new(run.clone())).await.unwrap());
    }
    for staging in &mut stagings {
        staging.begin().await.unwrap();
    }
    for (staging, dump) in stagings.iter().zip(&dumps) {
        load(&**staging, &*dump.node).await.unwrap();
    }
    for staging in &mut stagings {
        staging.prepare().await.unwrap();
        staging.commit().await.unwrap();
    }
    assert_eq!(source.fingerprint(), dumped);
    for staging in &mut stagings {
        staging.rollback().await.unwrap();
    }
    assert_eq!(source.fingerprint(), before);
    assert!(source.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_another_came_after_is_not_undone() {
    let Ground { source, driver, dump, .. } = Ground::new().await;
    let mut first = prepared(&*driver, dump.node.clone()).await.unwrap();
    first.commit().await.unwrap();
    let mut second = prepared(&*driver, dump.node.clone()).await.unwrap();
    second.commit().await.unwrap();
    second.finish(OldState::Drop).await.unwrap();
    let after = source.fingerprint();
    let error = first.rollback().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
    assert_eq!(source.fingerprint(), after);
    first.finish(OldState::Drop).await.unwrap();
    assert!(source.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_that_somebody_has_removed_are_not_said_to_be_back() {
    let Ground { source, driver, dump, .. } = Ground::new().await;
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    let live = source.fingerprint();
    source.run(15, &["FLUSHDB"]);
    for _twice in 0..2 {
        let error = staging.rollback().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
        assert!(error.message().contains("the old ones are not there"), "{error:?}");
    }
    // The other database is undone.
    assert_ne!(source.fingerprint(), live + "x");
}
