//! What resolves at the cut, and that just that is then in the archive.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dumprestore_driver::{CutContext, CutMode, Extras, Reference, Unresolved, Why};
use folder::{Archive, Case, Dump, StopAtEnd, holding, rest};
use serde_json::json;

async fn captured(case: &Case) -> Dump {
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    dump
}

fn whys(unresolved: &[Unresolved]) -> Vec<(String, String)> {
    unresolved.iter().map(|u| (u.reference.key.to_string(), u.why.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_resolves_to_the_version_that_was_captured_though_the_file_is_another_by_now() {
    let case = Case::default();
    case.build().file("a", "old").file("b", "old");
    let mut dump = captured(&case).await;
    case.build().file("a", "new");
    fs::remove_file(case.build().at("b")).unwrap();
    dump.pin().await;
    let unresolved = dump.resolve(&[holding("a", "old"), holding("b", "old")]).await;
    assert!(unresolved.is_empty(), "{:?}", whys(&unresolved));
    let archive = dump.seal().await;
    assert_eq!((archive.file("a"), archive.file("b")), (Some(&b"old"[..]), Some(&b"old"[..])));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_captures_the_one_that_is_referred_to_is_in_the_archive() {
    let case = Case::default();
    let mut dump = case.open(json!({})).await;
    for version in ["1", "2", "3"] {
        case.build().file("a", version);
        rest();
        assert_eq!(dump.pass().await.len(), 1);
    }
    dump.pin().await;
    assert!(dump.resolve(&[holding("a", "2")]).await.is_empty());
    assert!(matches!(&dump.resolve(&[holding("a", "1")]).await[0].why, Why::Differs(_)));
    // A cut that failed leaves no choice behind.
    dump.source.unpin().await.unwrap();
    dump.pin().await;
    assert!(dump.resolve(&[holding("a", "1"), holding("a", "1"), holding("./a", "1")]).await.is_empty());
    assert_eq!(dump.seal().await.file("a"), Some(&b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_digest_only_what_was_so_before_the_cut_resolves() {
    let case = Case::default();
    for name in ["same", "overwritten", "replaced", "touched", "gone", "not-captured-yet"] {
        if name != "not-captured-yet" {
            case.build().file(name, "1");
        }
    }
    let mut dump = captured(&case).await;
    case.build().file("not-captured-yet", "1");
    rest();
    dump.pin().await;
    case.build().file("overwritten", "2").file("spare", "2").mode("touched", 0o600).file("new", "2");
    fs::rename(case.build().at("spare"), case.build().at("replaced")).unwrap();
    fs::remove_file(case.build().at("gone")).unwrap();
    let keys = ["same", "overwritten", "replaced", "touched", "gone", "not-captured-yet", "new", "never"];
    let unresolved = dump.resolve(&keys.map(Reference::to)).await;
    let mut found = whys(&unresolved);
    found.sort();
    let changed = |key: &str| (key.to_owned(), "changed during the cut".to_owned());
    let expected = [
        changed("gone"),
        ("never".to_owned(), "not there".to_owned()),
        changed("new"),
        changed("overwritten"),
        changed("replaced"),
        changed("touched"),
    ];
    assert_eq!(found, expected);
    let archive = dump.seal().await;
    assert_eq!(archive.file("not-captured-yet"), Some(&b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_writers_are_held_back_what_is_there_resolves() {
    let case = Case::default();
    case.build().file("a", "1");
    let mut dump = captured(&case).await;
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    case.build().file("a", "2").file("b", "2");
    dump.source.pin(&CutContext::new(long_ago, CutMode::Locked)).await.unwrap();
    assert!(dump.resolve(&["a", "b"].map(Reference::to)).await.is_empty());
    dump.source.unlock().await.unwrap();
    assert_eq!(dump.resolve(&[Reference::to("a")]).await.len(), 1, "the lock is gone");
    let archive = dump.seal().await;
    assert_eq!((archive.file("a"), archive.file("b")), (Some(&b"2"[..]), Some(&b"2"[..])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_renamed_into_place_after_the_cut_does_not_stand_for_the_one_before() {
    let case = Case::default();
    case.build().file("live/x", "old").file("next/x", "next").file("next/only-next", "n");
    let mut dump = captured(&case).await;
    rest();
    dump.pin().await;
    fs::rename(case.build().at("live"), case.build().at("was")).unwrap();
    fs::rename(case.build().at("next"), case.build().at("live")).unwrap();
    // The files themselves are old, and untouched by the renames.
    let unresolved = dump.resolve(&["live/x", "live/only-next"].map(Reference::to)).await;
    assert_eq!(unresolved.len(), 2, "{:?}", whys(&unresolved));
    // A digest needs no such proof.
    assert!(dump.resolve(&[holding("live/x", "old")]).await.is_empty());
    assert_eq!(dump.seal().await.file("live/x"), Some(&b"old"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_only_a_late_capture_came_by_is_no_proof() {
    let case = Case::default();
    case.build().file("a", "a");
    let elsewhere = case.around.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("f"), "f").unwrap();
    fs::write(elsewhere.join("g"), "g").unwrap();
    rest();
    let mut dump = captured(&case).await;
    dump.pin().await;
    rest();
    fs::rename(&elsewhere, case.build().at("d")).unwrap();
    assert!(dump.resolve(&[holding("d/g", "g")]).await.is_empty());
    // Its own stamp is old; the folder came in after the cut.
    assert_eq!(dump.resolve(&[Reference::to("d/f")]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_in_a_new_folder_is_captured_at_the_cut() {
    let case = Case::default();
    let mut dump = captured(&case).await;
    case.build().file("2024/06/x", "new").mode("2024", 0o750);
    rest();
    dump.pin().await;
    let unresolved = dump.resolve(&[Reference::to("2024/06/x"), holding("2024/06/x", "new")]).await;
    assert!(unresolved.is_empty(), "{:?}", whys(&unresolved));
    let archive = Arc::new(dump.seal().await);
    let before = case.fingerprint();
    fs::remove_dir_all(&case.root).unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    // But for the time of the root, which the last pass saw before the folder came.
    let rest = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(rest(&case.fingerprint()), rest(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_referred_to_goes_before_what_took_its_place() {
    let case = Case::default();
    case.build().file("file", "f").file("folder/in", "i").file("replaced/in", "r");
    let mut dump = captured(&case).await;
    fs::remove_file(case.build().at("file")).unwrap();
    fs::remove_dir_all(case.build().at("folder")).unwrap();
    fs::remove_dir_all(case.build().at("replaced")).unwrap();
    case.build()
        .file("file/below/deep", "later")
        .link("folder", "/etc")
        .file("replaced", "later")
        .file("last", "l");
    dump.pass().await;
    dump.pin().await;
    let keys = [holding("file", "f"), holding("folder/in", "i"), holding("replaced/in", "r")];
    assert!(dump.resolve(&keys).await.is_empty());
    let archive = Arc::new(dump.seal().await);
    fs::remove_dir_all(&case.root).unwrap();
    case.restore(&archive, json!({}), Extras::Remove).await.unwrap();
    for (path, content) in [("file", "f"), ("folder/in", "i"), ("replaced/in", "r"), ("last", "l")] {
        assert_eq!(fs::read_to_string(case.build().at(path)).unwrap(), content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_references_that_exclude_each_other_do_not_both_resolve() {
    let case = Case::default();
    case.build().file("a", "1");
    let mut dump = captured(&case).await;
    fs::remove_file(case.build().at("a")).unwrap();
    case.build().file("a/below", "2");
    dump.pass().await;
    dump.pin().await;
    assert!(dump.resolve(&[holding("a", "1"), holding("a/below", "2")]).await.is_empty());
    let error = dump.source.parts().await.err().unwrap();
    assert!(error.to_string().contains("a/below"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_other_things_say_what_they_are() {
    let case = Case::default();
    case.build()
        .folder("folder")
        .file("dir/f", "f")
        .link("link", "dir/f")
        .link("way", "dir")
        .file("no.tmp", "t");
    symlink("/etc/passwd", case.build().at("out")).unwrap();
    let mut dump = case.open(json!({ "exclude": ["*.tmp"] })).await;
    dump.pass().await;
    rest();
    dump.pin().await;
    let keys = ["folder", "link", "way/f", "out", "no.tmp", "../x", "/etc/passwd", "dir/f/x", "dir/f/", "\0"];
    let unresolved = dump.resolve(&keys.map(Reference::to)).await;
    assert_eq!(unresolved.len(), keys.len(), "{:?}", whys(&unresolved));
    let why = |key: &str| whys(&unresolved).into_iter().find(|(of, _)| of == key).unwrap().1;
    assert_eq!(why("folder"), "it is a folder");
    assert!(why("link").contains("symbolic link") && why("out").contains("symbolic link"));
    assert_eq!(why("way/f"), "not there");
    assert!(why("no.tmp").contains("exclude"));
    assert!(why("../x").contains("..") && why("/etc/passwd").contains("absolute"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_of_a_hard_linked_file_resolves() {
    let case = Case::default();
    case.build().file("a", "1").hard_link("b", "a").hard_link("sub-c", "a");
    let mut dump = captured(&case).await;
    rest();
    dump.pin().await;
    let keys = [Reference::to("a"), Reference::to("b"), holding("sub-c", "1"), holding("a", "1")];
    assert!(dump.resolve(&keys).await.is_empty());
    let archive = dump.seal().await;
    assert_eq!(archive.parts.len(), 2);
}

/// What an application's table would hold: by key, the content that the file must have.
type Rows = HashMap<String, String>;

/// An application that adds, deletes, renames over, and overwrites in place; each file change first, then the row,
/// except for deletions, as sane applications do.
fn application(case: &Case, rows: &Mutex<Rows>, stop: &AtomicBool) -> u64 {
    let mut state = 88_172_645_463_325_252_u64;
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let key = format!("{}/{}", state % 5, state % 211);
        let content = format!("{turn} ").repeat(2_000 + (state % 900) as usize);
        match state / 1_000 % 4 {
            0 => {
                rows.lock().unwrap().remove(&key);
                let _ = fs::remove_file(case.build().at(&key));
            }
            1 => {
                case.build().file(&key, &content);
                rows.lock().unwrap().insert(key, content);
            }
            _ => {
                case.build().file("spare", &content);
                fs::create_dir_all(case.build().at(&key).parent().unwrap()).unwrap();
                fs::rename(case.build().at("spare"), case.build().at(&key)).unwrap();
                rows.lock().unwrap().insert(key, content);
            }
        }
        // Some hundred changes a second, and now and then a moment's rest.
        let pause = if turn % 64 == 0 { 30_000 } else { 1_500 };
        std::thread::sleep(std::time::Duration::from_micros(pause));
    }
    turn
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_certified_is_whole_in_the_archive_under_a_busy_application() {
    let case = Case::default();
    let (rows, stop) = (&Mutex::new(Rows::new()), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let live = &case;
        let busy = scope.spawn(move || application(live, rows, stop));
        let stopping = StopAtEnd(stop);
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            handle.block_on(async {
                for digests in [true, false, true, false, true, false] {
                    certified_dump(&case, rows, digests).await;
                }
            })
        });
        drop(stopping);
        assert!(busy.join().unwrap() > 100);
    });
}

async fn certified_dump(case: &Case, rows: &Mutex<Rows>, digests: bool) {
    let mut dump = case.open(json!({})).await;
    for _cut in 0..200 {
        while dump.pass().await.len() > 40 {}
        dump.pin().await;
        // The referrer's snapshot, taken after `not_before`.
        let held = rows.lock().unwrap().clone();
        let references: Vec<_> = held
            .iter()
            .map(|(key, content)| if digests { holding(key, content) } else { Reference::to(key.as_bytes()) })
            .collect();
        if !dump.resolve(&references).await.is_empty() {
            dump.source.unpin().await.unwrap();
            continue;
        }
        let archive = dump.seal().await;
        check(&archive, &held, digests);
        return;
    }
    panic!("no cut in two hundred was certified");
}

fn check(archive: &Archive, held: &Rows, digests: bool) {
    assert!(archive.degraded().is_empty(), "{:?}", archive.ledger);
    for (key, content) in held {
        let found = archive.file(key).unwrap_or_else(|| panic!("{key} dangles"));
        let found = String::from_utf8_lossy(found);
        if digests {
            assert_eq!(found, *content, "{key}");
            continue;
        }
        // Without a digest the file may be ahead of its row, as the application writes it first; it was so at the
        // cut. What it must not be is torn, or older than the row.
        let number = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap_or(0);
        assert!(number(&found) >= number(content), "{key} is older than its row");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_read_keeps_its_rights_and_is_told_of() {
    if !folder::as_ordinary_user("a_folder_that_may_not_be_read_keeps_its_rights_and_is_told_of") {
        return;
    }
    let case = Case::default();
    case.build().file("closed/f", "f").mode("closed", 0o310);
    rest();
    let mut dump = captured(&case).await;
    dump.pin().await;
    assert!(dump.resolve(&[Reference::to("closed/f")]).await.is_empty());
    let archive = dump.seal().await;
    assert_eq!(archive.file("closed/f"), Some(&b"f"[..]));
    let tree = archive.tree();
    let line = tree.lines().find(|line| line.contains("\"closed\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["mode"], json!("0310"), "{line}");
    assert_eq!(line["uid"], json!(rustix::process::geteuid().as_raw()));
    assert!(archive.degraded().iter().any(|entry| entry.what == "closed"), "{:?}", archive.ledger);
    case.build().mode("closed", 0o700);
}
