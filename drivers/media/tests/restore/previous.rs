//! What is kept, and put back.

use dumprestore_driver::{OldState, Staging};
use dumprestore_testkit::{S3Kind, Step};

use crate::restore_support::Case;

async fn go(staging: &mut dyn Staging) {
    staging.begin().await.unwrap();
    staging.prepare().await.unwrap();
    staging.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_objects_are_put_back_and_forth() {
    for kind in S3Kind::ALL {
        let case = Case::versioned(kind);
        for key in ["a", "b", "c"] {
            case.put(key, "archived");
        }
        let new = case.content();
        let archived = case.dump().await;
        case.put_with("a", "old", &[("content-type", "text/x-old"), ("x-amz-meta-by", "me")]);
        case.delete("b");
        case.put("extra", "old");
        let old = case.content();
        let mut restoring = case.restored(&archived, Step::Commit).await;
        let kept = restoring.staging().finish(OldState::Keep).await.unwrap().unwrap();
        assert_eq!(case.content(), new, "{kind:?}");
        let mut back = case.driver().stage_previous(&kept, case.cx()).await.unwrap();
        go(&mut *back).await;
        assert_eq!(case.content(), old, "{kind:?}");
        back.rollback().await.unwrap();
        assert_eq!(case.content(), new, "{kind:?}");
        let mut back = case.driver().stage_previous(&kept, case.cx()).await.unwrap();
        go(&mut *back).await;
        let forth = back.finish(OldState::Keep).await.unwrap().unwrap();
        assert_eq!(case.content(), old, "{kind:?}");
        // What was put back is not kept as well.
        assert!(case.driver().stage_previous(&kept, case.cx()).await.is_err());
        let mut back = case.driver().stage_previous(&forth, case.cx()).await.unwrap();
        go(&mut *back).await;
        back.finish(OldState::Drop).await.unwrap();
        assert_eq!(case.content(), new, "{kind:?}");
        assert_eq!(case.left(), Vec::<String>::new(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_has_written_elsewhere_since_stays() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "archived");
    case.put("same", "archived");
    let archived = case.dump().await;
    case.put("a", "old");
    let mut restoring = case.restored(&archived, Step::Commit).await;
    let kept = restoring.staging().finish(OldState::Keep).await.unwrap().unwrap();
    case.put("same", "since");
    case.put("new", "since");
    let mut back = case.driver().stage_previous(&kept, case.cx()).await.unwrap();
    go(&mut *back).await;
    back.finish(OldState::Drop).await.unwrap();
    for (key, content) in [("a", "old"), ("same", "since"), ("new", "since")] {
        assert_eq!(case.get(key).as_deref(), Some(content), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_takes_the_place_of_what_was_kept_before_and_can_be_dropped() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "archived");
    let archived = case.dump().await;
    let mut kept = Vec::new();
    for content in ["first", "second"] {
        case.put("a", content);
        let mut restoring = case.restored(&archived, Step::Commit).await;
        kept.push(restoring.staging().finish(OldState::Keep).await.unwrap().unwrap());
    }
    let error = case.driver().stage_previous(&kept[0], case.cx()).await.err().unwrap();
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(!case.left().is_empty());
    for _twice in 0..2 {
        case.driver().discard_previous(&kept[1]).await.unwrap();
        assert_eq!(case.left(), Vec::<String>::new());
    }
    assert_eq!(case.get("a").as_deref(), Some("archived"));
}
