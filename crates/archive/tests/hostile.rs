//! Archives made by an enemy, each whole by its digests, are refused with the entry named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod handmade;
mod sample;

use dumprestore_archive::*;
use handmade::{Made, Wrong, archive};
use sample::*;
use std::io::Read;
use std::sync::Arc;

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = flate2::write::DeflateEncoder::new(&mut out, flate2::Compression::best());
    let mut encoder = encoder;
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap();
    out
}

fn refused(bytes: &[u8]) -> Error {
    open(bytes).and_then(|archive| verify(&archive)).expect_err("the archive should be refused")
}

#[test]
fn what_is_made_by_hand_from_the_format_is_accepted() {
    let words = text(1, 3000);
    let entries = [
        Made::stored("shop.db", "a/b", b"stored"),
        Made::of("shop.db", "c", 8, &words, deflated(&words)),
        Made::of("shop.files", "d", 93, &words, zstd::bulk::compress(&words, 3).unwrap()),
    ];
    let opened = open(&archive(&entries, &Wrong::default())).unwrap();
    assert_eq!(verify(&opened).unwrap().parts, 3);
    assert_eq!(content(&opened, "shop.files", "d").unwrap(), words);
}

#[test]
fn unsafe_names_are_refused_by_name() {
    let long = "x".repeat(65_500);
    for (node, name, why) in [
        ("shop", "../evil", "component `..`"),
        ("shop", "a/../../evil", "component `..`"),
        ("shop", "/etc/passwd", "absolute"),
        ("shop", "a//b", "empty component"),
        ("shop", "a/", "empty component"),
        ("shop", "", "empty component"),
        ("shop", "./a", "component `.`"),
        ("shop", "a\\b", "backslash"),
        ("shop", "a\0b", "control character"),
        ("shop", "a\nb", "control character"),
        ("shop", "a\u{9b}b", "control character"),
        ("shop", "C:evil", "drive letter"),
        ("C:", "evil", "drive letter"),
        ("", "a", "empty component"),
        ("shop..db", "a", "empty component"),
        ("shop/db", "a", "a `/`"),
        ("/etc", "passwd", "a `/`"),
        (long.as_str(), &long[..100], "65,535"),
    ] {
        let full = format!("{}/{name}", node.replace('.', "/"));
        let error = refused(&archive(&[Made::stored(node, name, b"x")], &Wrong::default()));
        assert_eq!(error.kind(), ErrorKind::UnsafeName, "{full:?}: {error}");
        assert_eq!(error.entry(), Some(&*full), "{error}");
        assert!(error.to_string().contains(why), "{full:?}: {error}");
        assert_eq!(EntryName::new(node, name).unwrap_err().to_string(), error.to_string());
    }
}

#[test]
fn names_that_clash_are_refused_by_name() {
    let cases = [
        (vec![("n", "a"), ("n", "a")], "n/a"),
        (vec![("n.a", "b"), ("n", "a/b")], "n/a/b"),
        (vec![("n", "a"), ("n", "a/b")], "n/a/b"),
        (vec![("n", "a/b/c"), ("n", "a")], "n/a/b/c"),
        (vec![("shop", "a"), ("Shop", "b")], "Shop"),
    ];
    for (names, named) in cases {
        let entries: Vec<Made> = names.iter().map(|(node, name)| Made::stored(node, name, b"x")).collect();
        let error = refused(&archive(&entries, &Wrong::default()));
        assert_eq!((error.kind(), error.entry()), (ErrorKind::UnsafeName, Some(named)), "{names:?}: {error}");
    }
    let case = [Made::stored("n", "a", b"x"), Made::stored("n", "A", b"x")];
    assert!(open(&archive(&case, &Wrong::default())).is_ok(), "part names may differ in case");
}

#[test]
fn a_link_or_another_kind_of_file_is_refused() {
    for mode in [0o120_777_u32, 0o040_755, 0o100_644, 0o104_755, 0] {
        let wrong = Wrong { external_attributes: mode << 16, ..Wrong::default() };
        let error = refused(&archive(&[Made::stored("n", "link", b"/etc/passwd")], &wrong));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{mode:o}: {error}");
        assert!(error.to_string().contains("central directory"), "{error}");
    }
}

