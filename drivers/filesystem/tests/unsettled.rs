//! What a dump says, and holds, of files that give it no rest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use folder::{Case, Dump, holding, noise, rest, while_busy};
use serde_json::json;

/// Writes a number at the beginning, then at the end: at no moment is the end the newer one.
fn overwrite(file: &File, size: u64, turn: u64) {
    file.write_all_at(&turn.to_be_bytes(), 0).unwrap();
    file.write_all_at(&turn.to_be_bytes(), size - 8).unwrap();
}

fn for_writing(case: &Case, path: &str) -> File {
    File::options().write(true).open(case.build().at(path)).unwrap()
}

/// A pass over the file `hot`, which is overwritten all the while; the names of what was listed.
async fn pass_while_torn(case: &Case, dump: &mut Dump) -> Vec<String> {
    let hot = for_writing(case, "hot");
    let size = hot.metadata().unwrap().len();
    let mut listed = Vec::new();
    while_busy(
        |turn| overwrite(&hot, size, turn),
        async || {
            std::thread::sleep(Duration::from_millis(20));
            listed = dump.pass().await;
        },
    )
    .await;
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_torn_at_the_end_degrades_the_node_though_it_was_whole_before() {
    let case = Case::default();
    let old = noise(1, 3_000_000);
    case.build().file("hot", &old).file("calm", "calm");
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    assert_eq!(pass_while_torn(&case, &mut dump).await, ["files/hot"]);
    dump.pin().await;
    let archive = dump.seal().await;
    assert_eq!(archive.file("hot"), Some(&old[..]), "torn bytes");
    let degraded: Vec<_> = archive.degraded().iter().map(|entry| &entry.what).collect();
    assert_eq!(degraded, ["hot"]);
    assert!(archive.says("hot", "as of an earlier moment: it changed each time"), "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_file_that_a_reference_is_resolved_to_degrades_nothing() {
    let case = Case::default();
    let old = noise(1, 3_000_000);
    case.build().file("hot", &old);
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    pass_while_torn(&case, &mut dump).await;
    dump.pin().await;
    assert!(dump.resolve(&[holding("hot", &old)]).await.is_empty());
    let archive = dump.seal().await;
    assert_eq!(archive.file("hot"), Some(&old[..]));
    assert!(archive.degraded().is_empty(), "{:?}", archive.ledger);
    assert!(archive.says("hot", "as of the cut"), "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_file_that_is_captured_late_degrades_nothing() {
    let case = Case::default();
    case.build().file("hot", noise(1, 3_000_000));
    let mut dump = case.open(json!({})).await;
    pass_while_torn(&case, &mut dump).await;
    rest();
    let new = fs::read(case.build().at("hot")).unwrap();
    dump.pin().await;
    assert!(dump.resolve(&[holding("hot", &new)]).await.is_empty());
    let archive = dump.seal().await;
    assert_eq!(archive.file("hot"), Some(&new[..]));
    assert!(archive.ledger.is_empty(), "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_away_whenever_it_was_read_and_is_there_after_the_pass_degrades_the_node() {
    let case = Case::default();
    case.build().file("moved", "m").file("folder", "f").file("gone", "g").file("kept", "k");
    let mut dump = case.open(json!({})).await;
    let parts = dump.list().await;
    let at = |name| case.build().at(name);
    fs::rename(at("moved"), case.around.path().join("moved")).unwrap();
    fs::remove_file(at("folder")).unwrap();
    fs::remove_file(at("gone")).unwrap();
    case.build().folder("folder");
    for part in &parts {
        dump.take(part).await;
    }
    fs::rename(case.around.path().join("moved"), at("moved")).unwrap();
    fs::remove_dir(at("folder")).unwrap();
    case.build().file("folder", "f");
    dump.pin().await;
    let archive = dump.seal().await;
    let degraded: Vec<_> = archive.degraded().iter().map(|entry| &entry.what).collect();
    assert_eq!(degraded, ["folder", "moved"]);
    assert!(archive.says("gone", "vanished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_and_is_gone_is_kept_as_it_was_with_a_note() {
    let case = Case::default();
    case.build().file("f", "old");
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    rest();
    case.build().file("f", "new");
    let parts = dump.list().await;
    fs::remove_file(case.build().at("f")).unwrap();
    for part in &parts {
        assert!(dump.take(part).await.is_none());
    }
    dump.pin().await;
    let archive = dump.seal().await;
    assert_eq!(archive.file("f"), Some(&b"old"[..]));
    assert!(archive.degraded().is_empty() && archive.says("f", "earlier moment"), "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_and_is_written_over_is_never_mixed_of_two_moments() {
    let case = Case::default();
    const RECORD: usize = 64;
    let mut start = vec![0; 20_000 * RECORD];
    start[..8].copy_from_slice(&20_000_u64.to_be_bytes());
    case.build().file("book", &start);
    let book = for_writing(&case, "book");
    // A record is appended, then counted at the beginning.
    let append = |turn: u64| {
        let count = 20_000 + turn;
        book.write_all_at(&[7; RECORD], (count - 1) * RECORD as u64).unwrap();
        book.write_all_at(&count.to_be_bytes(), 0).unwrap();
        std::thread::sleep(Duration::from_micros(turn * 7919 % 2_000));
    };
    while_busy(append, async || {
        for _dump in 0..10 {
            let archive = case.dump(json!({})).await;
            let Some(bytes) = archive.file("book") else {
                assert_eq!(archive.degraded().len(), 1, "{:?}", archive.ledger);
                continue;
            };
            let counted = u64::from_be_bytes(bytes[..8].try_into().unwrap());
            let there = (bytes.len() / RECORD) as u64;
            assert!(there == counted || there == counted + 1, "{there} records, and {counted} counted");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_now_and_then_degrades_nothing_and_is_a_prefix() {
    for pause in
        [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(15), Duration::from_millis(60)]
    {
        let case = Case::default();
        case.build().file("log", "");
        let mut log = File::options().append(true).open(case.build().at("log")).unwrap();
        let append = |turn: u64| {
            std::io::Write::write_all(&mut log, format!("line {turn}\n").as_bytes()).unwrap();
            std::thread::sleep(pause);
        };
        while_busy(append, async || {
            for _dump in 0..3 {
                let archive = case.dump(json!({})).await;
                assert!(archive.ledger.is_empty(), "every {pause:?}: {:?}", archive.ledger);
                let text = std::str::from_utf8(archive.file("log").unwrap()).unwrap();
                for (number, line) in (1..).zip(text.lines()) {
                    assert!(format!("line {number}").starts_with(line), "{line}");
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_writer_puts_its_time_back_is_never_torn() {
    let case = Case::default();
    let size = 3_000_000;
    case.build().file("hot", vec![0; size]).settle();
    let hot = for_writing(&case, "hot");
    let before = fs::metadata(case.build().at("hot")).unwrap().modified().unwrap();
    let write = |turn| {
        overwrite(&hot, size as u64, turn);
        hot.set_modified(before).unwrap();
    };
    while_busy(write, async || {
        for _dump in 0..10 {
            let archive = case.dump(json!({})).await;
            match archive.file("hot") {
                Some(bytes) => {
                    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
                    assert!(number(0) >= number(size - 8), "torn: {} and {}", number(0), number(size - 8));
                }
                None => assert_eq!(archive.degraded().len(), 1, "{:?}", archive.ledger),
            }
        }
    })
    .await;
}
