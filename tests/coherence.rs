//! Dumps under live load: nothing dangles and nothing is torn in any restored copy; with certification switched off,
//! something is.
//!
//! `DUMPRESTORE_LOAD` says how many operations a second are asked for (300 by default).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::path::Path;
use std::time::Duration;

use dumprestore::{
    Coherence, Destination, DumpOptions, DumpOutcome, OpenArchive, RestoreFrom, RestoreOptions,
    RestoreOutcome,
};
use dumprestore_tests::{Application, Shop, Traffic};

const DUMPS: usize = 20;
const PRODUCTS: u32 = 1500;

fn load() -> u32 {
    std::env::var("DUMPRESTORE_LOAD").map_or(300, |load| load.parse().unwrap())
}

/// Dumps the shop as it goes on, restores the archive elsewhere, and says what is wrong there.
async fn dump_and_look(shop: &Shop, folder: &Path, nth: usize, certify: bool) -> (usize, Vec<String>) {
    let archive = folder.join(format!("{nth}.zip"));
    let mut options = DumpOptions::default();
    options.certify = certify;
    let dumped = dumprestore::dump(&shop.set(), Destination::new_file(&archive), options).await.unwrap();
    assert_eq!(dumped.outcome, DumpOutcome::Ok, "{dumped:?}");
    let copy = folder.join("copy");
    std::fs::create_dir(&copy).unwrap();
    let copy = Shop::at(&copy);
    let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
    let restored = dumprestore::restore(&copy.set(), &from, &RestoreOptions::default()).await.unwrap();
    if certify {
        assert_eq!(restored.outcome, RestoreOutcome::Ok, "{restored:?}");
    }
    let faults = copy.faults();
    std::fs::remove_dir_all(copy.folder()).unwrap();
    std::fs::remove_file(&archive).unwrap();
    (dumped.cuts, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_and_nothing_is_torn_in_dumps_under_live_load() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::create(&folder.path().join("shop"), PRODUCTS);
    let traffic = Traffic::start(&shop, load());
    let mut cuts = Vec::new();
    for nth in 0..DUMPS {
        let (tries, faults) = dump_and_look(&shop, folder.path(), nth, true).await;
        assert!(faults.is_empty(), "dump {nth}: {faults:?}");
        cuts.push(tries);
    }
    let report = traffic.stop();
    assert!(shop.faults().is_empty(), "the application itself breaks its rules: {:?}", shop.faults());
    let rate = report.operations as f64 / report.seconds;
    println!("{rate:.0} operations a second, cuts {cuts:?}, longest wait {:?}", report.longest_wait);
    assert!(rate > f64::from(load()) / 4.0, "only {rate:.0} operations a second: this proves little");
    // A cut under a lock, the last resort of a busy machine, has writers wait for as long as its check takes.
    let locked = cuts.iter().any(|cuts| *cuts > Coherence::default().max_cuts.get() as usize);
    assert!(
        locked || report.longest_wait < Duration::from_millis(50),
        "a writer waited {:?} for us",
        report.longest_wait
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certification_the_same_load_shows_dangling_links() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::create(&folder.path().join("shop"), PRODUCTS);
    let traffic = Traffic::start(&shop, load());
    let mut found = Vec::new();
    for nth in 0..3 * DUMPS {
        let (_, faults) = dump_and_look(&shop, folder.path(), nth, false).await;
        found.extend(faults);
        if found.len() >= 3 {
            break;
        }
    }
    traffic.stop();
    assert!(!found.is_empty(), "{} dumps without certification, and nothing dangled", 3 * DUMPS);
}
