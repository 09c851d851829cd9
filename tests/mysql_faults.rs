//! Four nodes of three drivers, two MariaDB databases among them: a failure, an interrupt, a `kill -9` of our process
//! and a `kill -9` of the server, at every step of the dump and of the restore. Afterwards all is old or all is new, and
//! nothing is left behind, in the folder or at the server, but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (few by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::Arc;

use dumprestore_testkit::{Fault, MysqlServer, MysqlVersion};
use dumprestore_tests::{Application, Bazaar, Dumps, Outage, Readers, Scene, at_once, later};

const PRODUCTS: u32 = 24;
const FEW: u64 = 8;
const KILLED_RUN: &str = env!("CARGO_BIN_EXE_killed-run");

fn server() -> Arc<MysqlServer> {
    Arc::new(MysqlServer::start(MysqlVersion::Mariadb10_11))
}

async fn scene() -> (Scene<Bazaar>, Arc<MysqlServer>) {
    let server = server();
    (Scene::new(FEW, |folder| Bazaar::create(folder, &server, PRODUCTS)).await, server)
}

fn dumps() -> (Dumps<Bazaar>, Arc<MysqlServer>) {
    let server = server();
    (Dumps::new(FEW, |folder| Bazaar::create(folder, &server, PRODUCTS)), server)
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
async fn a_kill_at_any_step_of_a_restore_leaves_all_old_or_all_new_while_others_read() {
    let (scene, _) = scene().await;
    scene.kill_restores(KILLED_RUN, at_once, Readers::of).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_any_step_of_a_restore_leaves_all_old_or_all_new() {
    let (scene, _) = scene().await;
    scene.kill_restores(KILLED_RUN, later, |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_all_the_time_is_told_to_try_again_at_the_worst() {
    let (scene, _) = scene().await;
    let names = scene.moments().await;
    let last_commit = names.iter().rposition(|name| *name == "after commit").unwrap() as u64;
    for fails in [false, true] {
        let bazaar = scene.copy(&format!("read-{fails}"));
        let spoilt = bazaar.state();
        let readers = Readers::of(&bazaar);
        let faults = match fails {
            true => dumprestore_testkit::Faulty::at(last_commit, Fault::Fail),
            false => dumprestore_testkit::Faulty::never(),
        };
        let ended = scene.restore(&bazaar, &Arc::new(faults)).await;
        assert_eq!(ended.is_err(), fails, "{ended:?}");
        assert_eq!(bazaar.state(), if fails { spoilt.clone() } else { scene.good.clone() });
        let (read, mut refused) = readers.stop();
        assert!(read > 20, "{read} reads: nobody was there");
        // Whoever has read one table, and wants to read another that is just being renamed, while the first is still to be.
        refused.retain(|said| !said.contains("1213"));
        assert_eq!(refused, Vec::<String>::new());
        assert_eq!(scene.settle(&bazaar, &spoilt, "while others read").await, !fails);
    }
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
async fn a_server_that_is_killed_at_any_step_of_a_dump_and_comes_back_leaves_no_archive_but_a_whole_one() {
    black_out_dumps(|_| Outage::ComesBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_within_any_step_of_a_dump_leaves_no_archive_but_a_whole_one() {
    black_out_dumps(|moment| Outage::Later(later(moment) / 3)).await;
}

async fn black_out_dumps(outage: impl Fn(u64) -> Outage) {
    let (dumps, server) = dumps();
    dumprestore_tests::black_out_dumps(&dumps, &server, outage, |folder| Bazaar::nothing(folder, &server))
        .await;
}
