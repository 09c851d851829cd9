//! What is told of hooks that fail.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dumprestore::{
    BackupSet, Destination, DumpOptions, Error, Event, Hook, HookPoint, Hooks, NodeBuilder, OpenArchive,
    RestoreFrom, RestoreOptions,
};

fn set(folder: &Path, name: &str, hooks: Hooks) -> BackupSet {
    let node = NodeBuilder::new("db").driver(vault::driver(name));
    BackupSet::builder("bank").base(folder).hooks(hooks).node(node).build().unwrap()
}

fn shell(script: &str) -> Hook {
    Hook::new(["sh", "-c", script])
}

/// The messages of a run, and the observer that collects them.
fn told() -> (Arc<Mutex<String>>, Arc<dyn dumprestore::Observer>) {
    let told = Arc::new(Mutex::new(String::new()));
    let listener = told.clone();
    let observer = move |event: &Event| {
        if let Event::Notice { message, .. } = event {
            *listener.lock().unwrap() += &format!("{message}\n");
        }
    };
    (told, Arc::new(observer))
}

async fn dump(set: &BackupSet, folder: &Path, options: DumpOptions) -> Result<(), Error> {
    let to = Destination::new_file(folder.join("bank.zip"));
    dumprestore::dump(set, to, options).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_of_failure_that_fails_itself_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let failing = || {
        Hooks::new()
            .with(HookPoint::AfterDump, shell("exit 3"))
            .with(HookPoint::PreSwap, shell("exit 3"))
            .with(HookPoint::OnFailure, shell("echo nobody can be reached; exit 4"))
    };
    vault::fill("hook-failures", &[("a", "1")]);
    dump(&set(folder.path(), "hook-failures", Hooks::new()), folder.path(), DumpOptions::default())
        .await
        .unwrap();
    let set = set(folder.path(), "hook-failures", failing());

    let from = RestoreFrom::Archive(OpenArchive::open(&folder.path().join("bank.zip")).unwrap());
    let (messages, observer) = told();
    let mut options = RestoreOptions::default();
    options.observer = observer;
    let error = dumprestore::restore(&set, &from, &options).await.unwrap_err();
    assert!(error.to_string().contains("pre_swap"), "{error}");
    assert!(messages.lock().unwrap().contains("nobody can be reached"), "{messages:?}");

    std::fs::remove_file(folder.path().join("bank.zip")).unwrap();
    let (messages, observer) = told();
    let mut options = DumpOptions::default();
    options.observer = observer;
    let error = dump(&set, folder.path(), options).await.unwrap_err();
    assert!(error.to_string().contains("after_dump"), "{error}");
    assert!(messages.lock().unwrap().contains("nobody can be reached"), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_hook_failed_is_told_although_a_child_of_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    vault::fill("hook-children", &[("a", "1")]);
    // The child holds the pipes open for longer than is waited for them.
    let hook = shell("sleep 5 & echo the disk is full >&2; exit 1");
    let set = set(folder.path(), "hook-children", Hooks::new().with(HookPoint::BeforeDump, hook));
    let error = dump(&set, folder.path(), DumpOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_said_is_told_although_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    vault::fill("hook-killed", &[("a", "1")]);
    let hook = shell("echo waiting for table orders >&2; sleep 60").with_timeout(Duration::from_secs(1));
    let set = set(folder.path(), "hook-killed", Hooks::new().with(HookPoint::BeforeDump, hook));
    let error = dump(&set, folder.path(), DumpOptions::default()).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("was killed after 1s") && told.contains("waiting for table orders"), "{told}");
}
