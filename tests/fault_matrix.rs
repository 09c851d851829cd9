//! A failure, and a `kill -9`, at every step of the dump and the restore of a set of four nodes: afterwards all is
//! old or all is new, and nothing is left behind but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (40 by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::Arc;

use dumprestore::{Coherence, ErrorKind, RestoreOptions};
use dumprestore_testkit::{Fault, Faulty};
use dumprestore_tests::{Application, Dumps, Scene, Shop, at_once};

const PRODUCTS: u32 = 24;
const FEW: u64 = 40;
const KILLED_RUN: &str = env!("CARGO_BIN_EXE_killed-run");

async fn scene() -> Scene<Shop> {
    Scene::new(FEW, |folder| Shop::create(folder, PRODUCTS)).await
}

fn dumps() -> Dumps<Shop> {
    Dumps::new(FEW, |folder| Shop::create(folder, PRODUCTS))
}

dumprestore_tests::failures_and_interrupts!(scene: scene().await, dumps: dumps());

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_is_told_as_stuck_and_mended_by_recover() {
    let scene = scene().await;
    let names = scene.moments().await;
    let last_commit = names.iter().rposition(|name| *name == "after commit").unwrap() as u64;
    // A first run fails at its last commit, and so shows where the rollbacks are; the others fail there as well.
    let rollbacks = rollback_moments(&scene, last_commit).await;
    assert_eq!(rollbacks.len(), 8, "before and after the rollback of each of four nodes");
    for moment in rollbacks {
        let shop = scene.copy(&format!("stuck-{moment}"));
        let spoilt = shop.state();
        let error = fail_twice(&scene, &shop, last_commit, Arc::new(Faulty::at(moment, Fault::Fail))).await;
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("recover")), "{error:?}");
        assert!(!scene.settle(&shop, &spoilt, "after a rollback that failed").await);
    }
}

async fn fail_twice(scene: &Scene<Shop>, shop: &Shop, at: u64, second: Arc<Faulty>) -> dumprestore::Error {
    let first = Arc::new(Faulty::at(at, Fault::Fail));
    let set = shop.set_watched(&[&first, &second], Coherence::default());
    dumprestore::restore(&set, &scene.from(), &RestoreOptions::default()).await.unwrap_err()
}

async fn rollback_moments(scene: &Scene<Shop>, last_commit: u64) -> Vec<u64> {
    let shop = scene.copy("shows-rollbacks");
    let watcher = Arc::new(Faulty::never());
    fail_twice(scene, &shop, last_commit, watcher.clone()).await;
    let names = watcher.passed().into_iter().enumerate();
    names.filter(|(_, name)| name.ends_with("rollback")).map(|(at, _)| at as u64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.kill_restores(KILLED_RUN, at_once, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    dumps().kill(KILLED_RUN, at_once).await;
}
