//! Hooks: when they run, what they are told, and what their failure means.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dumprestore::{
    BackupSet, Destination, Driver, DriverConfig, DumpOptions, DumpOutcome, ErrorKind, Event, Hook,
    HookPoint, Hooks, NodeBuilder, NodePath, OnError, OpenArchive, RestoreFrom, RestoreOptions,
    RestoreOutcome,
};
use dumprestore_filesystem::FilesystemConfig;
use serde_json::json;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/file"), "old").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(&self, set_hooks: Hooks, node_hooks: Hooks) -> BackupSet {
        let config: FilesystemConfig = serde_json::from_value(json!({ "path": "data" })).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("data").unwrap(), self.folder.path());
        let driver: Arc<dyn Driver> = config.build(&cx).unwrap();
        BackupSet::builder("app")
            .base(self.folder.path())
            .hooks(set_hooks)
            .node(NodeBuilder::new("data").driver(driver).hooks(node_hooks))
            .build()
            .unwrap()
    }

    async fn dump(&self, set: &BackupSet) -> dumprestore::Result<dumprestore::DumpReport> {
        let _ = std::fs::remove_file(self.path("app.zip"));
        dumprestore::dump(set, Destination::new_file(self.path("app.zip")), DumpOptions::default()).await
    }

    async fn restore(&self, set: &BackupSet) -> dumprestore::Result<dumprestore::RestoreReport> {
        let from = RestoreFrom::Archive(OpenArchive::open(&self.path("app.zip")).unwrap());
        dumprestore::restore(set, &from, &RestoreOptions::default()).await
    }

    fn content(&self) -> String {
        std::fs::read_to_string(self.path("data/file")).unwrap()
    }

    fn told(&self) -> String {
        std::fs::read_to_string(self.path("told")).unwrap_or_default()
    }
}

/// A hook that writes a line.
fn tell(what: &str) -> Hook {
    Hook::new(["sh", "-c", &format!("echo {what} >> told")])
}

