//! What the application makes in a tree that a rollback takes away again, where extras stay.

#![allow(clippy::unwrap_used, reason = "what a test can't go on without ends it")]

mod folder;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use dumprestore_driver::{Extras, StageContext};
use folder::{Archive, Case, archive_of, ways};
use serde_json::Value;

/// A folder that only the archive has, two levels deep, and hard links across folders.
async fn archived() -> Arc<Archive> {
    archive_of(|case| {
        let build = case.build();
        build.file("a", "archived").file("both/1", "archived").file("2026/x", "archived");
        build.file("cache/1", "archived");
        build
            .file("2026/01/old", "archived")
            .file("2026/01/gone", "archived")
            .file("2026/02/old", "archived");
        build.hard_link("both/a", "a").hard_link("2026/a", "a").hard_link("2026/01/x", "2026/x");
    })
    .await
}

fn live() -> Case {
    let case = Case::default();
    case.build().file("both/1", "live").file("both/extra", "live").file("kept/deep/extra", "live");
    case.build().file("cache/1", "live").hard_link("both/link", "kept/deep/extra").settle();
    case
}

fn lines(fingerprint: &str) -> BTreeSet<&str> {
    fingerprint.lines().collect()
}

/// The path that a line is about.
fn path(line: &str) -> &str {
    line.split('"').nth(1).unwrap()
}

/// Rolls back: at once, or by another process after a crash.
async fn undo(case: &Case, mut restore: folder::Restore, options: &Value, after_crash: bool) {
    if after_crash {
        let token = restore.staging.journal();
        drop(restore);
        let cx = StageContext::new(case.run()).with_extras(Extras::Keep);
        let mut resumed = case.driver(options.clone()).resume(&token, cx).await.unwrap();
        resumed.rollback().await.unwrap();
    } else {
        restore.staging.rollback().await.unwrap();
    }
}

