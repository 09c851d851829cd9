//! Restores: what stays, what goes, what is refused, and what a rollback gives back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dumprestore_driver::{ErrorKind, Extras, OldState, StageContext};
use folder::{Case, archive_of, holding, ways};
use serde_json::{Value, json};

fn with(mut options: Value, more: Value) -> Value {
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_survives_a_restore_and_its_rollback() {
    for way in ways() {
        let options = with(way, json!({ "exclude": ["*.log", "/cache"] }));
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived").file("b", "archived");
        })
        .await;
        let case = Case::default();
        case.build()
            .file("a/1", "live")
            .file("a/x.log", "log")
            .file("gone/deep/y.log", "log")
            .file("gone/z", "z");
        case.build()
            .file("cache/big", "cache")
            .file("all-logs/1.log", "log")
            .file("top.log", "log")
            .mode("gone", 0o750);
        case.build().settle();
        let before = (case.fingerprint(), case.beside());
        let inode = |path: &str| fs::metadata(case.build().at(path)).unwrap().ino();
        let logs = ["a/x.log", "gone/deep/y.log", "cache/big", "all-logs/1.log", "top.log"];
        let inodes = logs.map(inode);

        let mut restore = case.stage(&archive, options.clone(), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        assert_eq!(logs.map(inode), inodes, "what is excluded is moved, not copied");
        assert_eq!(fs::read_to_string(case.build().at("a/1")).unwrap(), "archived");
        assert!(!case.build().at("gone/z").exists());
        assert_eq!(fs::metadata(case.build().at("gone")).unwrap().permissions().mode() & 0o777, 0o750);
        restore.staging.rollback().await.unwrap();
        assert_eq!((case.fingerprint(), case.beside()), before);

        case.restore(&archive, options, Extras::Remove).await.unwrap();
        assert_eq!(logs.map(inode), inodes);
        assert_eq!(case.beside(), before.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_and_made_after_the_commit_survives_a_rollback() {
    for way in ways() {
        let options = with(way, json!({ "exclude": ["*.log", "/cache"] }));
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived").file("new/2", "archived");
        })
        .await;
        let case = Case::default();
        case.build().file("a/1", "live").file("top.log", "log");
        let mut restore = case.stage(&archive, options.clone(), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        let made = ["a/late.log", "new/late.log", "cache/big", "late.log"];
        made.iter().for_each(|path| {
            case.build().file(path, "late");
        });
        restore.staging.rollback().await.unwrap();
        let there = |path: &str| fs::read_to_string(case.build().at(path)).ok();
        for path in made {
            assert_eq!(there(path).as_deref(), Some("late"), "{path}");
        }
        assert_eq!(there("a/1").as_deref(), Some("live"));
        assert_eq!(there("top.log").as_deref(), Some("log"));
        assert!(!case.build().at("new/2").exists());
        assert_eq!(case.beside(), ["uploads"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_and_made_in_the_old_folder_is_not_removed_with_it() {
    for old in [OldState::Drop, OldState::Keep] {
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived");
        })
        .await;
        let case = Case::default();
        case.build().file("a/1", "live").file("a/x.log", "log");
        let options = json!({ "swap": "folder", "exclude": ["*.log"] });
        let mut restore = case.stage(&archive, options, Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        let put_aside = case.beside().into_iter().find(|name| name.contains(".dumprestore-")).unwrap();
        // As a program does that holds the folder open.
        let held = case.around.path().join(put_aside).join("tree/a");
        fs::write(held.join("x.log"), "more").unwrap();
        fs::write(held.join("y.log"), "more").unwrap();
        restore.staging.finish(old).await.unwrap();
        let there = |path: &str| fs::read_to_string(case.build().at(path)).unwrap();
        assert_eq!(
            (there("a/1"), there("a/x.log"), there("a/y.log")),
            ("archived".into(), "log".into(), "more".into())
        );
        assert_eq!(there("a/.x.log.dumprestore-newer-1"), "more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_fifos_stay_where_they_are() {
    for way in ways() {
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived");
        })
        .await;
        let case = Case::default();
        case.build().file("a/1", "live").file("gone/2", "live").folder("deep/run");
        let socket = std::os::unix::net::UnixListener::bind(case.build().at("a/s")).unwrap();
        let places = ["gone/fifo", "deep/run/fifo", "fifo"];
        places.iter().for_each(|path| {
            rustix::fs::mkfifoat(rustix::fs::CWD, case.build().at(path), rustix::fs::Mode::RWXU).unwrap();
        });
        let inode = |path: &str| fs::symlink_metadata(case.build().at(path)).ok().map(|meta| meta.ino());
        let before = (places.map(inode), inode("a/s"));
        case.build().settle();
        let mut restore = case.stage(&archive, way.clone(), Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        assert_eq!((places.map(inode), inode("a/s")), before);
        restore.staging.rollback().await.unwrap();
        assert_eq!((places.map(inode), inode("a/s")), before);
        case.restore(&archive, way, Extras::Remove).await.unwrap();
        assert_eq!((places.map(inode), inode("a/s")), before);
        assert!(!case.build().at("gone/2").exists());
        std::os::unix::net::UnixStream::connect(case.build().at("a/s")).unwrap();
        drop(socket);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_included_survives_a_restore() {
    for way in ways() {
        let options = with(way, json!({ "include": ["*.jpg"] }));
        let archive = archive_of(|case| {
            case.build().file("a/1.jpg", "archived");
        })
        .await;
        let case = Case::default();
        case.build()
            .file("a/1.jpg", "live")
            .file("a/2.jpg", "live")
            .file("a/notes.txt", "n")
            .file("b/c/d.txt", "d");
        case.build().file("only/9.jpg", "9").folder("empty");
        case.restore(&archive, options, Extras::Remove).await.unwrap();
        assert_eq!(fs::read_to_string(case.build().at("a/1.jpg")).unwrap(), "archived");
        for there in ["a/notes.txt", "b/c/d.txt", "empty"] {
            assert!(case.build().at(there).exists(), "{there}");
        }
        for gone in ["a/2.jpg", "only/9.jpg"] {
            assert!(!case.build().at(gone).exists(), "{gone}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_stay_or_go_or_stop_the_restore() {
    for way in ways() {
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived").file("b", "archived");
        })
        .await;
        let case = Case::default();
        case.build()
            .file("a/1", "live")
            .file("a/extra", "e")
            .file("more/deep/extra", "e")
            .link("dangling", "x")
            .settle();
        let before = (case.fingerprint(), case.beside());
        let error = case.stage(&archive, way.clone(), Extras::Fail).await.err().unwrap();
        assert!(error.hint().unwrap().contains("--extras"), "{error}");
        for extra in ["a/extra", "more/deep/extra", "dangling"] {
            assert!(error.to_string().contains(extra), "{error}");
        }

        let mut restore = case.stage(&archive, way.clone(), Extras::Keep).await.unwrap();
        restore.commit().await.unwrap();
        for there in ["a/extra", "more/deep/extra"] {
            assert_eq!(fs::read_to_string(case.build().at(there)).unwrap(), "e");
        }
        assert_eq!(fs::read_to_string(case.build().at("a/1")).unwrap(), "archived");
        restore.staging.rollback().await.unwrap();
        assert_eq!((case.fingerprint(), case.beside()), before);

        let cx = StageContext::new(case.run());
        let changes = case.driver(way.clone()).changes(archive.clone(), &cx).await.unwrap();
        assert_eq!((changes.create, changes.replace, changes.remove, changes.unchanged), (1, 1, 3, 0));
        let mut removes = changes.removes;
        removes.sort();
        assert_eq!(removes, ["a/extra", "dangling", "more/deep/extra"]);
        case.restore(&archive, way.clone(), Extras::Remove).await.unwrap();
        assert!(!case.build().at("more").exists() && !case.build().at("a/extra").exists());
        let changes = case.driver(way.clone()).changes(archive.clone(), &cx).await.unwrap();
        assert_eq!((changes.create, changes.replace, changes.remove, changes.unchanged), (0, 0, 0, 2));
        case.restore(&archive, way, Extras::Fail).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_that_the_application_makes_in_the_old_folder_stay() {
    for (at, way) in ways().into_iter().enumerate() {
        for old in [OldState::Drop, OldState::Keep] {
            let archive = archive_of(|case| {
                case.build().file("a/1", "archived").file("only-archived", "x");
            })
            .await;
            let case = Case::default();
            case.build()
                .file("a/1", "live")
                .file("a/extra", "e")
                .file("b/extra", "e")
                .file("only-archived", "l");
            let mut restore = case.stage(&archive, way.clone(), Extras::Keep).await.unwrap();
            restore.commit().await.unwrap();
            let around = if at == 0 { case.around.path() } else { &case.root };
            let names = fs::read_dir(around).unwrap().map(|entry| entry.unwrap().path());
            let is_container = |path: &PathBuf| path.to_str().unwrap().contains(".dumprestore-");
            // As a program does that holds the folder open.
            let held = names.into_iter().find(is_container).unwrap().join("tree/a");
            fs::write(held.join("late"), "late").unwrap();
            fs::create_dir_all(held.join("deep/empty")).unwrap();
            fs::write(held.join("deep/late"), "late").unwrap();
            fs::write(held.join("1"), "not an extra").unwrap();
            // What the application removes does not come back.
            fs::remove_file(case.build().at("only-archived")).unwrap();
            restore.staging.finish(old).await.unwrap();
            let there = |path: &str| fs::read_to_string(case.build().at(path)).unwrap();
            assert_eq!((there("a/late"), there("a/deep/late")), ("late".into(), "late".into()));
            assert_eq!(
                (there("a/1"), there("a/extra"), there("b/extra")),
                ("archived".into(), "e".into(), "e".into())
            );
            assert!(case.build().at("a/deep/empty").is_dir() && !case.build().at("only-archived").exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_that_are_made_after_the_commit_survive_a_rollback_and_nothing_else_does() {
    for way in ways() {
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived").file("a/only-archived", "x").file("only-archived/x", "x");
        })
        .await;
        let case = Case::default();
        case.build().file("a/1", "live").file("a/extra", "e").settle();
        let mut restore = case.stage(&archive, way, Extras::Keep).await.unwrap();
        restore.commit().await.unwrap();
        case.build().file("a/late", "late");
        restore.staging.rollback().await.unwrap();
        assert_eq!(fs::read_to_string(case.build().at("a/late")).unwrap(), "late");
        assert_eq!(fs::read_to_string(case.build().at("a/1")).unwrap(), "live");
        assert!(!case.build().at("a/only-archived").exists() && !case.build().at("only-archived").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_extra_is_lost_that_is_made_while_the_folders_are_swapped() {
    for way in ways() {
        let archive = archive_of(|case| {
            case.build().file("a/1", "archived");
        })
        .await;
        let case = Case::default();
        for at in 0..2000 {
            case.build().file(format!("a/extra-{at}"), "e");
        }
        let mut restore = case.stage(&archive, way, Extras::Keep).await.unwrap();
        restore.load().await.unwrap();
        restore.staging.prepare().await.unwrap();
        let (folder, stop) = (case.build().at("a"), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let writer = std::thread::spawn(move || {
            let made = (0..).take_while(|_| !stopped.load(Ordering::Relaxed)).filter(|at| {
                std::thread::sleep(std::time::Duration::from_micros(200));
                fs::write(folder.join(format!("late-{at}")), "late").is_ok()
            });
            made.collect::<Vec<u32>>()
        });
        restore.staging.commit().await.unwrap();
        stop.store(true, Ordering::Relaxed);
        let made = writer.join().unwrap();
        restore.staging.finish(OldState::Drop).await.unwrap();
        assert!(!made.is_empty());
        let lost = made.iter().filter(|at| !case.build().at(format!("a/late-{at}")).exists());
        assert_eq!(lost.collect::<Vec<_>>(), [&0; 0]);
        assert_eq!(fs::read_dir(case.build().at("a")).unwrap().count(), 2001 + made.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_stay_where_the_archive_has_something_else_stops_the_restore() {
    let archive = archive_of(|case| {
        case.build().file("a", "a file");
    })
    .await;
    for way in ways() {
        let case = Case::default();
        case.build().file("a/extra", "e").settle();
        let before = (case.fingerprint(), case.beside());
        let mut restore = case.stage(&archive, way, Extras::Keep).await.unwrap();
        restore.load().await.unwrap();
        // It is refused while nothing is swapped yet; by path.
        match restore.staging.prepare().await {
            Err(error) => assert!(error.to_string().contains("a"), "{error}"),
            Ok(()) => panic!("`a/extra` can't be kept below a file"),
        }
        restore.staging.rollback().await.unwrap();
        assert_eq!((case.fingerprint(), case.beside()), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_adds_between_prepare_and_commit_is_not_left_behind() {
    for way in ways() {
        let archive = archive_of(|case| {
            case.build().file("a", "archived");
        })
        .await;
        let case = Case::default();
        case.build().file("a", "live");
        let options = with(way, json!({ "exclude": ["*.log"] }));
        let mut restore = case.stage(&archive, options, Extras::Remove).await.unwrap();
        restore.load().await.unwrap();
        restore.staging.prepare().await.unwrap();
        case.build().file("late", "extra").file("sub/late.log", "log");
        restore.staging.commit().await.unwrap();
        restore.staging.finish(OldState::Drop).await.unwrap();
        assert!(!case.build().at("late").exists());
        assert_eq!(fs::read_to_string(case.build().at("sub/late.log")).unwrap(), "log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_old_state_back_though_the_application_went_on() {
    for way in ways() {
        let archive = archive_of(|case| {
            case.build().file("a", "archived").file("b", "archived");
        })
        .await;
        let case = Case::default();
        case.build().file("a", "live").file("c", "live").settle();
        let before = (case.fingerprint(), case.beside());
        let mut restore = case.stage(&archive, way, Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        // It overwrites, and removes what was restored.
        case.build().file("spare", "app");
        fs::rename(case.build().at("spare"), case.build().at("a")).unwrap();
        fs::remove_file(case.build().at("b")).unwrap();
        for _twice in 0..2 {
            restore.staging.rollback().await.unwrap();
            assert_eq!((case.fingerprint(), case.beside()), before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_trees_are_refused_and_nothing_is_written_outside() {
    let archive = archive_of(|case| {
        case.build().file("a/f", "evil");
    })
    .await;
    let folder = r#""type":"folder","mode":"0755","uid":0,"gid":0,"mtime":[0,0]"#;
    let file = r#""type":"file","mode":"0644","uid":0,"gid":0,"mtime":[0,0],"size":4"#;
    let link =
        |to: &str| format!(r#""type":"symlink","mode":"0777","uid":0,"gid":0,"mtime":[0,0],"target":"{to}""#);
    let around = tempfile::tempdir().unwrap();
    let out = around.path().display().to_string();
    let root = format!(r#"{{"path":".",{folder}}}"#);
    let trees = [
        format!("{root}\n{{\"path\":\"a\",{}}}\n{{\"path\":\"a/f\",{file}}}\n", link(&out)),
        format!("{root}\n{{\"path\":\"../f\",{file}}}\n"),
        format!("{root}\n{{\"path\":\"/{out}/f\",{file}}}\n"),
        format!("{root}\n{{\"path\":\"a\",{file}}}\n{{\"path\":\"a/f\",{file}}}\n"),
        format!(
            "{root}\n{{\"path\":\"a\",{folder}}}\n{{\"path\":\"a/f\",{file}}}\n{{\"path\":\"a/f\",{file}}}\n"
        ),
        format!("{root}\n{{\"path\":\"a\",{folder}}}\n{{\"path\":\"a/f\",{file},\"part\":\"../x\"}}\n"),
        // Content without an entry, and an entry without content.
        format!("{root}\n{{\"path\":\"a\",{folder}}}\n"),
        format!(
            "{root}\n{{\"path\":\"a\",{folder}}}\n{{\"path\":\"a/f\",{file}}}\n{{\"path\":\"g\",{file}}}\n"
        ),
        root.clone(),
        String::new(),
        "{}\n".to_owned(),
    ];
    for tree in trees {
        let case = Case::default();
        case.build().file("live", "live");
        let before = (case.fingerprint(), case.beside());
        let mut restore =
            case.stage(&archive.with_tree(tree.clone()), json!({}), Extras::Remove).await.unwrap();
        let refused = restore.commit().await.err().unwrap_or_else(|| panic!("accepted: {tree}"));
        assert_eq!(refused.kind(), ErrorKind::Archive, "{refused}: {tree}");
        restore.staging.rollback().await.unwrap();
        assert_eq!((case.fingerprint(), case.beside()), before);
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_missing_stops_the_restore() {
    let archive = archive_of(|case| {
        case.build().file("a/f", "f").file("g", "g");
    })
    .await;
    let case = Case::default();
    for (name, bytes) in
        [("files/g", None), ("files/g", Some(&b"longer"[..])), ("files/more", Some(&b""[..]))]
    {
        let mut restore =
            case.stage(&archive.with_part(name, bytes), json!({}), Extras::Remove).await.unwrap();
        let error = restore.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archive, "{error}");
        restore.staging.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_data_answer_for_themselves_before_the_swap() {
    let archive = archive_of(|case| {
        case.build().file("a/f", "archived").link("l", "a/f");
    })
    .await;
    let case = Case::default();
    case.build().file("a/f", "live").file("only-live", "l");
    let mut restore = case.stage(&archive, json!({}), Extras::Remove).await.unwrap();
    restore.load().await.unwrap();
    restore.staging.prepare().await.unwrap();
    let keys = ["a/f", "only-live", "l", "a", "../x"].map(dumprestore_driver::Reference::to);
    let more = [holding("a/f", "archived"), holding("a/f", "live")];
    let unresolved = restore.staging.resolve(None, &[&keys[..], &more[..]].concat()).await.unwrap();
    let keys: Vec<_> =
        unresolved.iter().map(|u| (u.reference.key.to_string(), u.reference.digest.is_some())).collect();
    let expected = [("only-live", false), ("l", false), ("a", false), ("../x", false), ("a/f", true)];
    assert_eq!(keys, expected.map(|(key, digest)| (key.to_owned(), digest)));
    restore.staging.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_folder_that_is_restored_over_nothing_is_left() {
    let case = Case::default();
    for n in 0..45 {
        case.build().file(format!("flat/{n}"), "same").file(format!("deep/{n}/file"), "same");
    }
    let archive = case.dump(json!({})).await;
    let before = case.fingerprint();
    for n in 45..90 {
        case.build().file(format!("flat/{n}"), "more").folder(format!("flat/folder-{n}/in"));
    }
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(case.fingerprint(), before);
    assert_eq!(case.beside(), ["uploads"]);
}
