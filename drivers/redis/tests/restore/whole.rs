//! Nothing becomes live that is not all there, nor anything but what was made.

use dumprestore_driver::{ErrorKind, OldState, StageContext};
use dumprestore_testkit::{RedisOptions, RedisVersion, Seed};
use serde_json::json;

use crate::archive::{Ground, driver, driver_of, dump, load, prepared, prepared_as, run, stage};
use crate::restore_support::{LIVE, Source};

/// Options of a node that is restored by swap, and of one that is by renaming.
fn both_methods(source: &Source) -> [serde_json::Value; 2] {
    let url = source.server.url(0);
    [json!({ "url": url, "databases": LIVE }), json!({ "url": url, "databases": LIVE, "include": ["*"] })]
}

async fn of_method(method: usize) -> Ground {
    let options = RedisOptions::new(RedisVersion::Redis7_0);
    Ground::with(&options, |source| driver(both_methods(source)[method].clone())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_gone_on_with_where_the_server_has_lost_part_of_the_load() {
    for method in 0..2 {
        for saved_after in ["begin", "load"] {
            let what = format!("method {method}, saved after {saved_after}");
            let Ground { source, driver, dump, before, .. } = of_method(method).await;
            let run = run();
            let cx = StageContext::new(run.clone());
            let mut staging = driver.stage(dump.node.clone(), cx).await.unwrap();
            staging.begin().await.unwrap();
            if saved_after == "begin" {
                source.save();
            }
            load(&*staging, &*dump.node).await.unwrap();
            if saved_after == "load" {
                source.save();
            }
            staging.prepare().await.unwrap();
            staging.commit().await.unwrap();
            let token = staging.journal();
            source.server.kill();
            source.server.restart();
            for _twice in 0..2 {
                let mut again = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
                let error = again.commit().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Stuck, "{what}: {error:?}");
                assert!(error.hint().is_some());
                assert!(source.content(0) == before_of(&before), "{what}");
            }
            let mut again = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
            again.rollback().await.unwrap();
            assert!(source.fingerprint() == before, "{what}");
            assert!(source.beside().is_empty(), "{what}: {:?}", source.beside());
        }
    }
}

/// The first database of a fingerprint.
fn before_of(fingerprint: &str) -> String {
    let end = fingerprint.find("database 3\n").unwrap();
    fingerprint[..end].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_said_to_be_over_where_somebody_has_emptied_what_was_staged() {
    let Ground { source, driver, dump, before, .. } = Ground::new().await;
    let run = run();
    let staging = prepared_as(run.clone(), &*driver, dump.node.clone()).await.unwrap();
    for index in [14, 15] {
        source.run(index, &["FLUSHDB"]);
    }
    let token = staging.journal();
    let mut again = driver.resume(&token, StageContext::new(run)).await.unwrap();
    let error = again.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
    again.rollback().await.unwrap();
    assert!(source.fingerprint() == before);
    assert!(source.beside().is_empty(), "{:?}", source.beside());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_that_is_empty_is_no_place_for_the_keys_of_another_node() {
    let source = Source::new();
    for order in [[0, 1], [1, 0]] {
        source.run(0, &["FLUSHALL"]);
        source.run(0, &["SET", "first", "1"]);
        source.run(15, &["SET", "second", "2"]);
        let drivers =
            [0, 15].map(|index| driver(json!({ "url": source.server.url(index), "functions": false })));
        let dumps = [dump(&*drivers[0]).await, dump(&*drivers[1]).await];
        source.run(0, &["FLUSHALL"]);
        let run = run();
        let mut stagings = Vec::new();
        for (driver, dump) in drivers.iter().zip(&dumps) {
            stagings.push(driver.stage(dump.node.clone(), StageContext::new(run.clone())).await.unwrap());
        }
        for at in order {
            stagings[at].begin().await.unwrap();
            load(&*stagings[at], &*dumps[at].node).await.unwrap();
        }
        assert!(!source.content(15).contains("first"));
        for at in order {
            stagings[at].prepare().await.unwrap();
        }
        stagings[1].commit().await.unwrap();
        stagings[0].rollback().await.unwrap();
        stagings[1].rollback().await.unwrap();
        let keyspace: String = source.ask(0, &["INFO", "keyspace"]);
        assert!(!keyspace.contains("keys="), "{keyspace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_live_database_of_a_restore_is_not_where_another_keeps_its_old_keys() {
    let source = Source::new();
    source.run(0, &["SET", "first", "1"]);
    source.run(15, &["SET", "second", "2"]);
    let drivers = [0, 15].map(|index| driver(json!({ "url": source.server.url(index), "functions": false })));
    let dumps = [dump(&*drivers[0]).await, dump(&*drivers[1]).await];
    source.run(15, &["FLUSHDB"]);
    source.run(0, &["SET", "first", "changed"]);
    let mut second = prepared(&*drivers[1], dumps[1].node.clone()).await.unwrap();
    let mut first = prepared(&*drivers[0], dumps[0].node.clone()).await.unwrap();
    first.commit().await.unwrap();
    let kept = first.finish(OldState::Keep).await.unwrap().unwrap();
    second.commit().await.unwrap();
    second.finish(OldState::Drop).await.unwrap();
    assert_eq!(source.ask::<String>(15, &["GET", "second"]), "2");
    let mut back = drivers[0].stage_previous(&kept, StageContext::new(run())).await.unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    back.finish(OldState::Drop).await.unwrap();
    assert_eq!(source.ask::<String>(0, &["GET", "first"]), "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_which_a_state_is_kept_is_not_restored_into() {
    let source = Source::new();
    source.seed(Seed::Ordinary);
    let one = driver_of(&source);
    let archived = dump(&*one).await;
    let mut staging = prepared(&*one, archived.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Keep).await.unwrap().unwrap();
    let kept = source.content(15);
    let other = driver(json!({ "url": source.server.url(15), "functions": false }));
    let small = driver(json!({ "url": source.server.url(3), "functions": false }));
    let dump = dump(&*small).await;
    let mut staging = stage(&*other, dump.node.clone()).await.unwrap();
    let error = staging.begin().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
    staging.rollback().await.unwrap();
    assert_eq!(source.content(15), kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_among_staged_keys_after_they_were_counted_does_not_become_live() {
    for (write, clean) in
        [(["SET", "mine", "1"], ["DEL", "mine", "mine"]), (["DEL", "tags", "queue"], ["DEL", "x", "y"])]
    {
        let Ground { source, driver, dump, before, .. } = Ground::new().await;
        let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
        // Of the first database, they are in the last one.
        source.run(15, &write);
        let error = staging.commit().await.unwrap_err();
        assert!(error.hint().is_some(), "{error:?}");
        assert!(source.fingerprint() == before);
        source.run(15, &clean);
        staging.rollback().await.unwrap();
        assert!(source.fingerprint() == before);
        assert!(source.beside().is_empty(), "{:?}", source.beside());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_state_that_is_not_as_it_was_kept_is_not_put_back() {
    for change in [["DEL", "large"].as_slice(), &["SET", "mine", "1"]] {
        let Ground { source, driver, dump, .. } = Ground::new().await;
        let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
        staging.commit().await.unwrap();
        let kept = staging.finish(OldState::Keep).await.unwrap().unwrap();
        source.run(15, change);
        let live = source.fingerprint();
        let mut back = driver.stage_previous(&kept, StageContext::new(run())).await.unwrap();
        let error = back.begin().await.unwrap_err();
        assert!(error.message().contains("kept"), "{error:?}");
        back.rollback().await.unwrap();
        assert!(source.fingerprint() == live);
        let marks: Vec<Vec<String>> =
            LIVE.iter().map(|index| source.ask(*index, &["KEYS", "dumprestore:*"])).collect();
        assert!(marks.iter().all(Vec::is_empty), "{marks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_time_runs_out_while_it_stands_aside_leaves_nothing_of_the_archive_behind() {
    let source = Source::new();
    source.clear();
    source.run(0, &["SET", "passing", "archived"]);
    let driver = driver(both_methods(&source)[1].clone());
    let dump = dump(&*driver).await;
    source.run(0, &["SET", "passing", "old"]);
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    source.run(0, &["PEXPIRE", "passing", "700"]);
    staging.commit().await.unwrap();
    assert_eq!(source.ask::<String>(0, &["GET", "passing"]), "archived");
    // It has gone once the server has no such key.
    while source.ask::<Vec<String>>(0, &["KEYS", "dumprestore:*:old:passing"]).len() == 1 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for _twice in 0..2 {
        staging.rollback().await.unwrap();
        assert!(!source.ask::<bool>(0, &["EXISTS", "passing"]));
    }
    assert!(source.beside().is_empty(), "{:?}", source.beside());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_functions_the_server_does_not_take_is_not_half_done() {
    let Ground { source, driver, dump, before, .. } = Ground::new().await;
    let run = run();
    let mut staging = prepared_as(run.clone(), &*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    let after = source.fingerprint();
    let field = format!("{run}:0:functions");
    let own: Vec<u8> = source.ask(15, &["HGET", "dumprestore:restore", &field]);
    source.run(15, &["HSET", "dumprestore:restore", &field, "of no use"]);
    for _twice in 0..2 {
        staging.rollback().await.unwrap_err();
        assert!(source.fingerprint() == after);
    }
    redis::cmd("HSET")
        .arg("dumprestore:restore")
        .arg(&field)
        .arg(own)
        .exec(&mut source.connection(15))
        .unwrap();
    staging.rollback().await.unwrap();
    assert!(source.fingerprint() == before);
    assert!(source.beside().is_empty(), "{:?}", source.beside());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_was_to_keep_the_old_state_says_that_there_is_none_to_put_back() {
    let Ground { source, driver, dump, .. } = of_method(1).await;
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    let kept = staging.finish(OldState::Keep).await.unwrap().unwrap();
    assert!(staging.ledger().iter().any(|entry| entry.degrades), "{:?}", staging.ledger());
    let live = source.fingerprint();
    let error = driver.stage_previous(&kept, StageContext::new(run())).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.hint().unwrap().contains("--only"), "{error:?}");
    for _twice in 0..2 {
        driver.discard_previous(&kept).await.unwrap();
    }
    assert!(source.fingerprint() == live);
    assert!(source.beside().is_empty(), "{:?}", source.beside());
}
