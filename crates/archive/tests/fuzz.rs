//! The bodies of the fuzz targets, on seeds, on mutations of them, and on anything at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
mod handmade;
mod sample;

use dumprestore_testkit::{changed, changes};
use proptest::prelude::*;
use proptest::sample::Index;
use sample::*;
use std::path::Path;

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
