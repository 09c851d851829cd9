//! A flipped byte anywhere is found; what is cut short is not an archive.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod sample;

use dumprestore_archive::*;
use sample::*;
use std::ops::Range;

/// An archive as small as one with everything can be, and where its parts lie.
fn small() -> (Vec<u8>, Vec<(String, Range<usize>)>) {
    let (maker, written) = Maker::memory();
    let repeated = |len| b"all work and no play ".iter().copied().cycle().take(len).collect::<Vec<u8>>();
    for how in METHODS {
        let node = format!("n.{how:?}").to_lowercase();
        maker.add(&node, "small", how, &text(1, 90));
        maker.add(&node, "empty", how, b"");
        let old = maker.write(&node, "old", how, &text(2, 90)).unwrap();
        maker.writer.supersede(old.id).unwrap();
        if how != Compression::Store {
            maker.add(&node, "held", how, &repeated(2 * BLOCK));
            maker.add(&node, "streamed", how, &repeated(7 * BLOCK));
            maker.abandon(&node, "abandoned", how, &repeated(9 * BLOCK));
        }
    }
    maker.add("n.store", "streamed", Compression::Store, &noise(1, 6 * BLOCK + 1));
    maker.seal();
    let bytes = written.bytes();
    let archive = open(&bytes).unwrap();
    verify(&archive).unwrap();
    let all = parts(&archive).unwrap();
    let parts = all.iter().map(|(node, part)| {
        let name = format!("{}/{}", node.replace('.', "/"), part.name);
        let headers = 30 + name.len() + if part.descriptor { 20 + 24 } else { 0 };
        let offset = part.offset as usize;
        (name, offset..offset + headers + part.stored as usize)
    });
    let mut parts: Vec<_> = parts.collect();
    let preceding = archive.manifest().preceding.bytes as usize;
    let manifest = 30 + "manifest.json".len() + serde_json::to_vec(&archive.document()).unwrap().len() + 1;
    parts.push(("manifest.json".into(), preceding..preceding + manifest));
    assert!(all.iter().filter(|(_, part)| part.descriptor).count() == 3);
    (bytes, parts)
}

/// One thread for each, for thousands are tried.
fn verify_alone(bytes: Vec<u8>) -> Result<Verified> {
    let archive = Archive::open(std::sync::Arc::new(bytes))?;
    let mut options = VerifyOptions::default();
    options.workers = 1;
    archive.verify(&options, &|_| {}, &|| false)
}

fn check_flip(bytes: &[u8], parts: &[(String, Range<usize>)], at: usize, mask: u8) {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= mask;
    let by_digest = open(&flipped).and_then(|archive| archive.verify_bytes(&|_| {}, &|| false));
    assert!(by_digest.is_err(), "byte {at} ^ {mask:#x} was not found by digest");
    let Err(error) = verify_alone(flipped) else { panic!("byte {at} ^ {mask:#x} was not found") };
    if let Some((name, _)) = parts.iter().find(|(_, range)| range.contains(&at)) {
        // Some bits of deflate's and zstd's headers mean nothing. The content is sound then, the file is not.
        let meaningless = !name.contains("store/") && error.to_string().contains("bits that do not matter");
        assert!(meaningless || error.entry() == Some(&**name), "byte {at} ^ {mask:#x}: {error}");
        assert_eq!(error.kind(), ErrorKind::Damaged, "byte {at} ^ {mask:#x}: {error}");
        return;
    }
    let message = error.to_string();
    let places = ["superseded or abandoned", "central directory", "end record", "comment", "manifest.json"];
    let in_end = at >= bytes.len() - 100;
    let named = places.iter().any(|place| message.contains(place))
        || in_end
            && [ErrorKind::NotAnArchive, ErrorKind::Incomplete, ErrorKind::Unsupported]
                .contains(&error.kind());
    assert!(named, "byte {at} ^ {mask:#x}: {error}");
}

#[test]
fn a_flip_of_any_byte_is_found_and_its_place_named() {
    let (bytes, parts) = small();
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (bytes, parts) = (&bytes, &parts);
            scope.spawn(move || {
                for at in (thread..bytes.len()).step_by(threads) {
                    check_flip(bytes, parts, at, 1 << (at % 8));
                    if at % 8 == 0 || bytes.len() - at < 3000 {
                        check_flip(bytes, parts, at, 0xff);
                    }
                }
            });
        }
    });
}

#[test]
fn an_archive_that_is_cut_short_anywhere_is_refused() {
    let (bytes, _) = small();
    for len in 0..bytes.len() {
        let error = open(&bytes[..len]).expect_err("a truncated archive");
        let expected = match len {
            // Neither kind can be told from the other by so little.
            0..4 => ErrorKind::NotAnArchive,
            _ => ErrorKind::Incomplete,
        };
        assert_eq!(error.kind(), expected, "cut at {len}: {error}");
    }
}

#[test]
fn bytes_before_or_after_an_archive_are_refused() {
    let (bytes, _) = small();
    for more in [1, 22, 100, 70_000] {
        assert!(open(&[bytes.clone(), vec![0; more]].concat()).is_err(), "{more} bytes after it");
        assert!(open(&[vec![0; more], bytes.clone()].concat()).is_err(), "{more} bytes before it");
    }
}

#[test]
fn an_aborted_archive_is_not_one() {
    let (maker, written) = Maker::memory();
    maker.add("files", "a", Compression::Store, &noise(1, 400 * BLOCK));
    maker.writer.abort();
    assert_eq!(open(&written.bytes()).unwrap_err().kind(), ErrorKind::Incomplete);
}

#[test]
fn other_files_are_not_archives() {
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("text", text(1, 5000)),
        ("noise", noise(1, 100_000)),
        ("an empty zip", [b"PK\x05\x06".as_slice(), &[0; 18]].concat()),
    ] {
        let error = open(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAnArchive, "{what}: {error}");
    }
}