#[test]
fn overlapping_entries_are_refused_by_name() {
    let twice = |offset| {
        let mut second = Made::stored("n", "b", &noise(1, 100));
        second.offset = Some(offset);
        [Made::stored("n", "a", &noise(1, 100)), second]
    };
    let error = refused(&archive(&twice(0), &Wrong::default()));
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.entry().is_some_and(|entry| entry.starts_with("n/")), "{error}");
    for offset in [50, 200, 1 << 20, u64::MAX - 100] {
        let error = refused(&archive(&twice(offset), &Wrong::default()));
        assert!(error.entry().is_some_and(|entry| entry.starts_with("n/")), "{offset}: {error}");
    }
    let mut long = Made::stored("n", "a", b"short");
    long.declared = Some(u64::MAX);
    long.size = u64::MAX;
    let error = refused(&archive(&[long], &Wrong::default()));
    assert_eq!(error.entry(), Some("n/a"), "{error}");
}

#[test]
fn a_size_that_lies_is_refused_and_never_exceeded() {
    let words = vec![b'x'; 3 << 20];
    for (method, stored) in [(8, deflated(&words)), (93, zstd::bulk::compress(&words, 1).unwrap())] {
        for lie in [0, 1, 1000, (3 << 20) - 1, (3 << 20) + 1] {
            let mut made = Made::of("n", "bomb", method, &words, stored.clone());
            made.size = lie;
            let bytes = archive(&[made], &Wrong::default());
            let Ok(opened) = open(&bytes) else { continue };
            let mut got = Vec::new();
            let failed =
                opened.part("n", "bomb").and_then(|mut part| Ok(part.read_to_end(&mut got).map(drop)?));
            let error = failed.expect_err("a lie");
            assert_eq!((error.kind(), error.entry()), (ErrorKind::Damaged, Some("n/bomb")), "{lie}: {error}");
            assert!(got.len() as u64 <= lie, "{method}: {} of {lie}", got.len());
        }
    }
}

#[test]
fn a_ratio_beyond_nature_is_refused_without_reading() {
    for (method, ratio) in [(8, 1032), (93, 32_768)] {
        let mut made = Made::of("n", "bomb", method, b"", vec![0; 100]);
        made.size = 100 * ratio + 1;
        let error = refused(&archive(&[made], &Wrong::default()));
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Limit, Some("n/bomb")), "{error}");
    }
    let made = Made { size: 7, ..Made::stored("n", "a", b"six...") };
    let error = refused(&archive(&[made], &Wrong::default()));
    assert_eq!(error.entry(), Some("n/a"), "{error}");
}

#[test]
fn limits_are_the_readers_to_set() {
    let words = vec![b'x'; 10_000];
    let entries =
        [Made::of("n", "a", 8, &words, deflated(&words)), Made::of("n", "b", 8, &words, deflated(&words))];
    let bytes = archive(&entries, &Wrong::default());
    let limited = |limit: fn(&mut Limits)| {
        let mut limits = Limits::default();
        limit(&mut limits);
        Archive::open_within(Arc::new(bytes.clone()), &limits)
            .map(drop)
            .map_err(|e| (e.kind(), e.to_string()))
    };
    assert_eq!(limited(|_| {}), Ok(()));
    let limits: [fn(&mut Limits); 5] = [
        |limits: &mut Limits| limits.parts = 1,
        |limits: &mut Limits| limits.part_bytes = 9_999,
        |limits: &mut Limits| limits.total_bytes = 19_999,
        |limits: &mut Limits| limits.ratio = 100,
        |limits: &mut Limits| limits.manifest_bytes = 100,
    ];
    for limit in limits {
        let (kind, message) = limited(limit).unwrap_err();
        assert_eq!(kind, ErrorKind::Limit, "{message}");
        assert!(message.starts_with("`n/") || message.starts_with("`manifest.json`"), "{message}");
    }
}

#[test]
fn content_behind_the_end_of_the_compressed_stream_is_refused() {
    let (few, many) = (text(1, 3000), text(1, 3 << 20));
    let zstd = |words: &[u8]| zstd::bulk::compress(words, 1).unwrap();
    for (method, words, mut stored) in
        [(93, &few, zstd(&few)), (93, &many, zstd(&many)), (8, &many, deflated(&many))]
    {
        stored.extend(b"smuggled");
        let error = refused(&archive(&[Made::of("n", "a", method, words, stored)], &Wrong::default()));
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Damaged, Some("n/a")), "{error}");
    }
}

