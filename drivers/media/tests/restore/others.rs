//! Somebody else writes to the bucket meanwhile.

use dumprestore_driver::{ErrorKind, OldState};
use dumprestore_testkit::{S3Kind, Step};

use crate::restore_support::Case;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_between_prepare_and_commit_is_told_and_comes_back_with_a_rollback() {
    for kind in S3Kind::ALL {
        let case = Case::new(kind);
        for key in ["a", "b", "c"] {
            case.put(key, "archived");
        }
        let archived = case.dump().await;
        case.put("a", "old");
        case.delete("b");
        case.put("extra", "old");
        let mut restoring = case.restored(&archived, Step::Prepare).await;
        case.put("a", "late a");
        case.put("b", "late b");
        case.put("extra", "late extra");
        restoring.staging().commit().await.unwrap();
        assert_eq!(case.get("a").as_deref(), Some("archived"));
        assert_eq!(case.get("b").as_deref(), Some("archived"));
        assert_eq!(case.get("extra"), None);
        let mut told: Vec<_> = restoring.staging().ledger().into_iter().map(|entry| entry.what).collect();
        told.sort();
        assert_eq!(told, ["a", "b", "extra"], "{kind:?}");
        restoring.staging().rollback().await.unwrap();
        for (key, content) in [("a", "late a"), ("b", "late b"), ("c", "archived"), ("extra", "late extra")] {
            assert_eq!(case.get(key).as_deref(), Some(content), "{kind:?} {key}");
        }
        assert_eq!(case.left(), Vec::<String>::new(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_leaves_what_was_written_after_the_commit() {
    for kind in S3Kind::ALL {
        let case = Case::new(kind);
        for key in ["a", "b", "c"] {
            case.put(key, "archived");
        }
        let archived = case.dump().await;
        case.put("a", "old a");
        case.delete("b");
        case.put("c", "old c");
        case.put("extra", "old extra");
        let mut restoring = case.restored(&archived, Step::Commit).await;
        case.put("a", "theirs a");
        case.put("b", "theirs b");
        case.put("extra", "theirs extra");
        case.put("new", "theirs new");
        restoring.staging().rollback().await.unwrap();
        for (key, content) in [
            ("a", "theirs a"),
            ("b", "theirs b"),
            ("c", "old c"),
            ("extra", "theirs extra"),
            ("new", "theirs new"),
        ] {
            assert_eq!(case.get(key).as_deref(), Some(content), "{kind:?} {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_the_same_and_is_written_before_prepare_is_restored_all_the_same() {
    let case = Case::new(S3Kind::Moto);
    for key in ["a", "b", "c"] {
        case.put(key, "archived");
    }
    let archived = case.dump().await;
    case.put("a", "old");
    let mut restoring = case.restored(&archived, Step::Load).await;
    case.put("b", "meanwhile");
    case.delete("c");
    case.put("a", "archived");
    case.put("extra", "meanwhile");
    let now = case.content();
    restoring.staging().prepare().await.unwrap();
    restoring.staging().commit().await.unwrap();
    for key in ["a", "b", "c"] {
        assert_eq!(case.get(key).as_deref(), Some("archived"), "{key}");
    }
    assert_eq!(case.get("extra"), None);
    restoring.staging().rollback().await.unwrap();
    assert_eq!(case.content(), now);
    assert_eq!(case.left(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_that_come_after_prepare_stay() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "archived");
    let archived = case.dump().await;
    case.put("a", "old");
    let mut restoring = case.restored(&archived, Step::Prepare).await;
    case.put("new", "theirs");
    restoring.staging().commit().await.unwrap();
    restoring.staging().finish(OldState::Drop).await.unwrap();
    assert_eq!(case.get("new").as_deref(), Some("theirs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_restores_into_one_prefix_do_not_meet() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "archived");
    let archived = case.dump().await;
    case.put("a", "old");
    let mut first = case.restored(&archived, Step::Prepare).await;
    let mut second = case.stage(&archived, case.cx()).await.unwrap();
    let error = second.go(Step::Commit, OldState::Drop).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(error.hint().unwrap().contains("dumprestore recover"), "{error:?}");
    // The second takes nothing of the first along.
    second.staging().rollback().await.unwrap();
    first.staging().commit().await.unwrap();
    first.staging().finish(OldState::Drop).await.unwrap();
    assert_eq!(case.get("a").as_deref(), Some("archived"));
    assert_eq!(case.left(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_cut_off_anywhere_goes_on_or_back() {
    let case = Case::new(S3Kind::Moto);
    for number in 0..6 {
        case.put(&format!("{number}"), &format!("archived {number}"));
    }
    let content = case.content();
    let archived = case.dump().await;
    let seed = || {
        for number in 0..6 {
            case.put(&format!("{number}"), &format!("old {number}"));
        }
        case.delete("5");
        case.put("extra", "old");
    };
    seed();
    let old = case.content();
    for cut in 0..5 {
        for forward in [true, false] {
            seed();
            let mut restoring = case.restored(&archived, Step::Prepare).await;
            let token = restoring.staging().journal();
            drop(restoring);
            // As a commit does: it says so, copies some, and is cut off.
            let run = token["run"].as_str().unwrap();
            let state = format!("media/.dumprestore/{run}/state.json");
            let text = String::from_utf8(case.bucket.get(&state).unwrap()).unwrap();
            assert!(text.contains("\"prepared\""), "{text}");
            case.bucket.put(&state, text.replace("\"prepared\"", "\"committing\""));
            for number in 0..cut {
                case.put(&format!("{number}"), &format!("archived {number}"));
            }
            let mut resumed = case.resume(&token).await;
            match forward {
                true => {
                    resumed.commit().await.unwrap();
                    assert_eq!(case.content(), content, "{cut}");
                    resumed.finish(OldState::Drop).await.unwrap();
                }
                false => {
                    resumed.rollback().await.unwrap();
                    assert_eq!(case.content(), old, "{cut}");
                }
            }
            assert_eq!(case.left(), Vec::<String>::new(), "{cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_lost_its_old_objects_says_so_and_removes_nothing() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "archived");
    let archived = case.dump().await;
    case.put("a", "old");
    let mut restoring = case.restored(&archived, Step::Commit).await;
    let old: Vec<_> =
        case.bucket.keys("media/.dumprestore/").into_iter().filter(|key| key.contains("/old/")).collect();
    let saved = case.bucket.get(&old[0]).unwrap();
    case.bucket.delete(&old[0]);
    let error = restoring.staging().rollback().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error}");
    assert!(error.hint().unwrap().contains("recover"), "{error:?}");
    assert_eq!(case.get("a").as_deref(), Some("archived"));
    // Once it is back, it goes on.
    case.bucket.put(&old[0], saved);
    restoring.staging().rollback().await.unwrap();
    assert_eq!(case.get("a").as_deref(), Some("old"));
    assert_eq!(case.left(), Vec::<String>::new());
}
