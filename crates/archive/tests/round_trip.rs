//! What goes in comes out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod sample;

use dumprestore_archive::*;
use proptest::prelude::*;
use sample::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};

#[test]
fn everything_comes_back_as_it_was() {
    let (bytes, expected) = everything(&METHODS, 1);
    let archive = open(&bytes).unwrap();
    assert_eq!(contents(&archive).unwrap(), expected);
    assert_eq!(verify(&archive).unwrap().parts, expected.len() as u64);
}

#[test]
fn an_archive_without_parts_is_an_archive() {
    let (maker, written) = Maker::memory();
    maker.seal();
    let archive = open(&written.bytes()).unwrap();
    assert_eq!(verify(&archive).unwrap().parts, 0);
}

#[test]
fn the_manifest_comes_back_with_all_that_was_put_in() {
    let (maker, written) = Maker::memory();
    let receipt = maker.write("db", "orders", Compression::Zstd, b"1\n2\n").unwrap();
    let mut listed = Listed::rows(Some(2));
    listed.set_meta(&vec![1, 2, 3]).unwrap();
    maker.writer.list("db", receipt.id, 0, &listed).unwrap();
    let mut node = Node::new("db", "postgres", 3);
    node.status = Status::Degraded;
    node.facts.insert("lsn".into(), "0/1".into());
    node.capabilities = serde_json::json!({"pin": true});
    let at = time::OffsetDateTime::UNIX_EPOCH;
    node.windows.push(Window { phase: "capture".into(), from: at, to: at });
    node.ledger.push(LedgerEntry { path: "a".into(), why: "vanished".into() });
    let mut manifest = manifest();
    manifest.config = serde_json::json!({"url": "${DATABASE_URL}"});
    manifest.cut = Some(at);
    manifest.cuts.push(Cut::new(at, at, 1, "again"));
    let mut edge = Edge::new("db", "files");
    edge.keys = "SELECT 1".into();
    edge.r#in = Some("customer.id".into());
    (0..2000).for_each(|key| edge.dangling.add(key.to_string()));
    manifest.edges.push(edge);
    manifest.nodes.push(node);
    let sealed = maker.writer.seal(manifest).unwrap();

    let archive = open(&written.bytes()).unwrap();
    let read = archive.manifest();
    let json = |manifest: &Manifest| serde_json::to_string(&(manifest, &manifest.nodes)).unwrap();
    assert_eq!(json(read), json(&sealed.manifest));
    let document = serde_json::to_vec(&archive.document()).unwrap();
    let end = written.bytes();
    assert_eq!(document, end[read.preceding.bytes as usize + 43..][..document.len()]);
    assert_eq!(archive.sha256(), sealed.sha256);
    let part = archive.find("db", "orders").unwrap().unwrap();
    assert_eq!((part.rows, part.meta::<Vec<u8>>().unwrap()), (Some(2), Some(vec![1, 2, 3])));
    let dangling = &read.edges[0].dangling;
    assert_eq!((dangling.total, dangling.keys.len()), (2000, Dangling::LISTED));
}

#[test]
fn a_large_manifest_comes_back_and_its_damage_is_found() {
    let (maker, written) = Maker::memory();
    maker.add("db", "a", Compression::Deflate, b"1");
    let mut manifest = maker.manifest();
    manifest.config = String::from_utf8(text(1, 20 << 20)).unwrap().into();
    let config = manifest.config.clone();
    maker.writer.seal(manifest).unwrap();
    let mut bytes = written.bytes();
    let archive = open(&bytes).unwrap();
    assert!(archive.manifest().config == config);
    assert_eq!(content(&archive, "db", "a").unwrap(), b"1");
    bytes[10 << 20] ^= 1;
    let error = open(&bytes).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Damaged, Some("manifest.json")));
}