#[test]
fn a_directory_that_contradicts_the_manifest_is_refused() {
    let entries = [Made::stored("n", "a", b"1"), Made::stored("n", "b", b"2")];
    let listed: [fn(usize) -> Vec<usize>; 4] = [|_| vec![], |_| vec![0], |_| vec![1, 0], |_| vec![0, 1, 1]];
    for listed in listed {
        let error = refused(&archive(&entries, &Wrong { listed, ..Wrong::default() }));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
    let counts: [fn(u16) -> u16; 4] = [|_| 0, |_| 1, |n| n + 1, |_| 0xffff];
    for entries_counted in counts {
        let error = refused(&archive(&entries, &Wrong { entries_counted, ..Wrong::default() }));
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Incomplete), "{error}");
    }
}

#[test]
fn the_comment_decides_what_the_file_is() {
    let with = |comment| {
        let bytes = archive(&[Made::stored("n", "a", b"1")], &Wrong { comment, ..Wrong::default() });
        refused(&bytes).kind()
    };
    assert_eq!(with(|comment| comment.replace("restore 1", "restore 2")), ErrorKind::Unsupported);
    assert_eq!(with(|comment| comment.replace("restore 1", "restore 12")), ErrorKind::Unsupported);
    assert_eq!(with(|_| "dumprestore 2 something else".into()), ErrorKind::Unsupported);
    assert_eq!(with(|_| String::new()), ErrorKind::NotAnArchive);
    assert_eq!(with(|_| "a comment".into()), ErrorKind::NotAnArchive);
    assert_eq!(with(|comment| comment.to_uppercase()), ErrorKind::NotAnArchive);
    assert_eq!(
        with(|comment| comment.replace(|c: char| c.is_ascii_hexdigit(), "0")),
        ErrorKind::NotAnArchive
    );
    assert_eq!(with(|_| format!("dumprestore 1 {}", "0".repeat(64))), ErrorKind::Damaged);
}

#[test]
fn what_this_version_does_not_know_is_refused_or_overlooked_as_the_format_says() {
    let with =
        |manifest| open(&archive(&[Made::stored("n", "a", b"1")], &Wrong { manifest, ..Wrong::default() }));
    assert!(with(|manifest| manifest["later"] = "member".into()).is_ok());
    assert!(with(|manifest| manifest["format"] = "1.9".into()).is_ok());
    let later = with(|manifest| manifest["format"] = "2.0".into()).unwrap_err();
    assert_eq!((later.kind(), later.hint_text()), (ErrorKind::Unsupported, Some("update dumprestore")));

    let elsewhere = Made {
        more: serde_json::json!({"content": {"in": "version", "id": 7}}),
        ..Made::stored("n", "a", b"1")
    };
    let error = refused(&archive(&[elsewhere], &Wrong::default()));
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Unsupported, Some("n/a")));
    assert!(error.to_string().contains("`version`"), "{error}");
    let here =
        Made { more: serde_json::json!({"content": {"in": "archive"}}), ..Made::stored("n", "a", b"1") };
    assert!(open(&archive(&[here], &Wrong::default())).is_ok());
}

#[test]
fn a_manifest_that_is_none_is_refused() {
    let wrong: [fn(&mut serde_json::Value); 10] = [
        |manifest| *manifest = serde_json::json!([]),
        |manifest| manifest["nodes"] = 7.into(),
        |manifest| manifest["preceding"]["bytes"] = 1.into(),
        |manifest| manifest["preceding"]["bytes"] = u64::MAX.into(),
        |manifest| manifest["entry_time"] = "1979-01-01T00:00:00".into(),
        |manifest| manifest["entry_time"] = "1980-01-01T00:00:01".into(),
        |manifest| manifest["nodes"][0]["parts"][0]["sha256"] = "A".repeat(64).into(),
        |manifest| manifest["nodes"][0]["parts"][0]["crc32"] = "+1234567".into(),
        |manifest| manifest["nodes"][0]["parts"][0]["method"] = "lzma".into(),
        |manifest| manifest["nodes"][0]["parts"][0]["size"] = (-1).into(),
    ];
    for manifest in wrong {
        let error =
            refused(&archive(&[Made::stored("n", "a", b"1")], &Wrong { manifest, ..Wrong::default() }));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}

#[test]
fn a_foreign_zip_is_refused_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as z: z.writestr('manifest.json', '{}')";
    let path = folder.path().join("foreign.zip");
    let made = std::process::Command::new("python3").args(["-c", script]).arg(&path).status();
    assert!(made.expect("python3 is needed: install the package `python3`").success());
    let error = open(&std::fs::read(&path).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAnArchive);
    assert!(error.to_string().contains("zip"), "{error}");
}
