//! Four nodes of three drivers, two PostgreSQL databases among them: a failure, an interrupt, a `kill -9` of our process
//! and a `kill -9` of the server, at every step of the dump and of the restore. Afterwards all is old or all is new, and
//! nothing is left behind, in the folder or at the server, but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (few by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::Arc;

use dumprestore_testkit::{Fault, Faulty};
use dumprestore_tests::{Application, Crowd, Market, served_scene};

dumprestore_tests::fault_matrix!(Market, bystanders: Crowd::of);

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_back_at_once_stop_neither_a_restore_nor_its_way_back() {
    let (scene, _server) = served_scene::<Market>().await;
    let names = scene.moments().await;
    let last_commit = names.iter().rposition(|name| *name == "after commit").unwrap() as u64;
    for fails in [false, true] {
        let market = scene.copy(&format!("crowded-{fails}"));
        let spoilt = market.state();
        let crowd = Crowd::of(&market);
        let faults = match fails {
            true => Faulty::at(last_commit, Fault::Fail),
            false => Faulty::never(),
        };
        let ended = scene.restore(&market, &Arc::new(faults)).await;
        assert_eq!(ended.is_err(), fails, "{ended:?}");
        assert_eq!(market.state(), if fails { spoilt.clone() } else { scene.good.clone() });
        assert!(crowd.entered() > 4, "{} sessions: nobody came back", crowd.entered());
        drop(crowd);
        assert_eq!(scene.settle(&market, &spoilt, "in a crowd").await, !fails);
    }
}
