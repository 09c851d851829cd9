//! A wish to stop, before and after a commit that can't be undone.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dumprestore::driver::Cancel;
use dumprestore::{
    BackupSet, Destination, DumpOptions, ErrorKind, Event, NodeBuilder, OpenArchive, RestoreFrom,
    RestoreOptions, RestoreReport, Result,
};
use vault::{driver, fill, held, in_place_driver, tape, waiting_driver};

/// Three nodes, as they are committed: one that can be undone, one only until its commit, and one never.
struct Bank {
    folder: tempfile::TempDir,
    boxes: [&'static str; 3],
}

impl Bank {
    fn new(boxes: [&'static str; 3]) -> Self {
        *vault::tapes() = vault::Running::Slowly;
        Self { folder: tempfile::tempdir().unwrap(), boxes }
    }

    fn set(&self) -> BackupSet {
        let [after, before, never] = self.boxes;
        let builder = BackupSet::builder("bank").base(self.folder.path());
        builder
            .node(NodeBuilder::new("never").driver(tape(never)))
            .node(NodeBuilder::new("before").driver(in_place_driver(before, "")))
            .node(NodeBuilder::new("after").driver(driver(after)))
            .build()
            .unwrap()
    }

    /// Restores what is selected, and is told to stop at one moment. Gives what was warned of as well.
    async fn stopped_at(
        &self,
        only: &[&str],
        moment: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> (Result<RestoreReport>, String) {
        self.boxes.iter().for_each(|name| fill(name, &[("a", "1")]));
        let archive = self.folder.path().join("bank.zip");
        let _of_an_earlier_one = std::fs::remove_file(&archive);
        dumprestore::dump(&self.set(), Destination::new_file(&archive), DumpOptions::default())
            .await
            .unwrap();
        self.boxes.iter().for_each(|name| fill(name, &[("a", "9")]));
        let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
        let (cancel, told) = (Cancel::default(), Arc::new(Mutex::new(String::new())));
        let mut options = RestoreOptions::default();
        options.only = only.iter().map(|node| (*node).to_owned()).collect();
        options.in_place = only.contains(&"before").then(|| vec!["before".to_owned()]);
        options.cancel = cancel.clone();
        let warned = told.clone();
        options.observer = Arc::new(move |event: &Event| {
            if moment(event) {
                cancel.cancel();
            }
            if let Event::Notice { message, .. } = event {
                warned.lock().unwrap().push_str(message);
            }
        });
        let ended = dumprestore::restore(&self.set(), &from, &options).await;
        let told = told.lock().unwrap().clone();
        (ended, told)
    }

    fn held(&self) -> [String; 3] {
        self.boxes.map(held)
    }
}

fn is_step(event: &Event, of: &str, at: &str) -> bool {
    matches!(event, Event::Step { node, step } if node.as_str() == of && *step == at)
}

fn begins_load(event: &Event, of: &str) -> bool {
    matches!(event, Event::NodeStarted { node, phase: "load", .. } if node.as_str() == of)
}

const ALL: [&str; 3] = ["after", "before", "never"];

#[tokio::test]
async fn after_a_commit_that_cannot_be_undone_a_wish_to_stop_is_not_heard_and_told_of() {
    let bank = Bank::new(["stop after", "stop before", "stop never"]);
    let at_commit = |event: &Event| is_step(event, "before", "committed");
    let in_load = |event: &Event| begins_load(event, "never");
    let (ended, told) = bank.stopped_at(&ALL, at_commit).await;
    assert_eq!(bank.held(), ["a=1"; 3], "{ended:?}");
    assert!(ended.is_ok() && told.contains("the restore went on to its end"), "{ended:?} {told}");
    let (ended, told) = bank.stopped_at(&ALL, in_load).await;
    assert_eq!(bank.held(), ["a=1"; 3], "{ended:?}");
    assert!(ended.is_ok() && told.contains("the restore went on to its end"), "{ended:?} {told}");
}

#[tokio::test]
async fn before_it_a_wish_to_stop_takes_everything_back() {
    let bank = Bank::new(["back after", "back before", "back never"]);
    for (node, step) in [("before", "loaded"), ("before", "prepared"), ("after", "committed")] {
        let (ended, _) = bank.stopped_at(&ALL, move |event| is_step(event, node, step)).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled, "{node} {step}");
        assert_eq!(bank.held(), ["a=9"; 3], "{node} {step}");
    }
}

#[tokio::test]
async fn a_load_that_cannot_be_undone_can_be_stopped_where_nothing_else_is_for_good() {
    let bank = Bank::new(["load after", "load before", "load never"]);
    let (ended, _) = bank.stopped_at(&["after", "never"], |event| begins_load(event, "never")).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    assert!(error.to_string().contains("never: "), "{error}");
    assert_eq!(bank.held(), ["a=9"; 3]);
    assert!(dumprestore::recover(&bank.set(), Arc::new(())).await.unwrap().is_none());
}

#[tokio::test]
async fn where_all_can_be_undone_a_wish_to_stop_is_heard_until_all_is_committed() {
    let bank = Bank::new(["heard after", "heard before", "heard never"]);
    let last_commit = |event: &Event| is_step(event, "after", "committed");
    let (ended, told) = bank.stopped_at(&["after"], last_commit).await;
    assert_eq!(ended.map_err(|error| error.kind()).err(), Some(ErrorKind::Cancelled), "{told}");
    assert_eq!(held("heard after"), "a=9");
    let finishing = |event: &Event| matches!(event, Event::Phase { phase: "finish" });
    let (ended, told) = bank.stopped_at(&["after"], finishing).await;
    assert!(ended.is_ok() && told.contains("the restore went on to its end"), "{ended:?} {told}");
    assert_eq!(held("heard after"), "a=1");
}

#[tokio::test]
async fn a_commit_that_waits_and_can_be_undone_is_ended_by_a_wish_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let set = |waits: bool| {
        let last = if waits { waiting_driver("waits last") } else { driver("waits last") };
        let builder = BackupSet::builder("bank").base(folder.path());
        builder
            .node(NodeBuilder::new("last").driver(last))
            .node(NodeBuilder::new("first").driver(driver("waits first")))
            .build()
            .unwrap()
    };
    let fill_both = |value| ["waits first", "waits last"].iter().for_each(|name| fill(name, &[("a", value)]));
    fill_both("1");
    let archive = folder.path().join("bank.zip");
    dumprestore::dump(&set(false), Destination::new_file(&archive), DumpOptions::default()).await.unwrap();
    fill_both("9");
    let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
    let cancel = Cancel::default();
    let mut options = RestoreOptions::default();
    options.cancel = cancel.clone();
    let stop = async {
        while !vault::server().waiting.contains("waits last") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(held("waits first"), "a=1");
        cancel.cancel();
    };
    let set = set(true);
    let both = async { tokio::join!(dumprestore::restore(&set, &from, &options), stop) };
    let (ended, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((held("waits first").as_str(), held("waits last").as_str()), ("a=9", "a=9"));
}
