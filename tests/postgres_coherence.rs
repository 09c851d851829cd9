//! Dumps under live load, with references from rows of PostgreSQL to files, and between two PostgreSQL databases:
//! nothing dangles and nothing is torn in any restored copy; with certification switched off, something is.
//!
//! `DUMPRESTORE_LOAD` says how many operations a second are asked for (300 by default), `DUMPRESTORE_DUMPS` how many dumps
//! are made (5 by default).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::path::Path;
use std::sync::Arc;

use dumprestore::{
    Destination, DumpOptions, DumpOutcome, DumpReport, OpenArchive, RestoreFrom, RestoreOptions,
    RestoreOutcome,
};
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use dumprestore_tests::{Application, Market, Trade};

const PRODUCTS: u32 = 1500;
/// Certification off, the first dumps show it.
const MOST_DUMPS: usize = 60;

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

fn load() -> u32 {
    number("DUMPRESTORE_LOAD", 300)
}

/// Dumps the market as it goes on, restores the archive elsewhere, and says what is wrong there.
async fn dump_and_look(market: &Market, folder: &Path, nth: u32, certify: bool) -> (DumpReport, Vec<String>) {
    let archive = folder.join(format!("{nth}.zip"));
    let mut options = DumpOptions::default();
    options.certify = certify;
    let dumped = dumprestore::dump(&market.set(), Destination::new_file(&archive), options).await.unwrap();
    assert_eq!(dumped.outcome, DumpOutcome::Ok, "{dumped:?}");
    let copy = Market::nothing(&folder.join("copy"), market.server());
    let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
    let restored = dumprestore::restore(&copy.set(), &from, &RestoreOptions::default()).await.unwrap();
    if certify {
        assert_eq!(restored.outcome, RestoreOutcome::Ok, "{restored:?}");
    }
    let faults = copy.faults();
    copy.remove();
    std::fs::remove_file(&archive).unwrap();
    (dumped, faults)
}

fn market(folder: &Path) -> Market {
    let server = Arc::new(PostgresServer::start(PostgresVersion::V15));
    Market::create(&folder.join("market"), &server, PRODUCTS)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_and_nothing_is_torn_in_dumps_of_postgresql_under_live_load() {
    let folder = tempfile::tempdir().unwrap();
    let market = market(folder.path());
    let trade = Trade::start(&market, load());
    let mut cuts = Vec::new();
    for nth in 0..number("DUMPRESTORE_DUMPS", 5) {
        let (dumped, faults) = dump_and_look(&market, folder.path(), nth, true).await;
        assert!(faults.is_empty(), "dump {nth}: {faults:?}");
        assert!(dumped.edges.iter().all(|edge| edge.certified), "{:?}", dumped.edges);
        cuts.push((dumped.cuts, dumped.verdict));
    }
    let report = trade.stop();
    assert!(market.faults().is_empty(), "the application itself breaks its rules: {:?}", market.faults());
    let rate = report.operations as f64 / report.seconds;
    println!("{rate:.0} operations a second, cuts {cuts:?}, longest statement {:?}", report.longest_wait);
    assert!(rate > f64::from(load()) / 4.0, "only {rate:.0} operations a second: this proves little");
    assert_eq!(market.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certification_the_same_load_on_postgresql_shows_dangling_links() {
    let folder = tempfile::tempdir().unwrap();
    let market = market(folder.path());
    let trade = Trade::start(&market, load());
    let mut found = Vec::new();
    for nth in 0..MOST_DUMPS as u32 {
        found.extend(dump_and_look(&market, folder.path(), nth, false).await.1);
        if found.len() >= 3 {
            break;
        }
    }
    trade.stop();
    assert!(!found.is_empty(), "{MOST_DUMPS} dumps without certification, and nothing dangled");
}