fn telling(points: &[HookPoint], whose: &str) -> Hooks {
    points.iter().fold(Hooks::new(), |hooks, point| hooks.with(*point, tell(&format!("{whose}:{point}"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_in_order_the_sets_outside_and_the_nodes_inside() {
    let scene = Scene::new();
    let set = scene.set(telling(&HookPoint::ALL, "set"), telling(&HookPoint::ALL, "node"));
    scene.dump(&set).await.unwrap();
    let expected = "set:before_dump node:before_dump node:after_dump set:after_dump \
                    node:on_success set:on_success node:always set:always";
    assert_eq!(scene.told().split_whitespace().collect::<Vec<_>>().join(" "), expected);
    std::fs::remove_file(scene.path("told")).unwrap();
    scene.restore(&set).await.unwrap();
    let expected = "set:before_restore node:before_restore node:pre_swap set:pre_swap node:after_restore \
                    set:after_restore node:on_success set:on_success node:always set:always";
    assert_eq!(scene.told().split_whitespace().collect::<Vec<_>>().join(" "), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pre_swap_hook_changes_what_is_swapped_in() {
    let scene = Scene::new();
    scene.dump(&scene.set(Hooks::new(), Hooks::new())).await.unwrap();
    std::fs::write(scene.path("data/file"), "bad").unwrap();
    let migrate =
        Hook::new(["sh", "-c", "cat data/file > seen; printf migrated > \"$DUMPRESTORE_STAGED_DATA/file\""]);
    let set = scene.set(Hooks::new().with(HookPoint::PreSwap, migrate), Hooks::new());
    scene.restore(&set).await.unwrap();
    assert_eq!(scene.content(), "migrated");
    assert_eq!(std::fs::read_to_string(scene.path("seen")).unwrap(), "bad", "it ran before the swap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_pre_swap_hook_rolls_back_and_the_last_hooks_run() {
    let scene = Scene::new();
    scene.dump(&scene.set(Hooks::new(), Hooks::new())).await.unwrap();
    std::fs::write(scene.path("data/file"), "present").unwrap();
    let hooks = telling(&[HookPoint::OnSuccess, HookPoint::OnFailure, HookPoint::Always], "set")
        .with(HookPoint::PreSwap, Hook::new(["sh", "-c", "echo no such column >&2; exit 3"]));
    let error = scene.restore(&scene.set(hooks, Hooks::new())).await.unwrap_err();
    assert!(error.to_string().contains("no such column"), "{error}");
    assert_eq!(scene.content(), "present");
    assert_eq!(scene.told(), "set:on_failure\nset:always\n");
    let entries = std::fs::read_dir(scene.folder.path()).unwrap();
    let left: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.contains("dumprestore-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_takes_too_long_is_killed_with_all_it_started() {
    let scene = Scene::new();
    let slow =
        Hook::new(["sh", "-c", "(sleep 3; touch survived) & wait"]).with_timeout(Duration::from_millis(200));
    let set = scene.set(Hooks::new().with(HookPoint::BeforeDump, slow), Hooks::new());
    let error = scene.dump(&set).await.unwrap_err();
    assert!(error.to_string().contains("killed after"), "{error}");
    assert!(!scene.path("app.zip").exists());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!scene.path("survived").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_whose_failure_is_to_be_passed_over_is_told_and_passed_over() {
    let scene = Scene::new();
    let failing = Hook::new(["false"]).with_on_error(OnError::Continue);
    let set = scene.set(Hooks::new().with(HookPoint::BeforeDump, failing), Hooks::new());
    let notices = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = notices.clone();
    let mut options = DumpOptions::default();
    options.observer = Arc::new(move |event: &Event| {
        if let Event::Notice { message, .. } = event {
            listener.lock().unwrap().push(message.clone());
        }
    });
    let report =
        dumprestore::dump(&set, Destination::new_file(scene.path("app.zip")), options).await.unwrap();
    assert_eq!(report.outcome, DumpOutcome::Ok);
    assert!(notices.lock().unwrap().iter().any(|message| message.contains("before_dump")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_hook_that_fails_degrades_the_run_and_stops_no_other() {
    let scene = Scene::new();
    let set_hooks = telling(&[HookPoint::Always], "set");
    let node_hooks =
        Hooks::new().with(HookPoint::Always, Hook::new(["false"])).with(HookPoint::Always, tell("second"));
    let set = scene.set(set_hooks, node_hooks);
    assert_eq!(scene.dump(&set).await.unwrap().outcome, DumpOutcome::Degraded);
    assert_eq!(scene.told(), "second\nset:always\n");
    assert_eq!(scene.restore(&set).await.unwrap().outcome, RestoreOutcome::Degraded);
    assert_eq!(scene.content(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_is_told_in_confidence_is_not_told_on() {
    let scene = Scene::new();
    let secret = dumprestore::driver::Secret::new("hunter2");
    let cx = dumprestore::driver::BuildContext::new(NodePath::new("x").unwrap(), "/");
    let hook = Hook::new(["sh", "-c", "echo cannot log in with $PASSWORD >&2; exit 1"])
        .with_env("PASSWORD", secret.reveal(&cx).unwrap());
    let error = scene
        .dump(&scene.set(Hooks::new().with(HookPoint::BeforeDump, hook), Hooks::new()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot log in with ***"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_refused_runs_the_hooks_of_failure() {
    let scene = Scene::new();
    let set = scene.set(telling(&[HookPoint::OnFailure, HookPoint::BeforeRestore], "set"), Hooks::new());
    scene.dump(&scene.set(Hooks::new(), Hooks::new())).await.unwrap();
    flip_a_byte(&scene.path("app.zip"));
    let error = scene.restore(&set).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archive);
    assert_eq!(scene.told(), "set:on_failure\n");
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
