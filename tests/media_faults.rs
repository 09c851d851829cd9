//! Four nodes of three drivers, two prefixes of a bucket among them: a failure, an interrupt and a `kill -9` of our
//! process at every step of the dump and of the restore, and all that can happen on the way to the server. Afterwards all is
//! old or all is new, and nothing is left behind, in the folder or in the bucket, but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (few by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::Arc;

use dumprestore_testkit::{Faulty, Mishap, Requests, S3Kind, S3Server, Trouble, spread};
use dumprestore_tests::{Application as _, Dumps, Gallery, Scene, at_once, later};

const PICTURES: u32 = 5;
const FEW: u64 = 6;
/// As many moments at which the way to the server ends are tried.
const OUTAGES: u64 = 6;
const KILLED_RUN: &str = env!("CARGO_BIN_EXE_killed-run");

fn server() -> &'static S3Server {
    S3Server::shared(S3Kind::Moto)
}

async fn scene() -> Scene<Gallery> {
    Scene::new(FEW, |folder| Gallery::create(folder, (&server().endpoint(), 8), PICTURES)).await
}

fn dumps() -> Dumps<Gallery> {
    Dumps::new(FEW, |folder| Gallery::create(folder, (&server().endpoint(), 8), PICTURES))
}

dumprestore_tests::failures_and_interrupts!(scene: scene().await, dumps: dumps());

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.kill_restores(KILLED_RUN, at_once, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.kill_restores(KILLED_RUN, later, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    dumps().kill(KILLED_RUN, later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_way_to_the_bucket_ends_a_restore_leaves_all_old_or_all_new() {
    let trouble = Trouble::before(&server().address());
    let scene = Scene::new(FEW, |folder| Gallery::create(folder, (&trouble.endpoint(), 1), PICTURES)).await;
    let undisturbed = trouble.seen().len();
    scene.moments().await;
    let requests = (trouble.seen().len() - undisturbed) as u64;
    let (mut old, mut new) = (0, 0);
    for moment in spread(requests, OUTAGES) {
        let app = scene.copy(&format!("outage-{moment}"));
        let spoilt = app.state();
        trouble.make(Requests::all().after(usize::try_from(moment).unwrap()), Mishap::Refuse);
        let ended = scene.restore(&app, &Arc::new(Faulty::never())).await;
        trouble.clear();
        let when = format!("the way ended after {moment} of {requests} requests: {ended:?}");
        match scene.settle(&app, &spoilt, &when).await {
            true => new += 1,
            false => old += 1,
        }
    }
    assert!(old > 0 && new > 0, "{old} times old, {new} times new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_to_the_bucket_spoils_neither_dumps_nor_restores() {
    for mishap in
        [Mishap::Status(503), Mishap::Refuse, Mishap::CutRequest(3), Mishap::CutAnswer(5), Mishap::LoseAnswer]
    {
        let trouble = Trouble::before(&server().address());
        trouble.make(Requests::all().every(11), mishap);
        let scene =
            Scene::new(FEW, |folder| Gallery::create(folder, (&trouble.endpoint(), 8), PICTURES)).await;
        let app = scene.copy("restored");
        let spoilt = app.state();
        let ended = scene.restore(&app, &Arc::new(Faulty::never())).await;
        assert!(trouble.mishaps() > 5, "{mishap:?}");
        trouble.clear();
        let when = format!("{mishap:?}: {ended:?}");
        scene.judge(&app, &spoilt, &ended, &when);
        let is_new = scene.settle(&app, &spoilt, &when).await;
        assert_eq!(is_new, ended.is_ok(), "{when}");
        assert!(is_new, "{when}");
    }
}
