//! The body of the fuzz target, on the corpus, on mutations of it, and on anything at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod fixture;

#[path = "../fuzz/bodies.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz target")]
mod bodies;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let corpus: Vec<_> = files.collect();
    assert!(corpus.len() >= 8, "the corpus is gone");
    corpus
}

/// What YAML, interpolation and the configuration give a meaning to.
const TOKENS: &[&str] = &[
    "\n",
    "  ",
    "\t",
    "- ",
    ": ",
    ":",
    "#",
    "|",
    ">",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "<<: ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "\\",
    "~",
    "null",
    "true",
    "yes",
    "0123",
    "0x1F",
    "1e9",
    "-1",
    ".inf",
    "@",
    "`",
    "${V}",
    "${V:-x}",
    "${UNSET}",
    "$${V}",
    "${",
    "}",
    "$",
    "${N}",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{1b}",
    "é",
    "日本",
    "name",
    "driver",
    "table",
    "folder",
    "stream",
    "path",
    "url",
    "rows",
    "passphrase",
    "copy",
    "children",
    "after",
    "references",
    "to",
    "keys",
    "in",
    "SELECT a",
    "hooks",
    "always",
    "run",
    "env",
    "timeout",
    "enabled",
    "parallel",
    "compression",
    "set",
    "version: 1",
    "archive",
    "coherence",
    "max_cuts",
    "db",
    "uploads",
    "files.uploads",
    "a://b:c@d",
    "password=x",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(Index, Index),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Put(Index, u8),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => any::<(Index, Index)>().prop_map(|(at, token)| Change::Insert(at, token)),
        2 => (any::<Index>(), 1_usize..30).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (any::<Index>(), 1_usize..40, 1_usize..6).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        1 => any::<(Index, u8)>().prop_map(|(at, byte)| Change::Put(at, byte)),
    ];
    prop::collection::vec(change, 1..6)
}

fn changed(mut data: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let at = |index: &Index| index.index(data.len() + 1);
        match change {
            Change::Insert(index, token) => {
                let at = at(index);
                data.splice(at..at, TOKENS[token.index(TOKENS.len())].bytes());
            }
            Change::Remove(index, length) => {
                let at = at(index);
                data.drain(at..(at + length).min(data.len()));
            }
            Change::Repeat(index, length, times) => {
                let at = at(index);
                let end = (at + length).min(data.len());
                let piece = data[at..end].repeat(*times);
                data.splice(end..end, piece);
            }
            Change::Put(index, byte) if !data.is_empty() => {
                let at = index.index(data.len());
                data[at] = *byte;
            }
            Change::Put(..) => {}
        }
    }
    data
}

#[test]
fn the_corpus_is_read_or_refused() {
    corpus().iter().for_each(|data| bodies::config(data));
}

#[test]
fn a_prefix_of_a_configuration_is_read_or_refused() {
    for data in corpus() {
        (0..data.len()).for_each(|length| bodies::config(&data[..length]));
    }
}

fn cases() -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_configuration_is_read_or_refused(seed in any::<Index>(), changes in changes()) {
        let corpus = corpus();
        bodies::config(&changed(corpus[seed.index(corpus.len())].clone(), &changes));
    }

    #[test]
    fn tokens_in_any_order_are_read_or_refused(tokens in prop::collection::vec(any::<Index>(), 0..60)) {
        let text: String = tokens.iter().map(|token| TOKENS[token.index(TOKENS.len())]).collect();
        bodies::config(text.as_bytes());
    }

    #[test]
    fn anything_is_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::config(&data);
    }
}
