//! One test for each thing that went wrong once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::{
    Archive, BackupSet, Destination, Driver, DriverConfig, DumpOptions, DumpOutcome, ErrorKind, NodeBuilder,
    NodePath, OpenArchive, RestoreFrom, RestoreOptions, RestoreOutcome,
};
use dumprestore_command::CommandConfig;
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_tests::degrade;
use serde_json::json;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(folders: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in folders {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("file"), "first").unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn driver<C: DriverConfig>(&self, options: serde_json::Value) -> Arc<dyn Driver> {
        let config: C = serde_json::from_value(options).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), self.folder.path());
        config.build(&cx).unwrap()
    }

    fn folder_driver(&self, path: &str) -> Arc<dyn Driver> {
        self.driver::<FilesystemConfig>(json!({ "path": path }))
    }

    fn set(&self, name: &str, nodes: &[(&str, Arc<dyn Driver>)]) -> BackupSet {
        let builder =
            BackupSet::builder(name).base(self.folder.path()).archive(Archive::to(self.path("archives")));
        let add = |set: dumprestore::SetBuilder, (name, driver): &(&str, Arc<dyn Driver>)| {
            set.node(NodeBuilder::new(*name).driver(driver.clone()))
        };
        nodes.iter().fold(builder, add).build().unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }
}

async fn dump(set: &BackupSet, to: &Path) -> dumprestore::DumpReport {
    dumprestore::dump(set, Destination::new_file(to), DumpOptions::default()).await.unwrap()
}

