//! The folder in which a set keeps what a later run has to know.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dumprestore::{
    BackupSet, Destination, DumpOptions, Error, ErrorKind, OpenArchive, RecoverOutcome, RestoreFrom,
    RestoreOptions,
};
use vault::{dump, fill, held, node, set};

/// A set that keeps its state in that folder.
fn keeping(folder: &Path, nodes: &str, state: &str) -> BackupSet {
    set(folder, &format!("{nodes}state: {state}\n"), &[]).unwrap()
}

/// What each command says that needs the state.
async fn refused(set: &BackupSet, archive: &OpenArchive) -> [Error; 4] {
    let to = Destination::new_file(set.base().join("another.zip"));
    let from = RestoreFrom::Archive(archive.clone());
    [
        dumprestore::dump(set, to, DumpOptions::default()).await.unwrap_err(),
        dumprestore::restore(set, &from, &RestoreOptions::default()).await.unwrap_err(),
        dumprestore::recover(set, Arc::new(())).await.unwrap_err(),
        dumprestore::discard_previous(set).await.unwrap_err(),
    ]
}

/// What is said where nothing is written, and the plan would tell of a set with nothing to recover.
async fn unplanned(set: &BackupSet, archive: &OpenArchive) -> Error {
    let from = RestoreFrom::Archive(archive.clone());
    dumprestore::plan_restore(set, &from, &RestoreOptions::default()).await.unwrap_err()
}

#[tokio::test]
async fn an_interrupted_restore_whose_journal_is_not_mounted_is_neither_passed_over_nor_dumped() {
    let folder = tempfile::tempdir().unwrap();
    let (mount_point, state) = (folder.path().join("mnt"), folder.path().join("mnt/state"));
    std::fs::create_dir_all(&state).unwrap();
    let alive = keeping(folder.path(), &node("db", "unmounted", ""), "mnt/state");
    let dying = keeping(folder.path(), &node("db", "unmounted", ", hangs: before commit"), "mnt/state");
    fill("unmounted", &[("a", "1")]);
    let archive = dump(&alive, folder.path()).await;
    fill("unmounted", &[("a", "9")]);
    let from = RestoreFrom::Archive(archive.clone());
    let options = RestoreOptions::default();
    let killed = dumprestore::restore(&dying, &from, &options);
    assert!(tokio::time::timeout(Duration::from_millis(600), killed).await.is_err());
    assert!(dumprestore::is_interrupted(&alive));

    // As behind a mount point whose volume is not there.
    let away = folder.path().join("away");
    std::fs::rename(&state, &away).unwrap();
    for error in refused(&alive, &archive).await.into_iter().chain([unplanned(&alive, &archive).await]) {
        assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        assert!(error.hint().unwrap().contains("is its volume mounted?"), "{error}");
    }
    assert_eq!(
        std::fs::read_dir(&mount_point).unwrap().count(),
        0,
        "something was made behind the mount point"
    );
    assert!(!folder.path().join("another.zip").exists());

    std::fs::rename(&away, &state).unwrap();
    let recovered = dumprestore::recover(&alive, Arc::new(())).await.unwrap().unwrap();
    assert_eq!(recovered.outcome, RecoverOutcome::RolledBack);
    assert_eq!(held("unmounted"), "a=9");
}

#[tokio::test]
async fn the_top_of_a_volume_keeps_no_state() {
    let folder = tempfile::tempdir().unwrap();
    fill("on-top", &[("a", "1")]);
    let nodes = node("db", "on-top", "");
    let archive = dump(&set(folder.path(), &nodes, &[]).unwrap(), folder.path()).await;
    std::os::unix::fs::symlink("/proc", folder.path().join("link")).unwrap();
    for state in ["/proc", "link"] {
        let set = keeping(folder.path(), &nodes, state);
        for error in refused(&set, &archive).await.into_iter().chain([unplanned(&set, &archive).await]) {
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.hint().unwrap().contains("a folder on the volume"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_link_to_a_folder_that_is_not_there_keeps_no_state() {
    let folder = tempfile::tempdir().unwrap();
    fill("linked", &[("a", "1")]);
    let nodes = node("db", "linked", "");
    let archive = dump(&set(folder.path(), &nodes, &[]).unwrap(), folder.path()).await;
    std::fs::remove_dir_all(folder.path().join(".dumprestore")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join(".dumprestore")).unwrap();
    for state in ["", "state: .dumprestore\n"] {
        let set = set(folder.path(), &format!("{nodes}{state}"), &[]).unwrap();
        refused(&set, &archive).await;
        assert!(!folder.path().join("nowhere").exists());
    }
}

#[tokio::test]
async fn without_a_name_the_state_folder_is_made_and_nothing_above_it() {
    let folder = tempfile::tempdir().unwrap();
    fill("made", &[("a", "1")]);
    let nodes = node("db", "made", "");
    let base = folder.path().join("base");
    let error = dumprestore::recover(&set(&base, &nodes, &[]).unwrap(), Arc::new(())).await.unwrap_err();
    assert!(error.to_string().contains("state folder") && !base.exists(), "{error}");
    std::fs::create_dir(&base).unwrap();
    let set = set(&base, &nodes, &[]).unwrap();
    assert!(dumprestore::recover(&set, Arc::new(())).await.unwrap().is_none());
    let made = std::fs::metadata(base.join(".dumprestore")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&made.permissions()) & 0o777, 0o700);
    dump(&set, folder.path()).await;
}
