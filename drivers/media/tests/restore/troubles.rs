//! The way to the server is bad, or ends.

use std::time::Duration;

use dumprestore_driver::{ErrorKind, OldState};
use dumprestore_testkit::{Mishap, Requests, S3Kind, Step, Trouble, spread};
use serde_json::json;

use crate::restore_support::Case;

/// As many moments at which the way ends are tried.
const MOMENTS: u64 = 24;

fn seed(case: &Case) {
    for number in 0..4 {
        case.put(&format!("{number}"), &format!("archived {number}"));
    }
    // In more than one part.
    case.put("large", &"0123456789abcdef".repeat(18 << 16));
}

fn spoil(case: &Case) {
    case.put("0", "old");
    case.delete("1");
    case.put("large", "old");
    case.put("extra", "old");
}

/// The same bucket, by way of trouble, where nothing is tried more often than that.
fn by_way_of(trouble: &Trouble, tries: u32) -> Case {
    let case = Case::new(S3Kind::Moto);
    case.with(json!({ "endpoint": trouble.endpoint(), "retries": tries, "timeout": 3 }))
}

fn trouble() -> Trouble {
    Trouble::before(&dumprestore_testkit::S3Server::shared(S3Kind::Moto).address())
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_way_to_the_server_ends_all_is_old_or_all_is_new() {
    let trouble = trouble();
    let case = by_way_of(&trouble, 1);
    seed(&case);
    let new = case.content();
    let archived = case.dump().await;
    spoil(&case);
    let old = case.content();
    let before = trouble.seen().len();
    case.restored(&archived, Step::Finish).await;
    let requests = (trouble.seen().len() - before) as u64;
    let (mut ended_old, mut ended_new) = (0, 0);
    for moment in spread(requests, MOMENTS) {
        // Through the wall, as the application's own requests go.
        seed(&case);
        spoil(&case);
        let mut restoring = case.stage(&archived, case.cx()).await.unwrap();
        trouble.make(Requests::all().after(usize::try_from(moment).unwrap()), Mishap::Refuse);
        let went = restoring.go(Step::Commit, OldState::Drop).await;
        let token = restoring.staging().journal();
        let (went, rolled_back) = match went {
            Ok(_) => (restoring.staging().finish(OldState::Drop).await, Ok(())),
            Err(error) => (Err(error), restoring.staging().rollback().await),
        };
        trouble.clear();
        if let Err(error) = rolled_back {
            assert_eq!(error.kind(), ErrorKind::Stuck, "{moment}: {error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("recover")), "{moment}: {error:?}");
        }
        drop(restoring);
        // What `recover` does: back, or forward once it was being finished.
        let mut resumed = case.resume(&token).await;
        let committed = case.content() == new && went.is_err();
        match committed {
            true => {
                resumed.commit().await.unwrap();
                resumed.finish(OldState::Drop).await.unwrap();
            }
            false if went.is_err() => resumed.rollback().await.unwrap(),
            false => {}
        }
        let now = case.content();
        assert!(now == old || now == new, "{moment} of {requests}: {now:#?}");
        assert_eq!(now == new, committed || went.is_ok(), "{moment} of {requests}");
        assert_eq!(case.left(), Vec::<String>::new(), "{moment} of {requests}");
        if now == new { ended_new += 1 } else { ended_old += 1 }
    }
    assert!(ended_old > 0 && ended_new > 0, "{ended_old} times old, {ended_new} times new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_to_the_server_is_gone_again_or_ends_with_all_that_was_old() {
    for mishap in [
        Mishap::Status(503),
        Mishap::Refuse,
        Mishap::CutRequest(7),
        Mishap::CutAnswer(20),
        Mishap::LoseAnswer,
        Mishap::Slow(400_000_000),
    ] {
        let trouble = trouble();
        let case = by_way_of(&trouble, 8);
        seed(&case);
        let new = case.content();
        let archived = case.dump().await;
        spoil(&case);
        let old = case.content();
        trouble.make(Requests::all().every(7), mishap);
        let mut restoring = case.stage(&archived, case.cx()).await.unwrap();
        let went = restoring.go(Step::Commit, OldState::Drop).await;
        assert!(trouble.mishaps() > 3, "{mishap:?}");
        match &went {
            Ok(_) => {
                assert_eq!(case.content(), new, "{mishap:?}");
                restoring.staging().finish(OldState::Drop).await.unwrap();
                assert_eq!(case.content(), new, "{mishap:?}");
            }
            // An answer that is lost can't be asked for again where what was asked for was done.
            Err(error) => {
                assert_eq!(mishap, Mishap::LoseAnswer, "{error:?}");
                restoring.staging().rollback().await.unwrap();
                assert_eq!(case.content(), old, "{mishap:?}");
            }
        }
        assert_eq!(case.left(), Vec::<String>::new(), "{mishap:?}: {went:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_comes_late_finds_the_rollback_waiting() {
    let trouble = trouble();
    let case = by_way_of(&trouble, 2);
    let archived = case.dump().await;
    case.put("extra", "old");
    let mut restoring = case.restored(&archived, Step::Prepare).await;
    // The first try comes late, and the second in time.
    let begun = std::time::Instant::now();
    trouble.make(
        Requests::all().method("DELETE").with("/media/extra").times(1),
        Mishap::Later(Duration::from_millis(2_300)),
    );
    restoring.staging().commit().await.unwrap();
    assert_eq!((trouble.mishaps(), case.get("extra")), (1, None));
    restoring.staging().rollback().await.unwrap();
    tokio::time::sleep(Duration::from_millis(4_500).saturating_sub(begun.elapsed())).await;
    assert_eq!(case.get("extra").as_deref(), Some("old"));
    assert_eq!(case.left(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_done_and_not_answered_is_done() {
    let trouble = trouble();
    let case = by_way_of(&trouble, 4);
    seed(&case);
    let new = case.content();
    let archived = case.dump().await;
    spoil(&case);
    trouble.make(Requests::all().method("POST").with("uploadId="), Mishap::LoseAnswer);
    let mut restoring = case.stage(&archived, case.cx()).await.unwrap();
    restoring.go(Step::Commit, OldState::Drop).await.unwrap();
    assert!(trouble.mishaps() > 0);
    assert_eq!(case.content(), new);
    trouble.clear();
    restoring.staging().finish(OldState::Drop).await.unwrap();
    assert_eq!(case.left(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_done_is_found_out_before_anything_is_visible() {
    for (method, part) in [("PUT", "/new/"), ("PUT", "/old/"), ("PUT", "trial-2"), ("DELETE", "trial-1")] {
        let trouble = trouble();
        let case = by_way_of(&trouble, 1);
        seed(&case);
        let archived = case.dump().await;
        spoil(&case);
        let old = case.content();
        trouble.make(Requests::all().method(method).with(part), Mishap::Status(403));
        let mut restoring = case.stage(&archived, case.cx()).await.unwrap();
        restoring.go(Step::Prepare, OldState::Drop).await.unwrap_err();
        assert_eq!(case.content(), old, "{method} {part}");
        trouble.clear();
        restoring.staging().rollback().await.unwrap();
        assert_eq!((case.content(), case.left()), (old, Vec::new()), "{method} {part}");
    }
}
