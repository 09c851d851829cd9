//! Where a restore is staged in a folder that others may write to, they can put what they like in the place of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{ErrorKind, Extras, OldState, StageContext};
use folder::{Archive, Case, Restore, archive_of};
use serde_json::json;

async fn archive() -> Arc<Archive> {
    archive_of(|case| {
        case.build().file("a/1", "archived");
    })
    .await
}

fn live() -> Case {
    let case = Case::default();
    case.build().file("a/1", "live").file("b", "live");
    case
}

async fn stage(case: &Case) -> Restore {
    case.stage(&archive().await, json!({ "swap": "children" }), Extras::Remove).await.unwrap()
}

fn container(case: &Case) -> PathBuf {
    let names = fs::read_dir(&case.root).unwrap().map(|entry| entry.unwrap().path());
    names
        .into_iter()
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".dumprestore-"))
        .unwrap()
}

/// A folder that looks like a container, with a plan that would carry things away.
fn bait(at: &Path) {
    fs::create_dir_all(at.join("tree")).unwrap();
    fs::write(at.join("tree/b"), "bait").unwrap();
    fs::write(at.join("plan.jsonl"), "{\"flip\":{\"path\":\"b\",\"live\":null,\"staged\":1}}\n").unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o700)).unwrap();
}

fn content(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_put_in_the_place_of_a_container_is_followed_nowhere() {
    for committed in [false, true] {
        let case = live();
        let mut restore = stage(&case).await;
        restore.load().await.unwrap();
        if committed {
            restore.staging.prepare().await.unwrap();
            restore.staging.commit().await.unwrap();
        }
        let (elsewhere, moved) = (case.around.path().join("elsewhere"), case.around.path().join("moved"));
        bait(&elsewhere);
        let container = container(&case);
        fs::rename(&container, &moved).unwrap();
        symlink(&elsewhere, &container).unwrap();
        // What is held open is undone; of what lies there now, nothing is touched.
        let told = restore.staging.rollback().await.unwrap_err();
        assert!(told.to_string().contains("others can change"), "{told}");
        assert_eq!(
            (content(case.root.join("a/1")), content(case.root.join("b"))),
            ("live".into(), "live".into())
        );
        assert_eq!(content(elsewhere.join("tree/b")), "bait");
        assert!(elsewhere.join("plan.jsonl").exists() && container.is_symlink());
        assert_eq!(fs::read_dir(&moved).unwrap().count(), 0, "what was staged is removed wherever it is");
        fs::remove_file(&container).unwrap();
        restore.staging.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_goes_by_what_was_staged_and_not_by_what_lies_in_its_place() {
    let case = live();
    let mut restore = stage(&case).await;
    restore.load().await.unwrap();
    restore.staging.prepare().await.unwrap();
    let container = container(&case);
    fs::rename(&container, case.around.path().join("moved")).unwrap();
    bait(&container);
    restore.staging.commit().await.unwrap();
    assert_eq!(content(case.root.join("a/1")), "archived");
    assert!(!case.root.join("b").exists());
    let told = restore.staging.finish(OldState::Drop).await.unwrap_err();
    assert!(told.to_string().contains("others can change"), "{told}");
    assert_eq!(content(container.join("tree/b")), "bait");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_taken_up_only_where_nobody_else_could_change_it() {
    type Change = fn(&Path);
    let changes: [Change; 3] = [
        |container| fs::set_permissions(container, fs::Permissions::from_mode(0o770)).unwrap(),
        |container| {
            fs::rename(container, container.with_extension("moved")).unwrap();
            symlink(container.with_extension("moved"), container).unwrap();
        },
        |container| {
            if rustix::process::geteuid().is_root() {
                chown(container, Some(65534), None).unwrap();
            } else {
                fs::set_permissions(container, fs::Permissions::from_mode(0o702)).unwrap();
            }
        },
    ];
    for change in changes {
        let case = live();
        let mut restore = stage(&case).await;
        restore.load().await.unwrap();
        let token = restore.staging.journal();
        drop(restore);
        let place = container(&case);
        change(&place);
        let driver = case.driver(json!({ "swap": "children" }));
        let resumed = driver.resume(&token, StageContext::new(case.run())).await;
        let error = resumed.unwrap().rollback().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error}");
        assert!(error.hint().is_some());
        assert_eq!(content(case.root.join("b")), "live");
        assert!(fs::read_dir(&place).unwrap().count() > 0, "it is left as it is");
    }
}