async fn restore(
    set: &BackupSet,
    from: &Path,
    change: impl FnOnce(&mut RestoreOptions),
) -> dumprestore::Result<dumprestore::RestoreReport> {
    let mut options = RestoreOptions::default();
    change(&mut options);
    dumprestore::restore(set, &RestoreFrom::Archive(OpenArchive::open(from).unwrap()), &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_degraded_dump_could_not_read_survives_its_restore() {
    let scene = Scene::new(&["data"]);
    let set = scene.set("app", &[("data", degrade(scene.folder_driver("data"), "unreadable"))]);
    let archive = scene.path("app.zip");
    assert_eq!(dump(&set, &archive).await.outcome, DumpOutcome::Degraded);
    scene.write("data/unreadable", "the only copy");
    let report = restore(&set, &archive, |_| {}).await.unwrap();
    assert_eq!(report.outcome, RestoreOutcome::Degraded);
    assert_eq!(scene.read("data/unreadable"), "the only copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_would_remove_its_own_safety_dump_or_archives_is_refused() {
    let scene = Scene::new(&["data"]);
    let set = scene.set("app", &[("data", scene.folder_driver("data"))]);
    let archive = scene.path("app.zip");
    dump(&set, &archive).await;
    let inside = scene.path("data/before.zip");
    let error =
        restore(&set, &archive, |options| options.safety_dump = Some(inside.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(!inside.exists());
    let builder =
        BackupSet::builder("app").base(scene.folder.path()).archive(Archive::to(scene.path("data/archives")));
    let set = builder.node(NodeBuilder::new("data").driver(scene.folder_driver("data"))).build().unwrap();
    let error = restore(&set, &archive, |_| {}).await.unwrap_err();
    assert!(error.message().contains("the folder of archives"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_lie_in_a_node_are_not_dumped_into_the_next_one() {
    let scene = Scene::new(&["data"]);
    std::fs::create_dir(scene.path("data/archives")).unwrap();
    let builder =
        BackupSet::builder("app").base(scene.folder.path()).archive(Archive::to(scene.path("data/archives")));
    let set = builder.node(NodeBuilder::new("data").driver(scene.folder_driver("data"))).build().unwrap();
    let first = dump(&set, &scene.path("data/archives/1.zip")).await;
    let second = dump(&set, &scene.path("data/archives/2.zip")).await;
    assert_eq!(first.nodes[0].parts, second.nodes[0].parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn previous_states_of_different_moments_are_not_put_back_as_one() {
    let scene = Scene::new(&["a", "b"]);
    let set = scene.set("app", &[("a", scene.folder_driver("a")), ("b", scene.folder_driver("b"))]);
    let archive = scene.path("app.zip");
    dump(&set, &archive).await;
    for (name, text) in [("a", "second"), ("b", "second")] {
        scene.write(&format!("{name}/file"), text);
    }
    restore(&set, &archive, |options| options.reversible = true).await.unwrap();
    scene.write("a/file", "third");
    let only = |options: &mut RestoreOptions| {
        options.reversible = true;
        options.only = vec!["a".to_owned()];
    };
    restore(&set, &archive, only).await.unwrap();
    let error =
        dumprestore::restore(&set, &RestoreFrom::Previous, &RestoreOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    let mut options = RestoreOptions::default();
    options.only = vec!["b".to_owned()];
    dumprestore::restore(&set, &RestoreFrom::Previous, &options).await.unwrap();
    assert_eq!((scene.read("a/file"), scene.read("b/file")), ("first".to_owned(), "second".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversible_restore_elsewhere_does_not_forget_what_is_kept_here() {
    let scene = Scene::new(&["a", "copy"]);
    let here = scene.set("app", &[("a", scene.folder_driver("a"))]);
    let elsewhere = scene.set("app", &[("a", scene.folder_driver("copy"))]);
    let archive = scene.path("app.zip");
    dump(&here, &archive).await;
    scene.write("a/file", "second");
    restore(&here, &archive, |options| options.reversible = true).await.unwrap();
    restore(&elsewhere, &archive, |options| options.reversible = true).await.unwrap();
    dumprestore::restore(&here, &RestoreFrom::Previous, &RestoreOptions::default()).await.unwrap();
    assert_eq!(scene.read("a/file"), "second");
    assert_eq!(dumprestore::discard_previous(&here).await.unwrap(), 2);
    let left: Vec<_> =
        std::fs::read_dir(scene.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("previous")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_another_set_is_refused_unless_it_is_asked_for() {
    let scene = Scene::new(&["data"]);
    let archive = scene.path("app.zip");
    dump(&scene.set("app", &[("data", scene.folder_driver("data"))]), &archive).await;
    scene.write("data/file", "second");
    let other = scene.set("other", &[("data", scene.folder_driver("data"))]);
    let error = restore(&other, &archive, |_| {}).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("--other-set")), "{error:?}");
    assert_eq!(scene.read("data/file"), "second");
    restore(&other, &archive, |options| options.other_set = true).await.unwrap();
    assert_eq!(scene.read("data/file"), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_restore_is_not_called_a_whole_one() {
    let scene = Scene::new(&["a", "b"]);
    let archive = scene.path("app.zip");
    let both = scene.set("app", &[("a", scene.folder_driver("a")), ("b", scene.folder_driver("b"))]);
    dump(&both, &archive).await;
    let one = scene.set("app", &[("a", scene.folder_driver("a"))]);
    assert_eq!(restore(&one, &archive, |_| {}).await.unwrap().outcome, RestoreOutcome::Degraded);
    let only = |options: &mut RestoreOptions| options.only = vec!["a".to_owned()];
    assert_eq!(restore(&both, &archive, only).await.unwrap().outcome, RestoreOutcome::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_a_killed_dump_left_frozen_is_thawed() {
    let scene = Scene::new(&[]);
    let options = json!({ "dump": ["cat", "/dev/null"], "restore": ["true"], "freeze": ["touch", "frozen"], "thaw": ["rm", "-f", "frozen"] });
    let set = scene.set("app", &[("service", scene.driver::<CommandConfig>(options))]);
    // What a dump leaves that was killed between its pin and its release.
    scene.write("frozen", "");
    std::fs::create_dir_all(set.state_dir().join("app.dump")).unwrap();
    std::fs::write(set.state_dir().join("app.dump/frozen"), "service").unwrap();
    assert!(dumprestore::is_interrupted(&set));
    dumprestore::recover(&set, Arc::new(())).await.unwrap();
    assert!(!scene.path("frozen").exists());
    assert!(!dumprestore::is_interrupted(&set));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_of_nothing_is_not_a_success() {
    let scene = Scene::new(&[]);
    let options = json!({ "dump": ["echo", "content"], "restore": ["true"] });
    let set = scene.set("app", &[("service", scene.driver::<CommandConfig>(options))]);
    let archive = scene.path("app.zip");
    dump(&set, &archive).await;
    let opened = OpenArchive::open(&archive).unwrap();
    let error = dumprestore::rehearse(&set, opened, &RestoreOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}
