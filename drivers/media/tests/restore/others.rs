//! Somebody else writes to the bucket meanwhile.

use std::sync::Arc;

use dumprestore_driver::{ErrorKind, OldState, StageContext};
use dumprestore_testkit::{Faulty, Restoring, S3Kind, Step, TempDir};

use crate::restore_support::{Case, driver, dump};

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
    let plain = S3Kind::ALL.into_iter().map(Case::new);
    for case in plain.chain([Case::versioned(S3Kind::Moto)]) {
        case.put("a", "archived");
        let archived = case.dump().await;
        case.put("a", "old");
        let mut first = case.restored(&archived, Step::Prepare).await;
        // Those that are refused take nothing of the first along, not even its mark.
        for _another in 0..2 {
            let mut second = case.stage(&archived, case.cx()).await.unwrap();
            let error = second.go(Step::Commit, OldState::Drop).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
            assert!(error.hint().unwrap().contains("dumprestore recover"), "{error:?}");
            second.staging().rollback().await.unwrap();
        }
        first.staging().commit().await.unwrap();
        first.staging().finish(OldState::Drop).await.unwrap();
        assert_eq!(case.get("a").as_deref(), Some("archived"));
        assert_eq!(case.left(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_restores_of_which_one_goes_into_a_part_of_the_other_do_not_meet() {
    let outer = Case::new(S3Kind::Moto);
    outer.put("a", "archived");
    outer.put("inner/b", "archived");
    let mut options = outer.options();
    options["url"] = outer.bucket.url("media/inner").into();
    let inner = driver(options.clone());
    let of_inner = dump(&*inner, &outer.folder.path().join("inner"), outer.folder.path()).await;
    let of_outer = outer.dump().await;
    let stage = async |run: &str| {
        let cx = StageContext::new(run);
        Restoring::stage(&*inner, of_inner.clone(), cx, Arc::new(Faulty::never())).await.unwrap()
    };
    outer.put("a", "old");
    outer.put("inner/b", "old");
    let locked = async |mut second: Restoring| {
        let error = second.go(Step::Commit, OldState::Drop).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
        second.staging().rollback().await.unwrap();
    };

    let mut first = stage("20260101t000000z-a1").await;
    first.go(Step::Prepare, OldState::Drop).await.unwrap();
    locked(outer.stage(&of_outer, outer.cx()).await.unwrap()).await;
    first.staging().commit().await.unwrap();
    first.staging().finish(OldState::Drop).await.unwrap();

    let mut first = outer.restored(&of_outer, Step::Prepare).await;
    locked(stage("20260101t000000z-a2").await).await;
    // One that came there unseen stops the other before it commits.
    first.staging().rollback().await.unwrap();
    let mut second = outer.restored(&of_outer, Step::Load).await;
    outer.put("inner/.dumprestore/restore.json", "{}");
    let error = second.staging().prepare().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    second.staging().rollback().await.unwrap();
    assert_eq!((outer.get("a").as_deref(), outer.get("inner/b").as_deref()), (Some("old"), Some("archived")));

    options["exclude"] = serde_json::json!(["inner"]);
    options["url"] = outer.bucket.url("media").into();
    let apart = driver(options);
    let cx = StageContext::new("20260101t000000z-a3");
    let mut apart = Restoring::stage(&*apart, of_outer, cx, Arc::new(Faulty::never())).await.unwrap();
    apart.go(Step::Finish, OldState::Drop).await.unwrap();
    assert_eq!(outer.get("a").as_deref(), Some("archived"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_lost_what_it_knew_says_so_and_removes_nothing() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "archived");
    let archived = case.dump().await;
    case.put("a", "old");
    let mut restoring = case.restored(&archived, Step::Commit).await;
    let token = restoring.staging().journal();
    let state = format!("media/.dumprestore/{}/state.json", token["run"].as_str().unwrap());
    let saved = case.bucket.get(&state).unwrap();
    case.bucket.delete(&state);
    let error = case.resume(&token).await.rollback().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error}");
    case.bucket.put(&state, saved);
    restoring.staging().rollback().await.unwrap();
    assert_eq!(case.get("a").as_deref(), Some("old"));
    assert_eq!(case.left(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_a_folder_that_is_refused_leaves_what_another_is_writing() {
    let folder = TempDir::with_prefix("dumprestore-").unwrap();
    let media = folder.path().join("media");
    std::fs::create_dir(&media).unwrap();
    std::fs::write(media.join("a"), "archived").unwrap();
    let driver = driver(serde_json::json!({ "url": format!("fs://{}", media.display()) }));
    let archived = dump(&*driver, &folder.path().join("archive"), folder.path()).await;
    std::fs::write(media.join("a"), "old").unwrap();
    let stage = async |run: &str| {
        let cx = StageContext::new(run);
        Restoring::stage(&*driver, archived.clone(), cx, Arc::new(Faulty::never())).await.unwrap()
    };
    let mut first = stage("20260101t000000z-1").await;
    first.go(Step::Prepare, OldState::Drop).await.unwrap();
    let unfinished = media.join(".dumprestore-partial/000000000001.x");
    std::fs::write(&unfinished, "half").unwrap();
    let mut second = stage("20260101t000000z-2").await;
    let error = second.go(Step::Commit, OldState::Drop).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    second.staging().rollback().await.unwrap();
    assert!(unfinished.exists());
    first.staging().rollback().await.unwrap();
    assert!(!unfinished.exists());
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
