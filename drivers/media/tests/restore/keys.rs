//! Keys that are no paths, and some of them.

use dumprestore_driver::{ErrorKind, Selection};
use dumprestore_testkit::{S3Kind, Step};

use crate::restore_support::Case;

const KEYS: [&str; 13] =
    ["a", "a/", "a//b", "a//", "a ", " a", "a+b", "a%2Fb", "a%", "*", "ü/名", "a?b#c", "a&b='<>\""];

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_taken_for_another() {
    for kind in S3Kind::ALL {
        let case = Case::new(kind);
        for key in KEYS {
            case.put(key, &format!("content of {key}"));
        }
        let content = case.content();
        let archived = case.dump().await;
        assert!(archived.ledger().is_empty(), "{kind:?}: {:?}", archived.ledger());
        // Every second one changes, and is the only one that does.
        for key in KEYS.iter().step_by(2) {
            case.put(key, "another");
        }
        let changed = case.content();
        let mut restoring = case.restored(&archived, Step::Commit).await;
        assert_eq!(case.content(), content, "{kind:?}");
        restoring.staging().rollback().await.unwrap();
        assert_eq!(case.content(), changed, "{kind:?}");
        for key in KEYS {
            case.delete(key);
        }
        case.put("a  b", "extra");
        case.restored(&archived, Step::Finish).await;
        assert_eq!(case.content(), content, "{kind:?}");
        assert_eq!(case.left(), Vec::<String>::new(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_named_is_restored_alone() {
    let case = Case::new(S3Kind::Moto);
    for key in ["images/1.jpg", "images/2.png", "images2/1.jpg", "video/1.mp4", "notes.txt"] {
        case.put(key, "as it was");
    }
    let archived = case.dump().await;
    for (named, restored) in [
        (vec!["images"], vec!["images/1.jpg", "images/2.png"]),
        (vec!["images/"], vec!["images/1.jpg", "images/2.png"]),
        (vec!["*.jpg", "notes.txt"], vec!["images/1.jpg", "images2/1.jpg", "notes.txt"]),
    ] {
        for key in ["images/1.jpg", "images/2.png", "images2/1.jpg", "video/1.mp4", "notes.txt"] {
            case.put(key, "changed");
        }
        case.put("images/extra.jpg", "extra");
        case.put("video/extra.mp4", "extra");
        let cx = case.cx().with_selection(Selection::of(named.clone()));
        case.restored_with(&archived, Step::Finish, cx).await.unwrap();
        for key in ["images/1.jpg", "images/2.png", "images2/1.jpg", "video/1.mp4", "notes.txt"] {
            let expected = if restored.contains(&key) { "as it was" } else { "changed" };
            assert_eq!(case.get(key).as_deref(), Some(expected), "{named:?} {key}");
        }
        assert_eq!(case.get("images/extra.jpg"), None, "{named:?}");
        assert_eq!(case.get("video/extra.mp4").as_deref(), Some("extra"), "{named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_archived_is_refused() {
    let case = Case::new(S3Kind::Moto);
    case.put("a", "1");
    let archived = case.dump().await;
    for name in ["b", "", "*.jpg"] {
        let cx = case.cx().with_selection(Selection::of([name]));
        let error = case.driver().changes(archived.clone(), &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}: {error}");
    }
}
