//! The bodies of the fuzz targets, on files of servers, on mutations of them, and on anything at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

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
        (index(), 1..40usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (index(), 1..40usize).prop_map(|(at, length)| Change::Double(at, length)),
        (index(), index(), 1..40usize).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
    ];
    proptest::collection::vec(change, 1..6)
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let size = bytes.len();
        if size == 0 {
            break;
        }
        let stretch = |at: &Index, length: usize| at.index(size)..(at.index(size) + length).min(size);
        match change {
            Change::Set(at, byte) => bytes[at.index(size)] = *byte,
            Change::Remove(at, length) => drop(bytes.drain(stretch(at, *length))),
            Change::Double(at, length) => {
                let copy = bytes[stretch(at, *length)].to_vec();
                bytes.splice(at.index(size)..at.index(size), copy);
            }
            Change::Copy(from, to, length) => {
                let copy = bytes[stretch(from, *length)].to_vec();
                bytes.splice(stretch(to, *length), copy);
            }
        }
    }
    bytes
}

/// The files of servers, and small ones with a value of each kind.
fn corpus() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for folder in ["tests/rdb", "fuzz/corpus/rdb"] {
        for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rdb") {
                seeds.push(std::fs::read(path).unwrap());
            }
        }
    }
    assert!(seeds.len() > 20);
    seeds
}

/// Without its checksum: it would refuse every change.
fn unchecked(mut file: Vec<u8>) -> Vec<u8> {
    let content = file.len().saturating_sub(8);
    file[content..].fill(0);
    file
}

#[test]
fn seeds_are_read() {
    for seed in corpus() {
        dumprestore_redis::look_into_rdb(&seed[..]).unwrap();
        bodies::rdb(&seed);
        bodies::rdb(&unchecked(seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_changed_file_does_no_harm(seed in any::<Index>(), changes in changes()) {
        let corpus = corpus();
        bodies::rdb(&changed(unchecked(seed.get(&corpus).clone()), &changes));
    }

    #[test]
    fn anything_at_all_does_no_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        bodies::rdb(&data);
        bodies::payload(&data);
    }
}
