//! A run in a process of its own, which ends it with `kill -9` at a given moment, or so many microseconds after it.
//!
//! `killed-run SHOP ARCHIVE dump|restore MOMENT DELAY`

#![allow(clippy::unwrap_used, reason = "a test's own program: what it can't go on without ends it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dumprestore::{BackupSet, Coherence, Destination, DumpOptions, OpenArchive, RestoreFrom, RestoreOptions};
use dumprestore_testkit::{Fault, Faulty};
use dumprestore_tests::{Application, Bazaar, Gallery, Kiosk, Market, Placed, Shop};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let archive = PathBuf::from(arguments.next().unwrap());
    let command = arguments.next().unwrap();
    let moment = arguments.next().unwrap().parse().unwrap();
    let delay = Duration::from_micros(arguments.next().unwrap().parse().unwrap());
    let faults = Arc::new(Faulty::at(moment, Fault::Die(delay)));
    let set = found::<Market>(&folder, &faults)
        .or_else(|| found::<Bazaar>(&folder, &faults))
        .or_else(|| found::<Kiosk>(&folder, &faults))
        .or_else(|| found::<Gallery>(&folder, &faults))
        .unwrap_or_else(|| watched(&Shop::at(&folder), &faults));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match command.as_str() {
            "dump" => drop(
                dumprestore::dump(&set, Destination::new_file(archive), DumpOptions::default())
                    .await
                    .unwrap(),
            ),
            _ => {
                let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
                drop(dumprestore::restore(&set, &from, &RestoreOptions::default()).await.unwrap());
            }
        }
    });
}

fn found<A: Placed>(folder: &Path, faults: &Arc<Faulty>) -> Option<BackupSet> {
    A::found_in(folder).map(|app| watched(&app, faults))
}

fn watched(app: &impl Application, faults: &Arc<Faulty>) -> BackupSet {
    app.set_watched(&[faults], Coherence::default())
}