#[test]
fn content_that_does_not_compress_is_stored() {
    let (maker, _) = Maker::memory();
    for how in METHODS {
        let noise = maker.write("files", &format!("noise {how:?}"), how, &noise(1, 3 * BLOCK)).unwrap();
        assert_eq!((noise.method, noise.stored), (Method::Store, noise.size), "{how:?}");
        let jpeg = [b"\xff\xd8\xff\xe0".as_slice(), &text(1, 2 * BLOCK)].concat();
        let jpeg = maker.write("files", &format!("jpeg {how:?}"), how, &jpeg).unwrap();
        assert_eq!(jpeg.method, Method::Store, "{how:?}");
    }
    let text = maker.write("files", "text", Compression::Deflate, &text(1, 3 * BLOCK)).unwrap();
    assert_eq!(text.method, Method::Deflate);
    assert!(text.stored < text.size * 2 / 3, "{text:?}");
}

#[test]
fn noise_within_a_large_part_takes_hardly_more_than_itself() {
    let (maker, written) = Maker::memory();
    let mixed = [text(1, 9 * BLOCK), noise(1, 50 * BLOCK), text(2, 9 * BLOCK)].concat();
    let receipt = maker.add("files", "mixed", Compression::Deflate, &mixed);
    assert_eq!(receipt.method, Method::Deflate);
    assert!(receipt.stored < 62 * BLOCK as u64, "{receipt:?}");
    maker.seal();
    assert_eq!(content(&open(&written.bytes()).unwrap(), "files", "mixed").unwrap(), mixed);
}

#[test]
fn a_superseded_entry_is_not_listed_and_its_name_is_free() {
    let (maker, written) = Maker::memory();
    let old = maker.write("files", "a", Compression::Deflate, b"old").unwrap();
    let name = EntryName::new("files", "a").unwrap();
    let mut new = maker.writer.part_instead_of(old.id, &name, Compression::Deflate).unwrap();
    new.write_all(b"new").unwrap();
    maker.writer.entry(old.id).expect("the old entry stands until the new one is finished");
    maker.list("files", new.finish().unwrap());
    assert_eq!(maker.writer.entry(old.id).unwrap_err().kind(), ErrorKind::Misuse);
    maker.seal();
    assert_eq!(content(&open(&written.bytes()).unwrap(), "files", "a").unwrap(), b"new");
}

#[test]
fn two_entries_of_a_name_may_stand_until_one_is_superseded_but_not_at_the_seal() {
    let (maker, written) = Maker::memory();
    let first = maker.write("files", "a", Compression::Deflate, b"1").unwrap();
    let second = maker.write("files", "a", Compression::Zstd, b"2").unwrap();
    maker.writer.supersede(second.id).unwrap();
    maker.list("files", first);
    maker.seal();
    assert_eq!(content(&open(&written.bytes()).unwrap(), "files", "a").unwrap(), b"1");

    let (maker, _) = Maker::memory();
    maker.add("files", "a/b", Compression::Deflate, b"1");
    maker.add("files", "a/b", Compression::Zstd, b"2");
    let manifest = maker.manifest();
    let error = maker.writer.seal(manifest).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::UnsafeName, Some("files/a/b")));
}

#[test]
fn a_file_that_is_a_folder_of_another_is_refused_at_the_seal() {
    let (maker, written) = Maker::memory();
    maker.add("files", "a/b", Compression::Deflate, b"1");
    maker.add("files", "a", Compression::Deflate, b"2");
    let manifest = maker.manifest();
    let error = maker.writer.seal(manifest).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::UnsafeName, Some("files/a/b")));
    assert_eq!(open(&written.bytes()).unwrap_err().kind(), ErrorKind::Incomplete);
}

#[test]
fn an_entry_that_the_manifest_forgets_is_refused_at_the_seal() {
    let (maker, _) = Maker::memory();
    maker.write("files", "a", Compression::Deflate, b"1").unwrap();
    let error = maker.writer.seal(manifest()).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Misuse, Some("files/a")));
}

