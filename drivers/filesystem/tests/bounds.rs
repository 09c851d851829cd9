//! Restores within bounds: mount points, a folder that has to stay, and users who may not do everything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use dumprestore_driver::{ErrorKind, Extras, OldState, StageContext};
use folder::{Case, archive_of, as_ordinary_user, shell, ways, with_own_mounts};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_itself_stays_where_its_children_are_swapped() {
    let archive = archive_of(|case| {
        case.build().file("a", "archived").mode("", 0o750);
    })
    .await;
    let case = Case::default();
    case.build().file("a", "live").file("b", "live");
    let open = fs::File::open(&case.root).unwrap();
    let inode = fs::metadata(&case.root).unwrap().ino();
    case.restore(&archive, json!({ "swap": "children" }), Extras::Remove).await.unwrap();
    assert_eq!(fs::metadata(&case.root).unwrap().ino(), inode);
    assert_eq!(open.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(dumprestore_testkit::entries(&case.root).into_iter().collect::<Vec<_>>(), ["a"]);
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_ne!(fs::metadata(&case.root).unwrap().ino(), inode);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_point_is_restored_child_by_child_and_what_is_mounted_below_stays() {
    if !with_own_mounts("a_mount_point_is_restored_child_by_child_and_what_is_mounted_below_stays") {
        return;
    }
    let archive = archive_of(|case| {
        case.build().file("a/f", "archived").folder("a/mnt").file("c", "archived");
    })
    .await;
    for mount_root in [true, false] {
        let case = Case::default();
        let at = |path: &str| case.build().at(path).display().to_string();
        if mount_root {
            shell(&format!("mount -t tmpfs none {}", at("")));
        }
        case.build()
            .file("a/f", "live")
            .file("a/g", "live")
            .folder("a/mnt")
            .file("b", "live")
            .folder("gone/bound");
        case.build().file("gone/h", "live").file("elsewhere/precious", "p");
        shell(&format!("mount -t tmpfs none {0}; echo m > {0}/m", at("a/mnt")));
        // Within one file system: no device number tells.
        shell(&format!("mount --bind {} {}", at("elsewhere"), at("gone/bound")));
        let before = case.fingerprint();
        let mut restore =
            case.stage(&archive, json!({ "exclude": ["elsewhere"] }), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        let there = |path: &str| fs::read_to_string(case.build().at(path)).ok();
        let check = || {
            assert_eq!(there("a/f").as_deref(), Some("archived"));
            assert_eq!(there("c").as_deref(), Some("archived"));
            assert_eq!(there("a/mnt/m").as_deref(), Some("m\n"));
            assert_eq!(there("gone/bound/precious").as_deref(), Some("p"));
            assert_eq!(there("elsewhere/precious").as_deref(), Some("p"));
            assert!(there("a/g").is_none() && there("b").is_none() && there("gone/h").is_none());
        };
        check();
        restore.staging.rollback().await.unwrap();
        assert_eq!(case.fingerprint(), before);
        case.restore(&archive, json!({ "exclude": ["elsewhere"] }), Extras::Remove).await.unwrap();
        check();
        assert!(
            dumprestore_testkit::entries(&case.root).iter().all(|name| !name.starts_with(".dumprestore"))
        );
        shell(&format!("umount {} {}", at("gone/bound"), at("a/mnt")));
        if mount_root {
            shell(&format!("umount {}", at("")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_mounted_in_the_old_folder_is_not_removed_with_it() {
    if !with_own_mounts("what_gets_mounted_in_the_old_folder_is_not_removed_with_it") {
        return;
    }
    let archive = archive_of(|case| {
        case.build().file("f", "archived");
    })
    .await;
    let case = Case::default();
    case.build().file("f", "live").folder("sub/mnt");
    let elsewhere = case.around.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "p").unwrap();
    let mut restore = case.stage(&archive, json!({}), Extras::Remove).await.unwrap();
    restore.commit().await.unwrap();
    // By its inode, into what is the old folder by now.
    let old = fs::read_dir(case.around.path()).unwrap().map(|entry| entry.unwrap().path());
    let old = { old }.find(|path| path.to_string_lossy().contains(".dumprestore-")).unwrap();
    let mount = old.join("tree/sub/mnt");
    shell(&format!("mount --bind {} {}", elsewhere.display(), mount.display()));
    let error = restore.staging.finish(OldState::Drop).await.unwrap_err();
    assert!(error.to_string().contains("sub/mnt"), "{error}");
    assert_eq!(fs::read_to_string(elsewhere.join("precious")).unwrap(), "p");
    // There is no way back any more, and that is said.
    assert_eq!(restore.staging.rollback().await.unwrap_err().kind(), ErrorKind::Stuck);
    let dropped = old.join("dropped/sub/mnt");
    shell(&format!("umount {}", dropped.display()));
    restore.staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(case.beside(), ["elsewhere", "uploads"]);
    assert_eq!(fs::read_to_string(case.build().at("f")).unwrap(), "archived");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_restores_what_is_theirs() {
    if !as_ordinary_user("an_ordinary_user_restores_what_is_theirs") {
        return;
    }
    let case = Case::default();
    case.build()
        .file("a/f", "archived")
        .file("read-only/x", "x")
        .mode("read-only", 0o555)
        .file("no-one/y", "y");
    case.build().mode("a/f", 0o4750).mode("no-one/y", 0o000).settle();
    let before = case.fingerprint_but("no-one/y");
    let mut dump = case.open(json!({})).await;
    case.build().mode("no-one/y", 0o400);
    dump.pass().await;
    dump.pin().await;
    let archive = Arc::new(dump.seal().await);
    case.build().mode("read-only", 0o755).file("a/f", "live").mode("read-only", 0o555);
    for way in ways() {
        let cx = StageContext::new(case.run());
        let changes = case.driver(way.clone()).changes(archive.clone(), &cx).await.unwrap();
        assert!(changes.notes.iter().any(|note| note.contains("root")), "{:?}", changes.notes);
        case.restore(&archive, way, Extras::Remove).await.unwrap();
        assert_eq!(case.fingerprint_but("no-one/y"), before);
    }
    case.build().mode("read-only", 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_others_own_is_told_before_a_restore() {
    if !as_ordinary_user("a_folder_that_others_own_is_told_before_a_restore") {
        return;
    }
    let case = Case::default();
    let inspected = |path: &str| {
        let driver = case.driver(json!({ "path": path }));
        async move { driver.inspect().await.unwrap() }
    };
    let problems = inspected("/etc").await.problems;
    assert!(problems.iter().any(|p| p.severity == dumprestore_driver::Severity::NoRestore), "{problems:?}");
    assert!(inspected(&case.root.display().to_string()).await.problems.is_empty());
    let nowhere = case.around.path().join("no/where").display().to_string();
    assert_eq!(inspected(&nowhere).await.problems.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_a_container_restores_what_belongs_to_users_it_does_not_have() {
    let name = "root_of_a_container_restores_what_belongs_to_users_it_does_not_have";
    if !folder::in_child(name, &["unshare", "--user", "--map-root-user"]) {
        return;
    }
    let archive = archive_of(|case| {
        case.build().file("f", "archived");
    })
    .await;
    let foreign = archive.with_tree(archive.tree().replace("\"uid\":0", "\"uid\":1234"));
    let case = Case::default();
    let mut restore = case.stage(&foreign, json!({}), Extras::Remove).await.unwrap();
    restore.commit().await.unwrap();
    restore.staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(fs::read_to_string(case.build().at("f")).unwrap(), "archived");
    // It is told, and degrades the run.
    let ledger = restore.staging.ledger();
    assert!(ledger.iter().any(|entry| entry.what == "f" && entry.degrades), "{ledger:?}");
}

/// With a volume at `vol`, and the folder in it.
fn on_a_volume() -> (Case, String) {
    let mut case = Case::default();
    let around = case.around.path().canonicalize().unwrap();
    fs::create_dir(around.join("real")).unwrap();
    fs::create_dir(around.join("vol")).unwrap();
    case.root = around.join("vol/uploads");
    let (real, vol) = (around.join("real"), around.join("vol"));
    (case, format!("mount --bind {} {}", real.display(), vol.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_volume_that_is_not_mounted_a_restore_is_neither_undone_nor_done() {
    let name = "on_a_volume_that_is_not_mounted_a_restore_is_neither_undone_nor_done";
    if !with_own_mounts(name) {
        return;
    }
    let archive = archive_of(|case| {
        case.build().file("a", "archived");
    })
    .await;
    for way in ways() {
        let (case, mount) = on_a_volume();
        let unmount = format!("umount {}", case.root.parent().unwrap().display());
        shell(&mount);
        case.build().folder("").file("a", "live").settle();
        let before = case.fingerprint();
        let mut restore = case.stage(&archive, way.clone(), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        let token = restore.staging.journal();
        // As if it had been killed.
        drop(restore);
        shell(&unmount);
        let driver = case.driver(way);
        let resume = || driver.resume(&token, StageContext::new("recovery"));
        let error = resume().await.unwrap().rollback().await.unwrap_err();
        assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Stuck, "{error}");
        assert!(error.hint().unwrap().contains("mounted"), "{error}");
        resume().await.unwrap().commit().await.unwrap_err();
        resume().await.unwrap().finish(OldState::Drop).await.unwrap_err();
        shell(&mount);
        // Twice: a crash may come before it is written down.
        resume().await.unwrap().rollback().await.unwrap();
        resume().await.unwrap().rollback().await.unwrap();
        assert_eq!(case.fingerprint(), before);
        assert_eq!(fs::read_dir(case.root.parent().unwrap()).unwrap().count(), 1);
        shell(&unmount);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previous_state_on_a_volume_that_is_not_mounted_is_not_called_gone() {
    if !with_own_mounts("a_previous_state_on_a_volume_that_is_not_mounted_is_not_called_gone") {
        return;
    }
    let archive = archive_of(|case| {
        case.build().file("a", "archived");
    })
    .await;
    // The folder on the volume, and the volume itself.
    for is_root in [false, true] {
        let (mut case, mount) = on_a_volume();
        let volume = case.root.parent().unwrap().to_owned();
        let unmount = format!("umount {}", volume.display());
        if is_root {
            case.root = volume;
        }
        shell(&mount);
        case.build().folder("").file("a", "live").settle();
        let before = case.fingerprint();
        let mut restore = case.stage(&archive, json!({}), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        let kept = restore.staging.finish(OldState::Keep).await.unwrap().unwrap();
        drop(restore);
        let driver = case.driver(json!({}));
        let previous = || driver.stage_previous(&kept, StageContext::new(case.run()));
        shell(&unmount);
        let error = previous().await.err().unwrap();
        assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Environment, "{error}");
        assert!(error.hint().unwrap().contains("mounted"), "{error}");
        shell(&mount);
        let mut again = previous().await.unwrap();
        again.begin().await.unwrap();
        again.prepare().await.unwrap();
        again.commit().await.unwrap();
        again.finish(OldState::Drop).await.unwrap();
        drop(again);
        assert_eq!(case.fingerprint(), before);
        let error = previous().await.err().unwrap();
        assert!(error.hint().unwrap().contains("from an archive"), "{error}");
        assert!(!error.to_string().contains("mounted"), "{error}");
        shell(&unmount);
    }
}