/// The old tree is as it was, but for the time of the folder itself, and exactly `more` is there besides.
fn is_old_and(case: &Case, before: &(String, Vec<String>), more: &[&str]) {
    let after = case.fingerprint();
    let missing: Vec<_> =
        lines(&before.0).difference(&lines(&after)).map(|line| path(line).to_owned()).collect();
    assert!(missing.iter().all(String::is_empty), "changed or gone: {missing:?}\n{after}");
    let (old, now) = (lines(&before.0), lines(&after));
    let paths =
        |lines: &BTreeSet<&str>| lines.iter().map(|line| path(line).to_owned()).collect::<BTreeSet<_>>();
    let added: Vec<_> = paths(&now).difference(&paths(&old)).cloned().collect();
    assert_eq!(added, more);
    assert_eq!(case.beside(), before.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_folder_that_only_the_archive_has_a_rollback_leaves_what_the_application_made() {
    let archive = archived().await;
    for (way, after_crash) in ways().into_iter().flat_map(|way| [(way.clone(), false), (way, true)]) {
        let case = live();
        let before = (case.fingerprint(), case.beside());
        let mut restore = case.stage(&archive, way.clone(), Extras::Keep).await.unwrap();
        restore.commit().await.unwrap();
        assert_eq!(fs::metadata(case.build().at("2026/a")).unwrap().nlink(), 3);

        case.build().file("2026/new", "new").file("2026/01/new", "new").file("2026/03/deep/new", "new");
        case.build().hard_link("2026/twin", "2026/new").folder("2026/04");
        // What it does to what the archive has, is undone with that.
        case.build().file("2026/x", "changed").mode("2026/01/old", 0o600).hard_link("2026/more", "a");
        fs::remove_file(case.build().at("2026/01/gone")).unwrap();

        undo(&case, restore, &way, after_crash).await;
        let made = ["2026", "2026/01", "2026/01/new", "2026/03", "2026/03/deep", "2026/03/deep/new"];
        is_old_and(&case, &before, &[&made[..], &["2026/04", "2026/new", "2026/twin"]].concat());
        for path in ["2026/new", "2026/01/new", "2026/03/deep/new"] {
            assert_eq!(fs::read_to_string(case.build().at(path)).unwrap(), "new", "{path}");
        }
        let inode = |path| fs::metadata(case.build().at(path)).unwrap().ino();
        assert_eq!(inode("2026/new"), inode("2026/twin"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_moves_into_a_restored_folder_survives_a_rollback_however_old_it_is() {
    let archive = archived().await;
    for (way, after_crash) in ways().into_iter().flat_map(|way| [(way.clone(), false), (way, true)]) {
        let case = live();
        let outside = folder::Builder(case.around.path());
        outside.file("incoming", "old").file("batch/1", "old").file("batch/deep/2", "old");
        outside.file("built/2", "old").file("built/deep/3", "old");
        let before = case.fingerprint();
        let mut restore = case.stage(&archive, way.clone(), Extras::Keep).await.unwrap();
        restore.commit().await.unwrap();
        for (from, to) in [("incoming", "2026/incoming"), ("batch", "2026/01/batch")] {
            fs::rename(outside.at(from), case.build().at(to)).unwrap();
        }
        fs::rename(case.build().at("both/extra"), case.build().at("2026/extra")).unwrap();
        // In the place of a folder that is on both sides.
        fs::rename(case.build().at("cache"), outside.at("cache")).unwrap();
        fs::rename(outside.at("built"), case.build().at("cache")).unwrap();
        undo(&case, restore, &way, after_crash).await;

        let there = |path: &str| fs::read_to_string(case.build().at(path)).ok();
        assert_eq!(there("cache/1").as_deref(), Some("live"), "{}", case.fingerprint());
        let built = ["cache/2", "cache/deep/3"];
        for path in ["2026/incoming", "2026/01/batch/1", "2026/01/batch/deep/2"].into_iter().chain(built) {
            assert_eq!(there(path).as_deref(), Some("old"), "{path}");
        }
        assert_eq!(there("2026/extra").as_deref(), Some("live"));
        assert!(!case.build().at("2026/x").exists() && !case.build().at("2026/01/old").exists());
        let gone: Vec<_> = lines(&before)
            .difference(&lines(&case.fingerprint()))
            .map(|line| path(line))
            .map(str::to_owned)
            .collect();
        assert_eq!(
            gone.iter().filter(|path| !case.build().at(path).exists()).collect::<Vec<_>>(),
            ["both/extra"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_the_place_and_the_inode_of_a_restored_one_survives_a_rollback() {
    let archive = archive_of(|case| {
        (0..50).for_each(|at| {
            case.build().file(format!("2026/{at}"), "archived");
        });
    })
    .await;
    for way in ways() {
        let case = live();
        let mut restore = case.stage(&archive, way, Extras::Keep).await.unwrap();
        restore.commit().await.unwrap();
        let at = |number: u32| case.build().at(format!("2026/{number}"));
        for number in 0..50 {
            fs::remove_file(at(number)).unwrap();
        }
        for number in 0..25 {
            fs::write(at(number), "made anew").unwrap();
        }
        restore.staging.rollback().await.unwrap();
        for number in 0..25 {
            assert_eq!(fs::read_to_string(at(number)).unwrap(), "made anew", "{number}");
        }
        assert_eq!(fs::read_dir(case.build().at("2026")).unwrap().count(), 25);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_of_a_previous_state_leaves_it_whole() {
    for way in ways() {
        let case = Case::default();
        case.build().file("2026/01/old", "previous").file("a", "previous").hard_link("2026/a", "a").settle();
        let archive = archive_of(|case| {
            case.build().file("a", "archived");
        })
        .await;
        let mut restore = case.stage(&archive, way.clone(), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        let kept = restore.staging.finish(dumprestore_driver::OldState::Keep).await.unwrap().unwrap();
        let previous = || async {
            let cx = StageContext::new(case.run()).with_extras(Extras::Keep);
            let mut again = case.driver(way.clone()).stage_previous(&kept, cx).await.unwrap();
            again.begin().await.unwrap();
            again.prepare().await.unwrap();
            again.commit().await.unwrap();
            again
        };
        for _twice in 0..2 {
            let mut again = previous().await;
            let new = case.build().at("2026/01/new");
            fs::write(&new, "new").unwrap();
            again.rollback().await.unwrap();
            assert_eq!(fs::read_to_string(&new).unwrap(), "new");
            assert!(!case.build().at("2026/01/old").exists() && !case.build().at("2026/a").exists());
            assert_eq!(fs::read_to_string(case.build().at("a")).unwrap(), "archived");
            fs::remove_dir_all(case.build().at("2026")).unwrap();
        }
        let _again = previous().await;
        for path in ["2026/01/old", "a", "2026/a"] {
            assert_eq!(fs::read_to_string(case.build().at(path)).unwrap(), "previous", "{path}");
        }
        assert_eq!(fs::metadata(case.build().at("a")).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
