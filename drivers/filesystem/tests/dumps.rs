//! Dumps of folders that change, and of things that are not plain files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use dumprestore_driver::{ErrorKind, Extras};
use folder::{Case, as_ordinary_user, noise, rest, while_busy, with_own_mounts};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_in_place_all_the_time_is_never_torn() {
    let case = Case::default();
    let size = 3_000_000;
    case.build().file("hot", vec![0; size]).file("calm", "calm");
    let hot = File::options().write(true).open(case.build().at("hot")).unwrap();
    // The end is written after the beginning: at no moment is it the newer one.
    let overwrite = |turn: u64| {
        hot.write_all_at(&turn.to_be_bytes(), 0).unwrap();
        hot.write_all_at(&turn.to_be_bytes(), size as u64 - 8).unwrap();
        // Now and then it rests for long enough to be read.
        let pause = if turn.is_multiple_of(40) { 60_000 } else { turn * 7919 % 6_000 };
        std::thread::sleep(std::time::Duration::from_micros(pause));
    };
    let mut whole = 0;
    while_busy(overwrite, async || {
        for _dump in 0..30 {
            let archive = case.dump(json!({})).await;
            assert_eq!(archive.file("calm"), Some(&b"calm"[..]));
            match archive.file("hot") {
                Some(bytes) => {
                    whole += 1;
                    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
                    assert!(number(0) >= number(size - 8), "torn: {} and {}", number(0), number(size - 8));
                }
                None => assert!(
                    archive.degraded().iter().any(|entry| entry.what == "hot"),
                    "{:?}",
                    archive.ledger
                ),
            }
        }
    })
    .await;
    assert!(whole > 0, "it was never whole, so nothing was tested");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_all_the_time_is_dumped_as_it_was_at_one_moment() {
    let case = Case::default();
    case.build().file("log", "");
    let mut log = File::options().append(true).open(case.build().at("log")).unwrap();
    let append = |turn: u64| writeln!(log, "line {turn}").unwrap();
    while_busy(append, async || {
        for _dump in 0..5 {
            let archive = case.dump(json!({})).await;
            assert!(archive.degraded().is_empty(), "{:?}", archive.ledger);
            let text = std::str::from_utf8(archive.file("log").unwrap()).unwrap();
            for (number, line) in (1..).zip(text.lines()) {
                assert!(format!("line {number}").starts_with(line), "{line}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shrinks_and_grows_is_never_filled_up_with_zeros() {
    let case = Case::default();
    case.build().file("cut", noise(1, 2_000_000));
    let cut = case.build().at("cut");
    let full = noise(1, 2_000_000);
    let shrink = |turn: u64| {
        let file = File::options().write(true).open(&cut).unwrap();
        file.set_len(turn % 7 * 1000).unwrap();
        file.write_all_at(&full, 0).unwrap();
    };
    while_busy(shrink, async || {
        for _dump in 0..5 {
            let archive = case.dump(json!({})).await;
            if let Some(bytes) = archive.file("cut") {
                assert!(full.starts_with(bytes), "{} bytes that were never in the file", bytes.len());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_through_a_link_that_is_put_in_the_way() {
    let case = Case::default();
    let outside = case.around.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("name"), "secret").unwrap();
    case.build().file("file/name", "public").file("name", "public");
    let (root, target) = (&case.root, &outside);
    let swap = |turn: u64| {
        // Now and then the file and the folder are links to what is outside.
        let spare = root.join(format!("../spare-{turn}"));
        for (live, to) in [("file", target.clone()), ("name", target.join("name"))] {
            symlink(&to, &spare).unwrap();
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            let cwd = rustix::fs::CWD;
            for pause in [turn * 7919 % 500, turn * 104_729 % 500] {
                rustix::fs::renameat_with(cwd, &spare, cwd, root.join(live), exchange).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(pause));
            }
            fs::remove_file(&spare).unwrap();
        }
    };
    while_busy(swap, async || {
        for _dump in 0..100 {
            let mut dump = case.open(json!({})).await;
            dump.pass().await;
            dump.pin().await;
            for bytes in dump.captured.values() {
                assert_ne!(bytes, b"secret");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_between_list_and_read_is_left_out_with_a_note() {
    let case = Case::default();
    case.build().file("a", "a").file("b", "b").file("c/d", "d").file("e", "e");
    let mut dump = case.open(json!({})).await;
    let parts = dump.list().await;
    fs::remove_file(case.build().at("a")).unwrap();
    fs::remove_dir_all(case.build().at("c")).unwrap();
    fs::remove_file(case.build().at("e")).unwrap();
    case.build().folder("e");
    for part in &parts {
        dump.take(part).await;
    }
    dump.pin().await;
    let archive = dump.seal().await;
    assert_eq!(archive.file("b"), Some(&b"b"[..]));
    assert!(archive.file("a").is_none() && archive.file("c/d").is_none() && archive.file("e").is_none());
    let degraded: Vec<_> = archive.degraded().iter().map(|entry| &entry.what).collect();
    assert_eq!(degraded, ["e"], "what is there and was not read is not gone");
    assert!(archive.says("a", "vanished") && archive.says("e", "took its place"), "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pass_lists_only_what_changed() {
    let case = Case::default();
    case.build()
        .file("same", "1")
        .file("grown", "1")
        .file("replaced", "1")
        .file("in-place", "1")
        .file("gone", "1");
    let mut dump = case.open(json!({})).await;
    assert_eq!(dump.pass().await.len(), 5);
    assert!(dump.pass().await.is_empty());
    rest();
    case.build().file("grown", "22").file("in-place", "2").file("new", "2").file("spare", "2");
    fs::rename(case.build().at("spare"), case.build().at("replaced")).unwrap();
    fs::remove_file(case.build().at("gone")).unwrap();
    let mut listed = dump.pass().await;
    listed.sort();
    assert_eq!(listed, ["files/grown", "files/in-place", "files/new", "files/replaced"]);
    dump.pin().await;
    let archive = dump.seal().await;
    assert_eq!(archive.file("replaced"), Some(&b"2"[..]));
    assert!(archive.file("gone").is_none() && archive.file("spare").is_none());
    assert_eq!(archive.file("same"), Some(&b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_fifos_and_devices_are_skipped_with_a_note_and_nobody_waits() {
    let case = Case::default();
    let _socket = std::os::unix::net::UnixListener::bind(case.build().at("socket")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, case.build().at("fifo"), fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    case.build().file("file", "f");
    let archive = case.dump(json!({})).await;
    assert!(archive.says("socket", "socket") && archive.says("fifo", "fifo"), "{:?}", archive.ledger);
    assert!(archive.degraded().is_empty());
    assert_eq!(archive.parts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_are_stored_once_and_linked_again() {
    let case = Case::default();
    let build = case.build();
    build.file("one", noise(5, 100_000)).folder("farm");
    for n in 0..50 {
        build.hard_link(format!("farm/{n}"), "one");
    }
    build.settle();
    let before = case.fingerprint();
    let archive = case.dump(json!({})).await;
    assert_eq!(archive.parts.len(), 2, "{:?}", archive.parts.keys());
    fs::remove_dir_all(&case.root).unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(case.fingerprint(), before);
    assert_eq!(fs::metadata(case.build().at("one")).unwrap().nlink(), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_whose_first_name_is_replaced_while_it_is_read_keeps_its_content() {
    let case = Case::default();
    case.build().file("a", "old").hard_link("b", "a").hard_link("c", "a");
    let mut dump = case.open(json!({})).await;
    let parts = dump.list().await;
    assert_eq!(parts.len(), 1);
    // Whichever was first is another file by the time it is read.
    let first = parts[0].name.below("files").unwrap();
    case.build().file("spare", "new");
    fs::rename(case.build().at("spare"), case.build().at(first.as_str())).unwrap();
    dump.take(&parts[0]).await;
    dump.pin().await;
    let archive = std::sync::Arc::new(dump.seal().await);
    fs::remove_dir_all(&case.root).unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    for name in ["a", "b", "c"] {
        let expected = if name == first.as_str() { "new" } else { "old" };
        assert_eq!(fs::read_to_string(case.build().at(name)).unwrap(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_are_read_as_zeros_and_are_holes_again() {
    let case = Case::default();
    let file = File::create(case.build().at("sparse")).unwrap();
    file.write_all_at(&noise(1, 10_000), 5_000_000).unwrap();
    file.write_all_at(b"x", 20_000_000).unwrap();
    file.set_len(30_000_000).unwrap();
    File::create(case.build().at("hole")).unwrap().set_len(1_000_001).unwrap();
    case.build().file("zeros", vec![0; 500_000]);
    case.build().settle();
    drop(file);
    let blocks = |name: &str| fs::metadata(case.build().at(name)).unwrap().blocks();
    let before = (case.fingerprint(), blocks("sparse"), blocks("zeros"));
    let archive = case.dump(json!({})).await;
    assert_eq!(archive.file("sparse").unwrap().len(), 30_000_000);
    fs::remove_dir_all(&case.root).unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(case.fingerprint(), before.0);
    assert!(blocks("sparse") <= before.1 + 16, "{} blocks, were {}", blocks("sparse"), before.1);
    assert_eq!(blocks("hole"), 0);
    assert!(blocks("zeros") >= before.2, "what was written as zeros has become a hole");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_all_ages_survive() {
    let case = Case::default();
    let build = case.build();
    for (name, seconds, nanos) in [
        ("before-1970", -86_400, 1),
        ("before-1980", 100, 999_999_999),
        ("far", 10_000_000_000, 5),
        ("whole", 7, 0),
    ] {
        build.file(name, name).time(name, seconds, nanos);
    }
    let before = case.fingerprint();
    let archive = case.dump(json!({})).await;
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(case.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn acls_survive() {
    let case = Case::default();
    // Version 2; user::rw-, user:1234:r--, group::r--, mask::r--, other::---
    let mut acl = vec![2, 0, 0, 0];
    for (tag, rights, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    case.build().file("shared", "s").folder("inbox");
    case.build().xattr("shared", "system.posix_acl_access", &acl).xattr(
        "inbox",
        "system.posix_acl_default",
        &acl,
    );
    case.build().file("inbox/inherits", "i").settle();
    let before = case.fingerprint();
    assert!(before.contains("posix_acl_default"));
    let archive = case.dump(json!({})).await;
    fs::remove_dir_all(&case.root).unwrap();
    // The folder around must not lend its own rights.
    rustix::fs::setxattr(
        case.around.path(),
        "system.posix_acl_default",
        &acl,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(case.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_leaves_no_access_times_behind() {
    let case = Case::default();
    case.build().file("a/b", "b").settle();
    rest();
    let atimes = || {
        [case.build().at(""), case.build().at("a"), case.build().at("a/b")].map(|path| {
            let meta = fs::metadata(path).unwrap();
            (meta.atime(), meta.atime_nsec())
        })
    };
    let before = atimes();
    case.driver(json!({})).inspect().await.unwrap();
    case.dump(json!({})).await;
    assert_eq!(atimes(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_that_is_being_written_is_not_dumped() {
    let case = Case::default();
    case.build().file("kept", "k").file("backup.zip.partial", "half").file("state/journal", "j");
    case.build().file(".dumprestore-x/tree/f", "f").file("sub/.exports.dumprestore-previous/tree/f", "f");
    let ours =
        vec![case.build().at("backup.zip.partial"), case.build().at("state"), case.build().at("not-yet")];
    let cx = dumprestore_driver::OpenContext::new("run", case.around.path()).with_ours(ours);
    let mut source = case.driver(json!({})).open(cx).await.unwrap();
    let mut stream = source.capture().await.unwrap();
    let mut names = Vec::new();
    while let Some(part) = futures_util::StreamExt::next(&mut stream).await {
        names.push(part.unwrap().name.to_string());
    }
    assert_eq!(names, ["files/kept"]);
    assert_eq!(source.ledger().len(), 4, "{:?}", source.ledger());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_included_and_not_excluded_is_dumped_with_the_folders_it_is_in() {
    let case = Case::default();
    case.build()
        .file("a/1.jpg", "1")
        .file("a/2.txt", "2")
        .file("b/c/3.jpg", "3")
        .file("d/4.txt", "4")
        .folder("e");
    case.build().file("a/cache/5.jpg", "5");
    let archive = case.dump(json!({ "include": ["*.jpg"], "exclude": ["cache"] })).await;
    let names: Vec<_> = archive.parts.keys().map(|name| name.to_string()).collect();
    assert_eq!(names, ["files/a/1.jpg", "files/b/c/3.jpg", "tree.jsonl"]);
    let tree = archive.tree();
    let paths: Vec<_> = tree.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(paths, [".", "a", "a/1.jpg", "b", "b/c", "b/c/3.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_folder_is_no_empty_folder() {
    let case = Case::default();
    fs::remove_dir(&case.root).unwrap();
    let driver = case.driver(json!({}));
    let error = case.try_open(&*driver).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Environment);
    fs::write(&case.root, "a file").unwrap();
    let error = case.try_open(&*driver).await.err().unwrap();
    assert!(error.to_string().contains("not a folder"), "{error}");
    assert!(!driver.inspect().await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_may_be_a_link_and_stays_one() {
    let case = Case::default();
    let real = case.around.path().canonicalize().unwrap().join("real");
    fs::rename(&case.root, &real).unwrap();
    symlink("real", &case.root).unwrap();
    fs::write(real.join("f"), "1").unwrap();
    let archive = case.dump(json!({})).await;
    fs::write(real.join("f"), "2").unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(fs::read_to_string(real.join("f")).unwrap(), "1");
    assert_eq!(fs::read_link(&case.root).unwrap().to_str(), Some("real"));
    let inspected = case.driver(json!({})).inspect().await.unwrap();
    assert_eq!(inspected.claims, [dumprestore_driver::Claim::Path(real)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_degrades_the_node() {
    if !as_ordinary_user("what_may_not_be_read_degrades_the_node") {
        return;
    }
    let case = Case::default();
    case.build().file("readable", "r").file("secret", "s").mode("secret", 0o000);
    case.build().file("locked/inside", "i").mode("locked", 0o000);
    let inspected = case.driver(json!({})).inspect().await.unwrap();
    assert!(inspected.problems.iter().any(|p| p.message.contains("locked")), "{:?}", inspected.problems);
    let archive = case.dump(json!({})).await;
    case.build().mode("locked", 0o700);
    let degraded: Vec<_> = archive.degraded().iter().map(|entry| entry.what.clone()).collect();
    assert_eq!(degraded, ["locked", "secret"]);
    assert_eq!(archive.file("readable"), Some(&b"r"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_file_systems_below_are_left_out_with_a_note() {
    if !with_own_mounts("other_file_systems_below_are_left_out_with_a_note") {
        return;
    }
    let case = Case::default();
    case.build().file("a", "a").folder("mnt").folder("bound").file("source/x", "x");
    let at = |name| case.build().at(name).display().to_string();
    folder::shell(&format!(
        "mount -t tmpfs none {0}; echo m > {0}/m; mount --bind {1} {2}",
        at("mnt"),
        at("source"),
        at("bound")
    ));
    let archive = case.dump(json!({})).await;
    let names: Vec<_> = archive.parts.keys().map(|name| name.to_string()).collect();
    assert_eq!(names, ["files/a", "files/source/x", "tree.jsonl"]);
    assert!(archive.says("mnt", "mounted") && archive.says("bound", "mounted"));
    let all = case.dump(json!({ "one_file_system": false })).await;
    assert_eq!(all.file("mnt/m"), Some(&b"m\n"[..]));
    assert!(all.file("bound/x").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_those_of_the_moment_of_the_capture() {
    let case = Case::default();
    case.build().file("f", "f").mode("f", 0o600);
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    case.build().mode("f", 0o640);
    assert_eq!(dump.pass().await, ["files/f"]);
    dump.pin().await;
    let archive = std::sync::Arc::new(dump.seal().await);
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    assert_eq!(fs::metadata(case.build().at("f")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_from_where_a_pass_has_yet_to_go_to_where_it_has_been_is_dumped() {
    let case = Case::default();
    let folders = ["a", "b", "c"];
    for folder in folders {
        // More than a pass lists ahead of what is read.
        for n in 0..400 {
            case.build().file(format!("{folder}/{n}"), "same");
        }
        case.build().file(format!("{folder}/moved-from-{folder}"), folder);
        case.build().file(format!("{folder}/below-{folder}/deep"), folder);
    }
    rest();
    let mut dump = case.open(json!({})).await;
    let mut stream = dump.source.capture().await.unwrap();
    let (mut order, mut moved) = (Vec::new(), false);
    while let Some(part) = futures_util::StreamExt::next(&mut stream).await {
        let part = part.unwrap();
        let folder = part.name.as_str().split('/').nth(1).unwrap().to_owned();
        if !order.contains(&folder) {
            order.push(folder);
        }
        if order.len() == 2 && !moved {
            let last = folders.into_iter().find(|folder| !order.iter().any(|seen| seen == folder)).unwrap();
            for name in [format!("moved-from-{last}"), format!("below-{last}")] {
                let to = case.build().at(&order[0]).join(&name);
                fs::rename(case.build().at(last).join(&name), to).unwrap();
            }
            moved = true;
        }
        dump.take(&part).await;
    }
    dump.pin().await;
    let archive = dump.seal().await;
    let (first, last) = (&order[0], &order[2]);
    for path in [format!("{first}/moved-from-{last}"), format!("{first}/below-{last}/deep")] {
        assert_eq!(archive.file(&path), Some(last.as_bytes()), "{path}");
    }
    assert!(archive.degraded().is_empty());
}
