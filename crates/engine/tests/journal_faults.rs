//! A journal that can't be written any more, from each of its records on, as on a full disk: afterwards all is old, or
//! all is new, or it is told what is not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "what fails ends the test")]

mod vault;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dumprestore::driver::Driver;
use dumprestore::{
    BackupSet, Destination, DumpOptions, Error, ErrorKind, Event, NodeBuilder, OpenArchive, RecoverOutcome,
    RestoreFrom, RestoreOptions, RestoreReport, Result,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use vault::{driver, fill, held, in_place_driver, tape};

/// What the kernel sends to whoever writes beyond the limit.
const SIGXFSZ: i32 = 25;

/// No file of this process can grow beyond that, for as long as this lives. One test at a time can have it.
struct Limited(Rlimit);

impl Limited {
    fn to(bytes: u64) -> Self {
        let before = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: before.maximum }).unwrap();
        Self(before)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        setrlimit(Resource::Fsize, Rlimit { current: self.0.current, maximum: self.0.maximum }).unwrap();
    }
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A set, by what kinds its nodes are, in the order of their commits.
struct Scene {
    folder: tempfile::TempDir,
    kinds: &'static [&'static str],
    archive: OpenArchive,
}

impl Scene {
    async fn new(kinds: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        kinds.iter().for_each(|kind| fill(kind, &[("a", "1")]));
        let archive = folder.path().join("bank.zip");
        let set = set(folder.path(), kinds, "");
        dumprestore::dump(&set, Destination::new_file(&archive), DumpOptions::default()).await.unwrap();
        let archive = OpenArchive::open(&archive).unwrap();
        Self { folder, kinds, archive }
    }

    fn set(&self, at_commit: &str) -> BackupSet {
        set(self.folder.path(), self.kinds, at_commit)
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join(".dumprestore/bank.journal")
    }

    async fn restore(
        &self,
        at_commit: &str,
        observer: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<RestoreReport> {
        self.kinds.iter().for_each(|kind| fill(kind, &[("a", "9")]));
        let mut options = RestoreOptions::default();
        options.in_place = self.kinds.contains(&BEFORE).then(|| vec![BEFORE.to_owned()]);
        options.observer = Arc::new(observer);
        let from = RestoreFrom::Archive(self.archive.clone());
        dumprestore::restore(&self.set(at_commit), &from, &options).await
    }

    /// The journal of an undisturbed restore, up to its end.
    async fn undisturbed(&self) -> String {
        let (text, path) = (Arc::new(Mutex::new(String::new())), self.journal());
        let read = text.clone();
        self.restore("", move |event| {
            if matches!(event, Event::Phase { phase: "finish" }) {
                *read.lock().unwrap() = std::fs::read_to_string(&path).unwrap();
            }
        })
        .await
        .unwrap();
        text.lock().unwrap().clone()
    }

    fn now(&self) -> State {
        let held: Vec<_> = self.kinds.iter().map(|kind| held(kind)).collect();
        match held.iter().filter(|held| *held == "a=1").count() {
            0 => State::Old,
            all if all == self.kinds.len() => State::New,
            _ => State::Mix,
        }
    }

    /// Recovers until nothing is left. Gives the last outcome, and what was told as stuck.
    async fn recover(&self) -> (Option<RecoverOutcome>, Option<Error>) {
        let (mut outcome, mut stuck) = (None, None);
        for _ in 0..3 {
            match dumprestore::recover(&self.set(""), Arc::new(())).await {
                Ok(None) => return (outcome, stuck),
                Ok(Some(recovered)) => outcome = Some(recovered.outcome),
                Err(error) => stuck = Some(error),
            }
        }
        panic!("it is never done: {outcome:?} {stuck:?}");
    }
}

const AFTER: &str = "journal after";
const ALSO_AFTER: &str = "journal also after";
const BEFORE: &str = "before";
const NEVER: &str = "journal never";

fn set(folder: &Path, kinds: &[&'static str], at_commit: &str) -> BackupSet {
    let node = |kind: &'static str| -> (&str, Arc<dyn Driver>) {
        match kind {
            BEFORE => (BEFORE, in_place_driver(BEFORE, at_commit)),
            NEVER => ("never", tape(NEVER)),
            ALSO_AFTER => ("also", driver(ALSO_AFTER)),
            _ => ("after", driver(AFTER)),
        }
    };
    let nodes = kinds.iter().rev().map(|kind| node(kind));
    let builder = BackupSet::builder("bank").base(folder);
    nodes
        .fold(builder, |set, (name, driver)| set.node(NodeBuilder::new(name).driver(driver)))
        .build()
        .unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Old,
    New,
    Mix,
}

/// The lengths of a journal from its first commit on at which a record ends.
fn lengths(journal: &str) -> Vec<u64> {
    let mut length = 0;
    let mut lengths = Vec::new();
    for line in journal.split_inclusive('\n') {
        length += line.len() as u64;
        if !lengths.is_empty() || line.contains("\"commit\"") {
            lengths.push(length);
        }
    }
    // There is room for all of it then.
    lengths.pop();
    lengths
}

/// So many bytes more: none, a piece of a record, and what holds `"rolling_back"` and not `"all_committed"`.
const MORE: [u64; 4] = [0, 7, 15, 40];

#[tokio::test]
async fn a_journal_that_is_full_after_any_commit_leaves_all_old_or_all_new_or_tells_what_is_not() {
    let _alone = ALONE.lock().await;
    let _ignored = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let sets: [&'static [&'static str]; 6] = [
        &[AFTER],
        &[AFTER, ALSO_AFTER],
        &[BEFORE],
        &[AFTER, BEFORE],
        &[AFTER, NEVER],
        &[AFTER, BEFORE, NEVER],
    ];
    for kinds in sets {
        let scene = Scene::new(kinds).await;
        let journal = scene.undisturbed().await;
        let (mut old, mut new, mut told) = (0, 0, 0);
        for length in lengths(&journal) {
            for more in MORE {
                let limited = Limited::to(length + more);
                let ended = scene.restore("", |_: &Event| ()).await;
                drop(limited);
                let before = scene.now();
                let (outcome, stuck) = scene.recover().await;
                let when = format!(
                    "{kinds:?}, after {more} bytes more than\n{}{ended:?}\n{before:?}, {outcome:?}, {stuck:?}",
                    &journal[..length as usize]
                );
                let stuck = stuck.as_ref().or(ended.as_ref().err().filter(|e| e.kind() == ErrorKind::Stuck));
                match &ended {
                    Ok(_) => assert_eq!(before, State::New, "{when}"),
                    Err(error) if error.kind() != ErrorKind::Stuck => {
                        assert_eq!(before, State::Old, "{when}")
                    }
                    Err(_) => {}
                }
                match outcome {
                    Some(RecoverOutcome::Finished) => assert_eq!(scene.now(), State::New, "{when}"),
                    Some(RecoverOutcome::RolledBack) => assert_eq!(scene.now(), State::Old, "{when}"),
                    None => {}
                }
                match scene.now() {
                    State::Old => old += 1,
                    State::New => new += 1,
                    State::Mix => {
                        // Only what can't be undone while something else is still to do.
                        assert!(kinds.contains(&NEVER), "{when}");
                        let stuck = stuck.unwrap_or_else(|| panic!("a mix that nobody told of: {when}"));
                        let named = stuck.to_string();
                        assert!(named.contains("never: ") || named.contains("before: "), "{when}");
                        told += 1;
                    }
                }
            }
        }
        println!("{kinds:?}: {old} times old, {new} times new, {told} times told");
        let can_undo = !kinds.contains(&BEFORE) && !kinds.contains(&NEVER);
        assert!(new > 0 || can_undo, "{kinds:?}");
        assert!(old > 0 || !can_undo, "{kinds:?}");
    }
}

