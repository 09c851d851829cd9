//! What a restore writes, and what it leaves.

use dumprestore_driver::{Extras, OldState};
use dumprestore_testkit::{S3Kind, Step};

use crate::restore_support::Case;

/// Three objects, one of which is large enough for several parts.
fn fill(case: &Case) {
    case.put("a.txt", "one");
    case.put("b/c.txt", "two");
    case.put("large.bin", &"0123456789abcdef".repeat(20 << 16));
}

/// Changes one, adds one, removes one.
fn change(case: &Case) {
    case.put("a.txt", "another");
    case.put("extra.txt", "not archived");
    case.delete("large.bin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_brings_back_what_was_dumped_and_leaves_nothing_else() {
    for kind in S3Kind::ALL {
        for case in [Case::new(kind), Case::versioned(kind)] {
            fill(&case);
            let content = case.content();
            let archived = case.dump().await;
            change(&case);
            let changed = case.content();
            let mut restoring = case.restored(&archived, Step::Prepare).await;
            assert_eq!(case.content(), changed, "{kind:?}");
            restoring.staging().commit().await.unwrap();
            assert_eq!(case.content(), content, "{kind:?}");
            restoring.staging().finish(OldState::Drop).await.unwrap();
            assert_eq!(case.content(), content, "{kind:?}");
            assert_eq!(case.left(), Vec::<String>::new(), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_from_any_step_brings_the_old_objects_back_and_leaves_nothing() {
    for kind in S3Kind::ALL {
        for step in [Step::Begin, Step::Load, Step::Prepare, Step::Commit] {
            let case = Case::versioned(kind);
            fill(&case);
            let archived = case.dump().await;
            change(&case);
            let changed = case.content();
            let mut restoring = case.restored(&archived, step).await;
            let token = restoring.staging().journal();
            restoring.staging().rollback().await.unwrap();
            assert_eq!(case.content(), changed, "{kind:?} {step:?}");
            assert_eq!(case.left(), Vec::<String>::new(), "{kind:?} {step:?}");
            case.resume(&token).await.rollback().await.unwrap();
            assert_eq!(case.content(), changed, "{kind:?} {step:?}, twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_is_neither_loaded_nor_written() {
    let case = Case::versioned(S3Kind::Moto);
    for number in 0..12 {
        case.put(&format!("{number:02}.txt"), &number.to_string());
    }
    let archived = case.dump().await;
    case.put("07.txt", "another");
    let changes = case.changes(&archived).await.unwrap();
    assert_eq!((changes.create, changes.replace, changes.remove, changes.unchanged), (0, 1, 0, 11));
    let mut restoring = case.restored(&archived, Step::Load).await;
    let staged = case.bucket.list("media/.dumprestore/");
    let new: Vec<_> = staged.iter().filter(|object| object.key.contains("/new/")).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    restoring.staging().prepare().await.unwrap();
    restoring.staging().commit().await.unwrap();
    let versions = case.bucket.versions("media/");
    let of = |key: &str| versions.iter().filter(|version| version.key == format!("media/{key}")).count();
    assert_eq!((of("07.txt"), of("08.txt")), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_restore_finds_nothing_to_do() {
    for kind in S3Kind::ALL {
        let case = Case::new(kind);
        case.put_with("a.txt", "one", &[("content-type", "text/x-a"), ("x-amz-meta-by", "me")]);
        case.put("b.txt", "two");
        let archived = case.dump().await;
        case.delete("a.txt");
        case.put("b.txt", "else");
        case.restored(&archived, Step::Finish).await;
        let changes = case.changes(&archived).await.unwrap();
        assert_eq!(
            (changes.create, changes.replace, changes.remove, changes.unchanged),
            (0, 0, 0, 2),
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_stay_go_or_stop_the_restore_before_anything_is_written() {
    let case = Case::new(S3Kind::Moto);
    fill(&case);
    let archived = case.dump().await;
    change(&case);
    let before = case.content();
    let refused = case.restored_with(&archived, Step::Begin, case.cx().with_extras(Extras::Fail)).await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("1 objects that the archive does not") && error.contains("extra.txt"), "{error}");
    assert_eq!((case.content(), case.left()), (before, Vec::new()));
    let kept = case.restored_with(&archived, Step::Finish, case.cx().with_extras(Extras::Keep)).await;
    drop(kept);
    assert_eq!(case.get("extra.txt").as_deref(), Some("not archived"));
    assert_eq!(case.get("a.txt").as_deref(), Some("one"));
    case.restored(&archived, Step::Finish).await;
    assert_eq!(case.get("extra.txt"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_or_not_of_the_node_is_left_alone() {
    let case = Case::new(S3Kind::Moto).with(serde_json::json!({ "exclude": ["*.tmp"] }));
    fill(&case);
    let archived = case.dump().await;
    change(&case);
    case.put("cache/x.tmp", "excluded");
    case.bucket.put("elsewhere.txt", "not below the prefix");
    case.restored(&archived, Step::Finish).await;
    assert_eq!(case.get("cache/x.tmp").as_deref(), Some("excluded"));
    assert_eq!(case.bucket.get("elsewhere.txt").as_deref(), Some(&b"not below the prefix"[..]));
    assert_eq!(case.get("extra.txt"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_a_kill_cut_off_are_aborted_at_the_end() {
    let case = Case::new(S3Kind::Moto);
    fill(&case);
    let archived = case.dump().await;
    change(&case);
    let mut restoring = case.restored(&archived, Step::Begin).await;
    let run = restoring.staging().journal()["run"].as_str().unwrap().to_owned();
    let key = format!("media/.dumprestore/{run}/new/000000000001");
    let upload = case.bucket.begin_upload(&key);
    case.bucket.upload_part(&key, &upload, 1, &[7; 1000]);
    let theirs = case.bucket.begin_upload("media/theirs.bin");
    restoring.staging().rollback().await.unwrap();
    let left: Vec<_> = case.bucket.uploads("").into_iter().map(|upload| upload.id).collect();
    assert_eq!(left, [theirs]);
}
