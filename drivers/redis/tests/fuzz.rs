//! The bodies of the fuzz targets, on files of servers, on mutations of them, and on anything at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

use dumprestore_testkit::{changed, changes};
use proptest::prelude::*;
use proptest::sample::Index;

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
