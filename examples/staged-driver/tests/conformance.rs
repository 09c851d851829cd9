//! The ledger driver keeps the promises of the contract.

#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use dumprestore_ledger::LedgerConfig;
use dumprestore_testkit::{Fixture, Seed, async_trait};
use serde_json::{Value, json};

struct Ledger {
    file: PathBuf,
}

#[async_trait]
impl Fixture for Ledger {
    type Config = LedgerConfig;

    async fn new(folder: &Path) -> Self {
        Self { file: folder.join("ledger.jsonl") }
    }

    fn options(&self) -> Value {
        json!({ "path": "ledger.jsonl" })
    }

    async fn seed(&self, seed: Seed) {
        let mut lines = String::new();
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => {
                (0..200).for_each(|id| writeln!(lines, r#"{{"id":{id},"amount":{}}}"#, id * 7).unwrap())
            }
            Seed::Hostile => lines.push_str("\"\u{202e}\\u0000 \u{1f600}\"\n\n17\n{not json\nnull\n"),
            Seed::Large => {
                (0..60_000).for_each(|id| writeln!(lines, r#"{{"id":{id},"what":"deposit"}}"#).unwrap())
            }
        }
        std::fs::write(&self.file, lines).unwrap();
    }

    async fn mutate(&self) {
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.file).unwrap();
        file.write_all(b"{\"id\":\"later\"}\n").unwrap();
    }

    async fn fingerprint(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    async fn remove(&self) -> bool {
        std::fs::remove_file(&self.file).unwrap();
        true
    }
}

dumprestore_testkit::conformance!(Ledger);
