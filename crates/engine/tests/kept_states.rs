//! What is noted of the states that restores have kept, and have not.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::path::Path;
use std::sync::{Arc, Mutex};

use dumprestore::{
    BackupSet, ErrorKind, Event, OpenArchive, RecoverOutcome, RestoreFrom, RestoreOptions, RestoreOutcome,
};
use vault::{dump, fill, held, node};

async fn restore(set: &BackupSet, archive: &OpenArchive, reversible: bool) -> RestoreOutcome {
    let mut options = RestoreOptions::default();
    options.reversible = reversible;
    let from = RestoreFrom::Archive(archive.clone());
    dumprestore::restore(set, &from, &options).await.unwrap().outcome
}

/// What a person is told who asks for the previous state.
async fn told_of_previous(set: &BackupSet) -> String {
    let options = RestoreOptions::default();
    dumprestore::plan_restore(set, &RestoreFrom::Previous, &options).await.unwrap().warnings.join("\n")
}

fn unwritable_list(folder: &Path) -> std::path::PathBuf {
    let partial = folder.join(".dumprestore/bank.previous.json.partial");
    std::fs::create_dir(&partial).unwrap();
    partial
}

#[tokio::test]
async fn a_restore_that_could_not_note_what_it_passed_over_is_finished_by_recover() {
    let folder = tempfile::tempdir().unwrap();
    let set = vault::set(folder.path(), &node("db", "passes over", ""), &[]).unwrap();
    fill("passes over", &[("a", "1")]);
    let archive = dump(&set, folder.path()).await;
    assert_eq!(restore(&set, &archive, true).await, RestoreOutcome::Ok);
    assert!(!told_of_previous(&set).await.contains("has restored"));

    fill("passes over", &[("a", "9")]);
    let in_the_way = unwritable_list(folder.path());
    assert_eq!(restore(&set, &archive, false).await, RestoreOutcome::Degraded);
    assert_eq!(held("passes over"), "a=1");
    std::fs::remove_dir(in_the_way).unwrap();
    let recovered = dumprestore::recover(&set, Arc::new(())).await.unwrap();
    assert_eq!(recovered.map(|recovered| recovered.outcome), Some(RecoverOutcome::Finished));
    let told = told_of_previous(&set).await;
    assert!(told.contains("has restored `db` since, and kept nothing"), "{told}");
}

#[tokio::test]
async fn what_is_kept_of_other_nodes_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = node("db", "stays one", "") + &node("files", "stays two", "");
    let set = vault::set(folder.path(), &nodes, &[]).unwrap();
    ["stays one", "stays two"].iter().for_each(|name| fill(name, &[("a", "1")]));
    let archive = dump(&set, folder.path()).await;
    restore(&set, &archive, true).await;
    let mut options = RestoreOptions::default();
    options.only = vec!["files".to_owned()];
    dumprestore::restore(&set, &RestoreFrom::Archive(archive.clone()), &options).await.unwrap();
    let told = told_of_previous(&set).await;
    assert!(told.contains("has restored `files` since") && !told.contains("has restored `db`"), "{told}");
    // What is kept anew takes the place of what was passed over.
    restore(&set, &archive, true).await;
    assert!(!told_of_previous(&set).await.contains("has restored"));
}

/// What warnings a restore gave.
async fn warned(set: &BackupSet, archive: &OpenArchive) -> (RestoreOutcome, String) {
    let (told, mut options) = (Arc::new(Mutex::new(String::new())), RestoreOptions::default());
    let warned = told.clone();
    options.observer = Arc::new(move |event: &Event| {
        if let Event::Notice { message, hint, .. } = event {
            warned.lock().unwrap().push_str(&format!("{message} {hint:?}"));
        }
    });
    let from = RestoreFrom::Archive(archive.clone());
    let report = dumprestore::restore(set, &from, &options).await.unwrap();
    let told = told.lock().unwrap().clone();
    (report.outcome, told)
}

#[tokio::test]
async fn a_list_that_makes_no_sense_is_put_aside_and_stops_no_restore() {
    let folder = tempfile::tempdir().unwrap();
    let set = vault::set(folder.path(), &node("db", "damaged list", ""), &[]).unwrap();
    fill("damaged list", &[("a", "1")]);
    let archive = dump(&set, folder.path()).await;
    restore(&set, &archive, true).await;
    let state = folder.path().join(".dumprestore");
    let list = state.join("bank.previous.json");
    let damaged = &std::fs::read(&list).unwrap()[..40];
    for _twice in 0..2 {
        std::fs::write(&list, damaged).unwrap();
        let previous = RestoreFrom::Previous;
        let error = dumprestore::plan_restore(&set, &previous, &RestoreOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains("can't be read") && error.hint().is_some(), "{error:?}");
        assert!(dumprestore::discard_previous(&set).await.unwrap_err().hint().is_some());
        fill("damaged list", &[("a", "9")]);
        let (outcome, told) = warned(&set, &archive).await;
        assert_eq!(outcome, RestoreOutcome::Ok);
        assert!(told.contains("bank.previous.json.unreadable-"), "{told}");
        assert_eq!(held("damaged list"), "a=1");
        assert!(!list.exists() && !dumprestore::is_interrupted(&set));
    }
    let aside = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let aside: Vec<_> = aside.filter(|path| path.to_string_lossy().contains(".unreadable-")).collect();
    assert_eq!(aside.len(), 2, "one of them was overwritten");
    assert!(aside.iter().all(|path| std::fs::read(path).unwrap() == damaged));
}

#[tokio::test]
async fn a_list_that_the_disk_does_not_give_is_left_alone_and_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let set = vault::set(folder.path(), &node("db", "unread list", ""), &[]).unwrap();
    fill("unread list", &[("a", "1")]);
    let archive = dump(&set, folder.path()).await;
    let list = folder.path().join(".dumprestore/bank.previous.json");
    std::fs::create_dir(&list).unwrap();
    assert_eq!(warned(&set, &archive).await.0, RestoreOutcome::Degraded);
    let error = dumprestore::recover(&set, Arc::new(())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    assert!(error.to_string().contains("can't read"), "{error}");
    assert!(error.hint().unwrap().contains("move it away; then run `dumprestore recover`"), "{error:?}");
    std::fs::remove_dir(&list).unwrap();
    let recovered = dumprestore::recover(&set, Arc::new(())).await.unwrap();
    assert_eq!(recovered.map(|recovered| recovered.outcome), Some(RecoverOutcome::Finished));
}
