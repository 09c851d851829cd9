//! Archives without bytes, and restores elsewhere.

use dumprestore_driver::OldState;
use dumprestore_testkit::{S3Kind, Step};
use serde_json::json;

use crate::restore_support::{Case, driver, dump};

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_copied_over_what_came_after_them() {
    for kind in S3Kind::ALL {
        let case = Case::versioned(kind).with(json!({ "mode": "versions" }));
        case.put_with("a", "archived", &[("content-type", "text/x-a"), ("x-amz-meta-by", "me")]);
        case.put("b", "archived");
        case.put("c", "archived");
        let content = case.content();
        let archived = case.dump().await;
        assert_eq!(archived.names().len(), 1);
        case.put("a", "newer");
        case.delete("b");
        case.put("extra", "newer");
        let changed = case.content();
        let changes = case.changes(&archived).await.unwrap();
        assert_eq!(
            (changes.create, changes.replace, changes.remove, changes.unchanged),
            (1, 1, 1, 1),
            "{kind:?}"
        );
        let mut restoring = case.restored(&archived, Step::Commit).await;
        assert_eq!(case.content(), content, "{kind:?}");
        restoring.staging().rollback().await.unwrap();
        assert_eq!(case.content(), changed, "{kind:?}");
        case.restored(&archived, Step::Finish).await;
        assert_eq!(case.content(), content, "{kind:?}");
        assert_eq!(case.left(), Vec::<String>::new(), "{kind:?}");
        // What is live now are copies of them.
        let changes = case.changes(&archived).await.unwrap();
        assert_eq!((changes.create, changes.replace, changes.unchanged), (0, 0, 3), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_gone_is_found_before_anything_is_touched() {
    let case = Case::versioned(S3Kind::Moto).with(json!({ "mode": "versions" }));
    case.put("a", "archived");
    let archived = case.dump().await;
    let id = case.bucket.versions("media/a")[0].id.clone();
    case.put("a", "newer");
    case.bucket.delete_version("media/a", &id);
    let before = case.content();
    for error in [
        case.changes(&archived).await.err().unwrap(),
        case.restored_with(&archived, Step::Begin, case.cx()).await.err().unwrap(),
    ] {
        assert!(error.to_string().contains("version") && error.to_string().contains("key: a"), "{error}");
    }
    assert_eq!((case.content(), case.left()), (before, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_restored_into_a_folder_and_a_folder_into_a_bucket() {
    let case = Case::new(S3Kind::Moto);
    case.put_with("a/b", "one", &[("content-type", "text/x-a")]);
    case.put("c", "two");
    let archived = case.dump().await;
    let folder = tempfile();
    std::fs::write(folder.path().join("extra"), "extra").unwrap();
    let into_folder = driver(json!({ "url": format!("fs://{}", folder.path().display()) }));
    let mut restoring = dumprestore_testkit::Restoring::stage(
        &*into_folder,
        archived,
        case.cx(),
        std::sync::Arc::new(dumprestore_testkit::Faulty::never()),
    )
    .await
    .unwrap();
    restoring.go(Step::Finish, OldState::Drop).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("a/b")).unwrap(), "one");
    assert!(!folder.path().join("extra").exists() && !folder.path().join(".dumprestore").exists());
    // That the folder keeps no content types is told.
    let told = restoring.staging().ledger();
    assert!(told.iter().any(|entry| entry.degrades && entry.what == "2 objects"), "{told:?}");

    let (archive, scratch) = (tempfile(), tempfile());
    let archived = dump(&*into_folder, archive.path(), scratch.path()).await;
    let back = Case::new(S3Kind::Moto);
    back.restored(&archived, Step::Finish).await;
    assert_eq!(back.get("a/b").as_deref(), Some("one"));
    assert_eq!(back.get("c").as_deref(), Some("two"));
}

fn tempfile() -> dumprestore_testkit::TempDir {
    dumprestore_testkit::TempDir::with_prefix("dumprestore-").unwrap()
}
