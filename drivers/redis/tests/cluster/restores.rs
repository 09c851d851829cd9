//! Restores into clusters.

use dumprestore_driver::{Driver, Extras, OldState, StageContext, Token};
use dumprestore_testkit::{RedisCluster, RedisServer, RedisVersion, soon};
use serde_json::json;

use crate::archive::{Dump, driver, dump, load, prepared, run as new_run};
use crate::restore_support::cmd;
use crate::shop::{Ground, V, change, content, driver_of, fill, functions, lease, own};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_put_back_and_back_again() {
    let Ground { cluster, driver, dump, dumped, changed } = Ground::of(lease()).await;
    assert!(changed != dumped);

    let changes = driver.changes(dump.node.clone(), &StageContext::new("run")).await.unwrap();
    assert_eq!((changes.create, changes.remove), (101, 100), "{changes:?}");
    assert!(changes.notes.iter().any(|note| note.contains("3 primaries")));

    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.rollback().await.unwrap();
    assert!(content(cluster.nodes()) == changed, "rolled back");

    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert!(content(cluster.nodes()) == dumped, "restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_one_server_go_to_the_primaries_that_have_their_slots() {
    let (server, cluster) = (RedisServer::start(V), lease());
    for at in 0..2000 {
        server.run(0, &cmd(&["SET", &format!("{{a:{}}}:{at}", at % 700), "x"]));
    }
    let dump = dump(&*driver_of(&server.url(0))).await;
    functions(&cluster, "own");
    fill(&cluster);
    let before = content(cluster.nodes());
    let to = driver(json!({ "url": cluster.nodes()[2].url(0), "functions": false }));
    let run = new_run();
    let cx = StageContext::new(run.clone()).with_extras(Extras::Keep);
    let mut staging = to.stage(dump.node.clone(), cx).await.unwrap();
    staging.begin().await.unwrap();
    load(&*staging, &*dump.node).await.unwrap();
    staging.prepare().await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    let after = content(cluster.nodes());
    assert_eq!(after.len(), before.len() + 2000);
    assert!(before.iter().all(|(key, value)| after.get(key) == Some(value)));
}

/// After which steps the process ends.
const STEPS: [&str; 5] = ["planned", "begun", "loaded", "prepared", "committed"];

async fn left_after(driver: &dyn Driver, dump: &Dump, steps: usize) -> (Token, String) {
    let run = new_run();
    let mut staging = driver.stage(dump.node.clone(), StageContext::new(run.clone())).await.unwrap();
    let token = staging.journal();
    if steps > 0 {
        staging.begin().await.unwrap();
    }
    if steps > 1 {
        load(&*staging, &*dump.node).await.unwrap();
    }
    if steps > 2 {
        staging.prepare().await.unwrap();
    }
    let token = if steps > 0 { staging.journal() } else { token };
    if steps > 3 {
        staging.commit().await.unwrap();
    }
    (token, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_after_any_step_leaves_what_can_be_undone_and_done() {
    let Ground { cluster, driver, dump, dumped, changed } = Ground::of(lease()).await;
    for (steps, name) in STEPS.iter().enumerate() {
        let (token, run) = left_after(&*driver, &dump, steps).await;
        for _twice in 0..2 {
            let mut again = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
            again.rollback().await.unwrap();
            assert!(content(cluster.nodes()) == changed, "{name}");
        }
    }
    for steps in [3, 4] {
        change(&cluster);
        let (token, run) = left_after(&*driver, &dump, steps).await;
        for _twice in 0..2 {
            let mut again = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
            again.commit().await.unwrap();
            again.finish(OldState::Drop).await.unwrap();
            assert!(content(cluster.nodes()) == dumped, "{steps}");
        }
    }
}

/// Microseconds after which a node is killed while it is committed, or rolled back.
const MOMENTS: [u64; 8] = [0, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000];

fn up_again(cluster: &RedisCluster, node: &RedisServer) {
    node.restart();
    soon("a cluster", || {
        cluster.nodes().iter().all(|node| {
            let info: String = node.ask(0, &cmd(&["CLUSTER", "INFO"]));
            info.contains("cluster_state:ok")
        })
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_while_keys_are_renamed_is_recovered() {
    let Ground { cluster, driver, dump, changed, .. } = Ground::of(own()).await;
    for (at, after) in MOMENTS.into_iter().enumerate() {
        let (token, run) = left_after(&*driver, &dump, 3).await;
        let victim = &cluster.nodes()[at % 3];
        let mut staging = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_micros(after));
                victim.kill();
            });
            let _whatever = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(staging.commit()).is_ok()
            });
        });
        up_again(&cluster, victim);
        for _twice in 0..2 {
            let mut again = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
            again.rollback().await.unwrap();
            assert!(content(cluster.nodes()) == changed, "killed after {after} us");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_started_again_since_is_not_committed_into() {
    let Ground { cluster, driver, dump, changed, .. } = Ground::of(own()).await;
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    cluster.nodes()[1].kill();
    up_again(&cluster, &cluster.nodes()[1]);
    let error = staging.commit().await.unwrap_err();
    assert!(error.to_string().contains("has changed since"), "{error:?}");
    staging.rollback().await.unwrap();
    assert!(content(cluster.nodes()) == changed);
}

/// The names of staged keys, at each node.
fn staged(cluster: &RedisCluster) -> Vec<Vec<Vec<u8>>> {
    let names = |node: &RedisServer| node.ask(0, &cmd(&["KEYS", "dumprestore:restore:*:new:*"]));
    cluster.nodes().iter().map(names).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_go_after_they_were_counted_keep_the_rest_from_becoming_live() {
    let Ground { cluster, driver, dump, changed, .. } = Ground::of(lease()).await;
    for resumed in [false, true] {
        let (token, run) = left_after(&*driver, &dump, 3).await;
        let mut staging = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
        if !resumed {
            staging.rollback().await.unwrap();
            staging = prepared(&*driver, dump.node.clone()).await.unwrap();
        }
        let lasting = |name: &&Vec<u8>| name.windows(4).any(|part| part == b"key:");
        let names = staged(&cluster);
        let gone = names[1].iter().find(lasting).unwrap();
        cluster.nodes()[1].run(0, redis::cmd("DEL").arg(gone));
        let error = staging.commit().await.unwrap_err();
        assert!(error.to_string().contains("not as many new keys are there as were made"), "{error:?}");
        staging.rollback().await.unwrap();
        assert!(content(cluster.nodes()) == changed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_becomes_live_once_a_primary_has_evicted_keys() {
    let Ground { cluster, driver, dump, .. } = Ground::of(own()).await;
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    let node = &cluster.nodes()[2];
    node.run(0, &cmd(&["CONFIG", "SET", "maxmemory-policy", "volatile-random", "maxmemory", "1mb"]));
    soon("an eviction", || node.info("evicted_keys") != "0");
    node.run(0, &cmd(&["CONFIG", "SET", "maxmemory", "0"]));
    let error = staging.commit().await.unwrap_err();
    assert!(error.to_string().contains("has evicted keys"), "{error:?}");
    staging.rollback().await.unwrap();
    assert!(staged(&cluster).concat().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_restores_that_begin_at_once_no_two_go_on() {
    let Ground { cluster, driver, dump, changed, .. } = Ground::of(lease()).await;
    for _ in 0..20 {
        let stage = || driver.stage(dump.node.clone(), StageContext::new(new_run()));
        let (mut one, mut other) = (stage().await.unwrap(), stage().await.unwrap());
        let (first, second) = tokio::join!(one.begin(), other.begin());
        assert!(first.is_err() || second.is_err());
        for refused in [first, second].into_iter().filter_map(Result::err) {
            assert_eq!(refused.kind(), dumprestore_driver::ErrorKind::Locked, "{refused:?}");
        }
        one.rollback().await.unwrap();
        other.rollback().await.unwrap();
    }
    assert!(content(cluster.nodes()) == changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_supported_cluster_takes_a_dump_of_its_own() {
    for version in
        [RedisVersion::Redis6_0, RedisVersion::Redis8_0, RedisVersion::Valkey8_1, RedisVersion::Valkey9]
    {
        let cluster = RedisCluster::start(version);
        let sizes =
            || cluster.nodes().iter().map(|node| node.ask::<u64>(0, &cmd(&["DBSIZE"]))).collect::<Vec<_>>();
        for at in 0..100 {
            let key = format!("key:{at}");
            crate::shop::run(&cluster, key.as_bytes(), &cmd(&["SET", &key, "x"]));
        }
        let before = sizes();
        let driver = driver_of(&cluster.url());
        let dump = dump(&*driver).await;
        for node in cluster.nodes() {
            node.run(0, &cmd(&["FLUSHDB"]));
        }
        let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(sizes(), before, "{version:?}");
    }
}
