//! A run in a process of its own, which ends it with `kill -9` at a given moment, or so many microseconds after it.
//!
//! `killed-run SHOP ARCHIVE dump|restore MOMENT DELAY`

#![allow(clippy::unwrap_used, reason = "a test's own program: what it can't go on without ends it")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dumprestore::{Coherence, Destination, DumpOptions, OpenArchive, RestoreFrom, RestoreOptions};
use dumprestore_testkit::{Fault, Faulty};
use dumprestore_tests::{Application, Bazaar, Gallery, Kiosk, Market, Shop};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let archive = PathBuf::from(arguments.next().unwrap());
    let command = arguments.next().unwrap();
    let moment = arguments.next().unwrap().parse().unwrap();
    let delay = Duration::from_micros(arguments.next().unwrap().parse().unwrap());
    let faults = Arc::new(Faulty::at(moment, Fault::Die(delay)));
    let set = match () {
        () if Market::is_at(&folder) => Market::at(&folder).set_watched(&[&faults], Coherence::default()),
        () if Bazaar::is_at(&folder) => Bazaar::at(&folder).set_watched(&[&faults], Coherence::default()),
        () if Kiosk::is_at(&folder) => Kiosk::at(&folder).set_watched(&[&faults], Coherence::default()),
        () if Gallery::is_at(&folder) => Gallery::at(&folder).set_watched(&[&faults], Coherence::default()),
        () => Shop::at(&folder).set_watched(&[&faults], Coherence::default()),
    };
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
