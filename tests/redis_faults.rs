//! Four nodes of three drivers, two databases of Redis among them: a failure, an interrupt, a `kill -9` of our process
//! and a `kill -9` of the server, at every step of the dump and of the restore. Afterwards all is old or all is new, and
//! nothing is left behind, in the folder or at the server, but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (few by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::Arc;

use dumprestore_testkit::{Fault, RedisOptions, RedisServer, RedisVersion};
use dumprestore_tests::{Dumps, Kiosk, Outage, Scene, at_once, later};

const CUSTOMERS: u32 = 24;
const FEW: u64 = 10;
const KILLED_RUN: &str = env!("CARGO_BIN_EXE_killed-run");

/// One that has what it was told when it comes back: of any other, all-or-nothing can't be asked.
fn server() -> Arc<RedisServer> {
    Arc::new(RedisOptions::new(RedisVersion::Redis7_0).durable().start())
}

async fn scene() -> (Scene<Kiosk>, Arc<RedisServer>) {
    let server = server();
    (Scene::new(FEW, |folder| Kiosk::create(folder, &server, CUSTOMERS)).await, server)
}

fn dumps() -> (Dumps<Kiosk>, Arc<RedisServer>) {
    let server = server();
    (Dumps::new(FEW, |folder| Kiosk::create(folder, &server, CUSTOMERS)), server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.0.disturb_restores(Fault::Fail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.0.disturb_restores(Fault::Cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.0.kill_restores(KILLED_RUN, at_once, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_any_step_of_a_restore_leaves_all_old_or_all_new() {
    scene().await.0.kill_restores(KILLED_RUN, later, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_step_of_a_restore_and_stays_down_leaves_all_old_or_all_new() {
    black_out_restores(|_| Outage::StaysDown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_step_of_a_restore_and_comes_back_leaves_all_old_or_all_new() {
    black_out_restores(|_| Outage::ComesBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_within_any_step_of_a_restore_leaves_all_old_or_all_new() {
    black_out_restores(|moment| Outage::Later(later(moment))).await;
}

async fn black_out_restores(outage: impl Fn(u64) -> Outage) {
    let (scene, server) = scene().await;
    dumprestore_tests::black_out_restores(&scene, &server, outage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    dumps().0.disturb(Fault::Fail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    dumps().0.disturb(Fault::Cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    dumps().0.kill(KILLED_RUN, at_once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
    dumps().0.kill(KILLED_RUN, later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_step_of_a_dump_and_stays_down_leaves_no_archive_but_a_whole_one() {
    black_out_dumps(|_| Outage::StaysDown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_within_any_step_of_a_dump_leaves_no_archive_but_a_whole_one() {
    black_out_dumps(|moment| Outage::Later(later(moment) / 10)).await;
}

async fn black_out_dumps(outage: impl Fn(u64) -> Outage) {
    let (dumps, server) = dumps();
    dumprestore_tests::black_out_dumps(&dumps, &server, outage, |folder| Kiosk::nothing(folder, &server))
        .await;
}
