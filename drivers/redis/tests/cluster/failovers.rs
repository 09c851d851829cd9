//! A replica takes the place of a primary.

use std::time::{Duration, Instant};

use dumprestore_driver::{ArchivedNode, CutContext, CutMode, OldState, OpenContext, StageContext};
use dumprestore_testkit::{RedisCluster, RedisOptions, RedisServer, soon};
use futures_util::TryStreamExt;

use crate::archive::{dump, load, prepared, run as new_run};
use crate::restore_support::cmd;
use crate::shop::{V, change, content_of, driver_of, fill};

/// Nodes vote again after two timeouts.
fn restless() -> RedisCluster {
    RedisCluster::with(&RedisOptions::new(V).durable().setting("cluster-node-timeout", "2000"))
}

/// Asks a replica to take over, as often as that takes: one that does not reach its primary for a moment refuses, nobody
/// votes about a primary twice within two timeouts, and who is not voted for in time gives up. On a busy machine the old
/// primary may even take its place back: nobody heard of the new one for too long.
fn has_taken_over(replica: &RedisServer, primary: &RedisServer) -> bool {
    let is_primary = || replica.info("role") == "master";
    if !is_primary() {
        let _asked = replica.try_ask::<()>(0, &cmd(&["CLUSTER", "FAILOVER"]));
        let until = Instant::now() + Duration::from_secs(1);
        while !is_primary() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    is_primary() && follows(primary)
}

/// The replica takes over, and all know.
fn fail_over(cluster: &RedisCluster, to: &RedisServer) {
    let id: String = to.ask(0, &cmd(&["CLUSTER", "MYID"]));
    let knows = |node: &RedisServer| {
        let told: String = node.ask(0, &cmd(&["CLUSTER", "NODES"]));
        let is_so = |line: &str| line.starts_with(&id) && line.contains("master") && line.contains("0-5460");
        told.lines().any(is_so)
    };
    soon("a failover", || {
        has_taken_over(to, &cluster.nodes()[0]) && cluster.nodes().iter().chain([to]).all(knows)
    });
}

/// It is a replica, and hears its primary. One that has not heard yet of the other has no such link.
fn follows(node: &RedisServer) -> bool {
    node.info("role") == "slave" && node.info("master_link_status") == "up"
}

/// Those that have the keys after it.
fn after<'a>(cluster: &'a RedisCluster, to: &'a RedisServer) -> [&'a RedisServer; 3] {
    [to, &cluster.nodes()[1], &cluster.nodes()[2]]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_in_the_middle_of_a_dump_ends_it() {
    let cluster = restless();
    fill(&cluster);
    let replica = cluster.add_replica(0);
    let folder = dumprestore_testkit::TempDir::with_prefix("dumprestore-").unwrap();
    let driver = driver_of(&cluster.nodes()[1].url(0));
    let mut source = driver.open(OpenContext::new("run", folder.path())).await.unwrap();
    source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Open)).await.unwrap();
    fail_over(&cluster, &replica);
    // The file may have come whole before it, but from whom is no primary any more.
    let captured = match source.capture().await {
        Ok(parts) => parts.try_collect::<Vec<_>>().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(captured.is_err());
    source.release().await.unwrap();
    let dump = dump(&*driver).await;
    assert_eq!(dump.node.facts()["keys"], (content_of(after(&cluster, &replica)).len() - 1).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_between_load_and_commit_ends_a_restore_and_loses_nothing() {
    let cluster = restless();
    fill(&cluster);
    let replica = cluster.add_replica(0);
    // From a node that stays.
    let driver = driver_of(&cluster.nodes()[1].url(0));
    let dump = dump(&*driver).await;
    let dumped = content_of(cluster.nodes());
    change(&cluster);
    let changed = content_of(cluster.nodes());
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    fail_over(&cluster, &replica);
    let error = staging.commit().await.unwrap_err();
    assert!(error.to_string().contains("has changed since"), "{error:?}");
    staging.rollback().await.unwrap();
    assert!(content_of(after(&cluster, &replica)) == changed);
    // It goes where the keys are now.
    let mut staging = prepared(&*driver, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert!(content_of(after(&cluster, &replica)) == dumped);
    soon("the replica has followed", || {
        let size = |node: &RedisServer| node.ask::<u64>(0, &cmd(&["DBSIZE"]));
        size(&cluster.nodes()[0]) == size(&replica)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_while_keys_are_loaded_or_renamed_leaves_all_old_or_all_new() {
    let cluster = restless();
    fill(&cluster);
    let replica = cluster.add_replica(0);
    let driver = driver_of(&cluster.nodes()[1].url(0));
    let dump = dump(&*driver).await;
    let dumped = content_of(cluster.nodes());
    change(&cluster);
    let changed = content_of(cluster.nodes());
    for (round, wait) in [3, 20, 60, 120].into_iter().enumerate() {
        let mut now = after(&cluster, &replica);
        let new = if round % 2 == 0 { &replica } else { &cluster.nodes()[0] };
        let run = new_run();
        let mut staging = driver.stage(dump.node.clone(), StageContext::new(run.clone())).await.unwrap();
        staging.begin().await.unwrap();
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(wait));
                let _asked = new.try_ask::<()>(0, &cmd(&["CLUSTER", "FAILOVER"]));
            });
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    load(&*staging, &*dump.node).await?;
                    staging.prepare().await?;
                    staging.commit().await
                })
            })
        });
        now[0] = new;
        let other = if round % 2 == 0 { &cluster.nodes()[0] } else { &replica };
        soon("a failover", || has_taken_over(new, other));
        soon("all know", || {
            let epochs = |node: &RedisServer| -> Vec<String> {
                let told: String = node.ask(0, &cmd(&["CLUSTER", "NODES"]));
                let mut lines: Vec<String> = told
                    .lines()
                    .map(|line| {
                        let words: Vec<&str> = line.split_whitespace().collect();
                        format!("{} {} {}", words[0], words[6], words[8..].join(" "))
                    })
                    .collect();
                lines.sort();
                lines
            };
            let first = epochs(now[0]);
            now.iter().all(|node| epochs(node) == first)
        });
        if ended.is_ok() {
            let mut live = content_of(now);
            live.retain(|key, _| !key.starts_with(b"dumprestore:"));
            assert!(live == dumped, "committed, {wait} ms");
        }
        for _twice in 0..2 {
            let mut again = driver.resume(&staging.journal(), StageContext::new(run.clone())).await.unwrap();
            again.rollback().await.unwrap();
            assert!(content_of(now) == changed, "rolled back, {wait} ms: {ended:?}");
        }
    }
}