#[test]
fn an_archive_with_an_open_part_is_not_sealed() {
    let (maker, _) = Maker::memory();
    let _open = maker.writer.part(&EntryName::new("files", "a").unwrap(), Compression::Store).unwrap();
    assert_eq!(maker.writer.seal(manifest()).unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn a_part_never_yields_more_than_it_should_however_it_is_read() {
    let (bytes, expected) = everything(&METHODS, 1);
    let archive = open(&bytes).unwrap();
    for (node, part) in parts(&archive).unwrap() {
        let mut reader = archive.read(&node, &part).unwrap();
        let mut content = Vec::new();
        let mut buffer = [0; 77];
        loop {
            let read = reader.read(&mut buffer).unwrap();
            assert_eq!(reader.read(&mut []).unwrap(), 0);
            content.extend_from_slice(&buffer[..read]);
            if read == 0 {
                break;
            }
        }
        assert_eq!(content, expected[reader.name()]);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    }
}

#[test]
fn progress_ends_at_its_total_and_cancelling_ends_a_verification() {
    let (bytes, _) = everything(&METHODS, 1);
    let archive = open(&bytes).unwrap();
    let most = std::sync::atomic::AtomicU64::new(0);
    let total = std::sync::atomic::AtomicU64::new(0);
    let note = |progress: Progress| {
        most.fetch_max(progress.done, std::sync::atomic::Ordering::Relaxed);
        total.store(progress.total, std::sync::atomic::Ordering::Relaxed);
    };
    archive.verify(&VerifyOptions::default(), &note, &|| false).unwrap();
    assert_eq!(most.into_inner(), total.into_inner());
    let cancelled = archive.verify(&VerifyOptions::default(), &|_| {}, &|| true).unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
}

/// Sizes at and around the edges: none, one block, what is held back, what is streamed.
fn sizes() -> impl Strategy<Value = usize> {
    let edges = (0..9usize).prop_flat_map(|blocks| (Just(blocks * BLOCK), 0..3usize));
    prop_oneof![edges.prop_map(|(edge, off)| (edge + off).saturating_sub(1)), 0..3 * BLOCK]
}

fn components() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 _äßЖ中💾~.,=+-]{1,12}".prop_filter("no dots alone", |name| name != "." && name != "..")
}

#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    size: usize,
    how: usize,
    noisy: bool,
    abandon: bool,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let name = proptest::collection::vec(components(), 1..4).prop_map(|parts| parts.join("/"));
    (name, sizes(), 0..3usize, any::<bool>(), proptest::bool::weighted(0.1))
        .prop_map(|(name, size, how, noisy, abandon)| Wanted { name, size, how, noisy, abandon })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_parts_written_by_several_lanes_come_back(
        lanes in proptest::collection::vec(proptest::collection::vec(wanted(), 0..6), 1..5)
    ) {
        let (maker, written) = Maker::memory();
        let lane = |(number, wanted): (usize, &Vec<Wanted>)| {
            let mut expected = BTreeMap::new();
            for (index, part) in wanted.iter().enumerate() {
                let seed = (number * 100 + index) as u64;
                let content = if part.noisy { noise(seed, part.size) } else { text(seed, part.size) };
                let name = format!("{index}/{}", part.name);
                let node = format!("lane{number}");
                if part.abandon {
                    maker.abandon(&node, &name, METHODS[part.how], &content);
                } else {
                    maker.add(&node, &name, METHODS[part.how], &content);
                    expected.insert(format!("{node}/{name}"), content);
                }
            }
            expected
        };
        let expected: BTreeMap<_, _> = std::thread::scope(|scope| {
            let lanes: Vec<_> = lanes.iter().enumerate().map(|it| scope.spawn(move || lane(it))).collect();
            lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
        });
        maker.seal();
        let archive = open(&written.bytes()).unwrap();
        verify(&archive).unwrap();
        prop_assert_eq!(contents(&archive).unwrap(), expected);
    }
}

#[test]
fn many_lanes_with_large_parts_all_get_their_turn() {
    let (maker, written) = Maker::memory();
    std::thread::scope(|scope| {
        for lane in 0..16 {
            let maker = &maker;
            scope.spawn(move || {
                for part in 0..6 {
                    let size = if part % 2 == 0 { 40 * BLOCK } else { 100 };
                    maker.add("db", &format!("{lane}/{part}"), METHODS[lane % 3], &text(lane as u64, size));
                }
            });
        }
    });
    maker.seal();
    assert_eq!(verify(&open(&written.bytes()).unwrap()).unwrap().parts, 96);
}
