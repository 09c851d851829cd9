//! A folder as a store.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;

use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl, PARTIAL_FOLDER, Versioning};
use dumprestore_driver::ErrorKind;

fn opened(folder: &Path) -> dumprestore_driver::Result<Bucket> {
    let url = BucketUrl::parse(&format!("fs://{}", folder.display()))?;
    Bucket::open(&url, &BucketOptions::default(), Path::new("/"))
}

#[tokio::test]
async fn a_file_appears_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = opened(folder.path()).unwrap();
    let deeper = bucket.within("a/b").unwrap();
    let mut writer = deeper.operator().writer("file").await.unwrap();
    writer.write("con").await.unwrap();
    assert!(!folder.path().join("a/b/file").exists());
    writer.write("tent").await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("a/b/file")).unwrap(), b"content");
    let mut writer = deeper.operator().writer("gone").await.unwrap();
    writer.write("con").await.unwrap();
    writer.abort().await.unwrap();
    assert!(!folder.path().join("a/b/gone").exists());
    assert_eq!(deeper.shown(), format!("fs://{}/a/b", folder.path().display()));
    assert_eq!(bucket.versioning().await.unwrap(), Versioning::Off);
    bucket.check().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("mount");
    let error = opened(&missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint().unwrap().contains("mount what belongs there"));
    assert!(!missing.exists());
}

#[tokio::test]
async fn whoever_only_looks_leaves_nothing_and_takes_nothing_from_who_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (looks, writes) = (opened(folder.path()).unwrap(), opened(folder.path()).unwrap());
    looks.check().await.unwrap();
    drop(looks);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    writes.operator().write("a/file", "content").await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("a/file")).unwrap(), b"content");
}

#[tokio::test]
async fn what_is_missing_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = opened(folder.path()).unwrap();
    let error = bucket.operator().read("a/file").await.unwrap_err();
    let error = bucket.failed("read", "a/file", error);
    let told = format!("can't read `fs://{}/a/file`: there is no such object", folder.path().display());
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn what_a_killed_process_left_is_found_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = opened(folder.path()).unwrap();
    let deeper = bucket.within("a").unwrap();
    let mut writer = deeper.operator().writer("b/shop.zip").await.unwrap();
    writer.write("con").await.unwrap();
    // As if it had been killed: nobody aborts.
    std::mem::forget(writer);
    let found = bucket.unfinished_uploads().await.unwrap();
    assert_eq!(found.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["shop.zip"]);
    bucket.abort_upload(&found[0]).await.unwrap();
    bucket.abort_upload(&found[0]).await.unwrap();
    assert!(bucket.unfinished_uploads().await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(folder.path().join(PARTIAL_FOLDER)).unwrap().count(), 0);
}
