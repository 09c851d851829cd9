//! What was restored stays, whatever becomes of the server.

use dumprestore_driver::{Extras, OldState, StageContext};
use dumprestore_testkit::{RedisOptions, RedisVersion, Seed, soon};
use serde_json::{Value, json};

use crate::archive::{Ground, driver, driver_of, dump, load, prepared, run, stage};
use crate::restore_support::{LIVE, Source};

const V: RedisVersion = RedisVersion::Redis7_0;

fn saves_at_times() -> RedisOptions {
    RedisOptions::new(V).setting("save", "3600 1")
}

/// With swapped databases, and with renamed keys.
fn methods(source: &Source) -> [Value; 2] {
    [
        json!({ "url": source.server.url(0), "databases": LIVE }),
        json!({ "url": source.server.url(0), "databases": LIVE, "exclude": ["nobody's"] }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_saves_now_and_then_has_what_was_restored_if_it_is_killed_at_the_end() {
    for at in [0, 1] {
        let Ground { source, driver, dump, dumped, .. } =
            Ground::with(&saves_at_times(), |source| driver(methods(source)[at].clone())).await;
        source.save();
        let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert!(staging.ledger().iter().all(|entry| entry.what != "persistence"), "{:?}", staging.ledger());
        source.server.kill();
        source.server.restart();
        assert_eq!(source.fingerprint(), dumped);
        assert!(source.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_or_may_not_save_is_told_of() {
    let options = saves_at_times().user("ops", "on >secret ~* +@all -@admin +config|get");
    let source = Source::with(&options);
    source.seed(Seed::Ordinary);
    let by_all = driver_of(&source);
    let ops = driver(
        json!({ "url": source.server.url(0), "databases": LIVE, "user": "ops", "password": "secret" }),
    );
    let dump = dump(&*by_all).await;
    let changes = by_all.changes(dump.node.clone(), &StageContext::new(run())).await.unwrap();
    assert!(changes.notes.iter().any(|note| note.contains("`BGSAVE`")), "{changes:?}");

    let mut staging = prepared(&*ops, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    let told = staging.ledger();
    let entry = told.iter().find(|entry| entry.what == "persistence").unwrap();
    assert!(entry.why.contains("bgsave") && !entry.degrades, "{entry:?}");

    let mut staging = prepared(&*by_all, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    // A folder is where its file is to be.
    std::fs::remove_file(source.server.folder().join("data/dump.rdb")).ok();
    std::fs::create_dir(source.server.folder().join("data/dump.rdb")).unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    let told = staging.ledger();
    let entry = told.iter().find(|entry| entry.what == "persistence").unwrap();
    assert!(entry.why.contains("can't save") && entry.degrades, "{entry:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_fall_behind_are_waited_for_and_not_lost() {
    let from = Source::new();
    // 60 MB that can't be compressed much.
    let script = "for i = 1, 300 do local t = {} for j = 1, 5000 do t[j] = redis.sha1hex(i .. ' ' .. j) end \
                  redis.call('SET', 'key:' .. i, table.concat(t)) end";
    from.server.run(0, redis::cmd("EVAL").arg(script).arg(0));
    let dump = dump(&*driver(json!({ "url": from.server.url(0) }))).await;
    let limit = RedisOptions::new(V).line("client-output-buffer-limit replica 30mb 30mb 0");
    let primary = Source::with(&limit);
    let replica = RedisOptions::new(V).replica_of(&primary.server).start();
    soon("a replica", || {
        replica.info("master_link_status") == "up" && primary.server.info("connected_slaves") == "1"
    });
    let syncs = primary.server.info("sync_full");
    let to = driver(json!({ "url": primary.server.url(0) }));
    let mut staging = stage(&*to, dump.node.clone()).await.unwrap();
    staging.begin().await.unwrap();
    std::thread::scope(|scope| {
        let sleeps = scope.spawn(|| replica.run(0, redis::cmd("DEBUG").arg("SLEEP").arg("2")));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(load(&*staging, &*dump.node)).unwrap();
        });
        sleeps.join().unwrap();
    });
    staging.prepare().await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    // Nothing is on its way any more.
    assert_eq!(replica.ask::<u64>(0, &redis::cmd("DBSIZE")), 300);
    assert_eq!(primary.server.info("sync_full"), syncs, "it was never lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_and_one_empty_database_one_swaps_and_one_renames() {
    let source = Source::with(&RedisOptions::new(V).setting("databases", "3"));
    let drivers = [0, 1].map(|index| driver(json!({ "url": source.server.url(index), "functions": false })));
    for index in [0, 1] {
        source.run(index, &["SET", "key", "dumped"]);
    }
    let dumps = [dump(&*drivers[0]).await, dump(&*drivers[1]).await];
    for index in [0, 1] {
        source.run(index, &["SET", "key", "changed"]);
    }
    let run = run();
    let cx = || StageContext::new(run.clone()).with_extras(Extras::Remove);
    let mut renames = Vec::new();
    for (driver, dump) in drivers.iter().zip(&dumps) {
        let changes = driver.changes(dump.node.clone(), &cx()).await.unwrap();
        renames.push(changes.notes.iter().any(|note| note.contains("renamed one after the other")));
    }
    assert_eq!(renames, [false, true], "the plan says it");
    let mut stagings = Vec::new();
    for (driver, dump) in drivers.iter().zip(&dumps) {
        stagings.push(driver.stage(dump.node.clone(), cx()).await.unwrap());
    }
    for (staging, dump) in stagings.iter_mut().zip(&dumps) {
        staging.begin().await.unwrap();
        load(&**staging, &*dump.node).await.unwrap();
        staging.prepare().await.unwrap();
    }
    for staging in &mut stagings {
        staging.commit().await.unwrap();
    }
    for index in [0, 1] {
        assert_eq!(source.ask::<String>(index, &["GET", "key"]), "dumped");
    }
    for staging in &mut stagings {
        staging.rollback().await.unwrap();
    }
    for index in [0, 1] {
        assert_eq!(source.ask::<String>(index, &["GET", "key"]), "changed");
    }
    assert_eq!(source.ask::<u64>(2, &["DBSIZE"]), 0);
}
