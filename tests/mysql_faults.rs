//! Four nodes of three drivers, two MariaDB databases among them: a failure, an interrupt, a `kill -9` of our process
//! and a `kill -9` of the server, at every step of the dump and of the restore. Afterwards all is old or all is new, and
//! nothing is left behind, in the folder or at the server, but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (few by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::sync::Arc;

use dumprestore_testkit::{Fault, Faulty};
use dumprestore_tests::{Application, Bazaar, Readers, served_scene};

dumprestore_tests::fault_matrix!(Bazaar, bystanders: Readers::of);

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_all_the_time_is_told_to_try_again_at_the_worst() {
    let (scene, _server) = served_scene::<Bazaar>().await;
    let names = scene.moments().await;
    let last_commit = names.iter().rposition(|name| *name == "after commit").unwrap() as u64;
    for fails in [false, true] {
        let bazaar = scene.copy(&format!("read-{fails}"));
        let spoilt = bazaar.state();
        let readers = Readers::of(&bazaar);
        let faults = match fails {
            true => Faulty::at(last_commit, Fault::Fail),
            false => Faulty::never(),
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
