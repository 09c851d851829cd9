//! Dumps of an application that is traded on meanwhile, and what is wrong in their copies.

use std::path::Path;

use dumprestore::{
    Destination, DumpOptions, DumpOutcome, DumpReport, OpenArchive, RestoreFrom, RestoreOptions,
    RestoreOutcome,
};

use crate::visits::faults_of;
use crate::{Application, Kiosk, Served, Trade, Traded, TrafficReport, Visits, faults};

/// An application that can be dumped while it is at work.
pub trait Lively: Application {
    /// Its work.
    type Work;
    /// Starts it, at about that many operations each second.
    fn start(&self, rate: u32) -> Self::Work;
    /// Stops it, and tells.
    fn stop(work: Self::Work) -> TrafficReport;
    /// What is wrong in it: what dangles, what is torn.
    fn faults(&self) -> Vec<String>;
    /// One that is to be, in that folder and at the same server.
    fn to_be(&self, folder: &Path) -> Self;
}

impl<A: Traded> Lively for A {
    type Work = Trade;

    fn start(&self, rate: u32) -> Trade {
        Trade::start(self, rate)
    }

    fn stop(work: Trade) -> TrafficReport {
        work.stop()
    }

    fn faults(&self) -> Vec<String> {
        faults(self)
    }

    fn to_be(&self, folder: &Path) -> Self {
        self.nothing_beside(folder)
    }
}

impl Lively for Kiosk {
    type Work = Visits;

    fn start(&self, rate: u32) -> Visits {
        Visits::start(self, rate)
    }

    fn stop(work: Visits) -> TrafficReport {
        work.stop()
    }

    fn faults(&self) -> Vec<String> {
        faults_of(self)
    }

    fn to_be(&self, folder: &Path) -> Self {
        Self::nothing(folder, self.server())
    }
}

/// Certification off, the first dumps show it.
const MOST_DUMPS: usize = 60;

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// `DUMPRESTORE_LOAD`: how many operations a second are asked for.
fn load() -> u32 {
    number("DUMPRESTORE_LOAD", 300)
}

/// Dumps the application as it goes on, restores the archive elsewhere, and says what is wrong there.
async fn dump_and_look<A: Lively>(
    app: &A,
    folder: &Path,
    nth: u32,
    certify: bool,
) -> (DumpReport, Vec<String>) {
    let archive = folder.join(format!("{nth}.zip"));
    let mut options = DumpOptions::default();
    options.certify = certify;
    let dumped = dumprestore::dump(&app.set(), Destination::new_file(&archive), options).await.unwrap();
    assert_eq!(dumped.outcome, DumpOutcome::Ok, "{dumped:?}");
    let copy = app.to_be(&folder.join("copy"));
    let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
    let restored = dumprestore::restore(&copy.set(), &from, &RestoreOptions::default()).await.unwrap();
    if certify {
        assert_eq!(restored.outcome, RestoreOutcome::Ok, "{restored:?}");
    }
    let found = copy.faults();
    copy.remove();
    std::fs::remove_file(&archive).unwrap();
    (dumped, found)
}

/// Dumps it `DUMPRESTORE_DUMPS` times (5 by default) under load: nothing dangles and nothing is torn in any copy.
///
/// # Panics
/// If something is, or the load was too small to prove it.
pub async fn prove_coherent<A: Lively>(app: &A, folder: &Path) {
    let work = app.start(load());
    let mut cuts = Vec::new();
    for nth in 0..number("DUMPRESTORE_DUMPS", 5) {
        let (dumped, found) = dump_and_look(app, folder, nth, true).await;
        assert!(found.is_empty(), "dump {nth}: {found:?}");
        assert!(dumped.edges.iter().all(|edge| edge.certified), "{:?}", dumped.edges);
        cuts.push((dumped.cuts, dumped.verdict));
    }
    let report = A::stop(work);
    let own = app.faults();
    assert!(own.is_empty(), "the application itself breaks its rules: {own:?}");
    let rate = report.operations as f64 / report.seconds;
    println!("{rate:.0} operations a second, cuts {cuts:?}, longest statement {:?}", report.longest_wait);
    assert!(rate > f64::from(load()) / 4.0, "only {rate:.0} operations a second: this proves little");
    assert_eq!(app.leftovers(), Vec::<String>::new());
}

/// Dumps it without certification under the same load, until something dangles.
///
/// # Panics
/// If nothing ever does: then the load proves nothing.
pub async fn show_incoherent<A: Lively>(app: &A, folder: &Path) {
    let work = app.start(load());
    let mut found = Vec::new();
    for nth in 0..MOST_DUMPS as u32 {
        found.extend(dump_and_look(app, folder, nth, false).await.1);
        if found.len() >= 3 {
            break;
        }
    }
    A::stop(work);
    assert!(!found.is_empty(), "{MOST_DUMPS} dumps without certification, and nothing dangled");
}
