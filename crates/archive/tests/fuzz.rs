//! The bodies of the fuzz targets, on seeds, on mutations of them, and on anything at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
mod handmade;
mod sample;

use proptest::prelude::*;
use proptest::sample::Index;
use sample::*;
use std::path::Path;

/// What is done to a seed: a byte changed, a stretch removed, doubled, or put elsewhere.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Remove(Index, usize),
    Double(Index, usize),
    Copy(Index, Index, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let index = any::<Index>;
    let change = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (index(), 1..40usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (index(), 1..40usize).prop_map(|(at, len)| Change::Double(at, len)),
        (index(), index(), 1..40usize).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
    ];
    proptest::collection::vec(change, 1..6)
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let size = bytes.len();
        if size == 0 {
            break;
        }
        let stretch = |at: &Index, len: usize| at.index(size)..(at.index(size) + len).min(size);
        match change {
            Change::Set(at, byte) => bytes[at.index(size)] = *byte,
            Change::Remove(at, len) => drop(bytes.drain(stretch(at, *len))),
            Change::Double(at, len) => {
                let copy = bytes[stretch(at, *len)].to_vec();
                bytes.splice(at.index(size)..at.index(size), copy);
            }
            Change::Copy(from, to, len) => {
                let copy = bytes[stretch(from, *len)].to_vec();
                bytes.splice(stretch(to, *len), copy);
            }
        }
    }
    bytes
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/open");
    let files = std::fs::read_dir(folder).unwrap();
    let seeds: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty());
    seeds
}

fn manifest_of(bytes: &[u8]) -> Vec<u8> {
    let mut manifest = serde_json::to_vec(&open(bytes).unwrap().document()).unwrap();
    manifest.push(b'\n');
    manifest
}

#[test]
fn archives_of_earlier_versions_are_read() {
    for seed in corpus() {
        let archive = open(&seed).unwrap();
        verify(&archive).unwrap();
        bodies::open(&seed);
        bodies::manifest(&manifest_of(&seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_changed_archive_never_verifies(seed in any::<Index>(), changes in changes()) {
        let corpus = corpus();
        let seed = seed.get(&corpus);
        let bytes = changed(seed.clone(), &changes);
        bodies::open(&bytes);
        let verified = open(&bytes).and_then(|archive| verify(&archive));
        prop_assert!(bytes == *seed || verified.is_err());
    }

    #[test]
    fn a_changed_manifest_does_no_harm(seed in any::<Index>(), changes in changes()) {
        let corpus = corpus();
        bodies::manifest(&changed(manifest_of(&corpus[seed.index(corpus.len())]), &changes));
    }

    #[test]
    fn any_entries_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        bodies::entries(&data);
    }

    #[test]
    fn any_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        bodies::open(&data);
        bodies::manifest(&data);
    }

    #[test]
    fn any_names_do_no_harm(node in "[a-c.:/\\\\]{0,5}", part in "[a-c.:/\\\\\u{0}-\u{20}é]{0,8}", any in ".*") {
        bodies::names(format!("{node}\0{part}").as_bytes());
        bodies::names(any.as_bytes());
    }
}
