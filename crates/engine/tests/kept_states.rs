//! What is noted of the states that restores have kept, and have not.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::path::Path;
use std::sync::Arc;

use dumprestore::{BackupSet, OpenArchive, RecoverOutcome, RestoreFrom, RestoreOptions, RestoreOutcome};
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