#[tokio::test]
async fn a_way_back_that_cannot_be_noted_is_not_begun_where_recover_may_go_forward() {
    let _alone = ALONE.lock().await;
    let _ignored = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let scene = Scene::new(&[AFTER, BEFORE]).await;
    let journal = scene.undisturbed().await;
    // All commits are noted, and nothing after them.
    let last = journal.rfind("\"commit\"").unwrap();
    let length = last + journal[last..].find('\n').unwrap() + 1;
    let limited = Limited::to(length as u64);
    let error = scene.restore("forgotten", |_: &Event| ()).await.unwrap_err();
    drop(limited);
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error}");
    assert!(error.hint().unwrap().contains("`dumprestore recover`"), "{error:?}");
    assert_eq!(scene.now(), State::New, "it went back, and the journal says forward");
    let (outcome, stuck) = scene.recover().await;
    assert_eq!((outcome, stuck.is_none(), scene.now()), (Some(RecoverOutcome::Finished), true, State::New));
}

#[tokio::test]
async fn a_commit_that_stays_because_another_failed_is_told_once_and_not_for_ever() {
    let _alone = ALONE.lock().await;
    let scene = Scene::new(&[AFTER, BEFORE, NEVER]).await;
    let observer = |event: &Event| {
        if matches!(event, Event::Step { node, step: "committed" } if node.as_str() == BEFORE) {
            *vault::tapes() = vault::Running::Not;
        }
    };
    let error = scene.restore("", observer).await.unwrap_err();
    *vault::tapes() = vault::Running::Well;
    assert_eq!(error.kind(), ErrorKind::Stuck);
    assert!(error.to_string().contains("before: "), "{error}");
    assert_eq!((held(AFTER).as_str(), held(BEFORE).as_str()), ("a=9", "a=1"));
    assert!(dumprestore::recover(&scene.set(""), Arc::new(())).await.unwrap().is_none());
}

#[tokio::test]
async fn a_commit_of_which_nobody_knows_any_more_is_told_once_and_not_for_ever() {
    let _alone = ALONE.lock().await;
    let scene = Scene::new(&[AFTER, BEFORE]).await;
    let error = scene.restore("forgotten", |_: &Event| ()).await.unwrap_err();
    let when_asked_later = {
        let killed = scene.restore("after commit", |_: &Event| ());
        assert!(tokio::time::timeout(Duration::from_millis(600), killed).await.is_err());
        dumprestore::recover(&scene.set("forgotten"), Arc::new(())).await.unwrap_err()
    };
    for error in [error, when_asked_later] {
        assert_eq!(error.kind(), ErrorKind::Stuck);
        assert!(error.to_string().contains("before: "), "{error}");
        assert!(!error.hint().unwrap().contains("recover"), "{error:?}");
    }
    assert_eq!(held(AFTER), "a=9");
    assert!(dumprestore::recover(&scene.set("forgotten"), Arc::new(())).await.unwrap().is_none());
}
