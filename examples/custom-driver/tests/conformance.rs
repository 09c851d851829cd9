//! The flags driver keeps the promises of the contract.

#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

use std::path::{Path, PathBuf};

use dumprestore_flags::FlagsConfig;
use dumprestore_testkit::{Fixture, Seed, async_trait, entries};
use serde_json::{Value, json};

struct Flags {
    folder: PathBuf,
}

impl Flags {
    fn file(&self) -> PathBuf {
        self.folder.join("flags.jsonl")
    }

    /// As the application does it: by a rename.
    fn write(&self, lines: &str) {
        let new = self.folder.join("flags.jsonl.app");
        std::fs::write(&new, lines).unwrap();
        std::fs::rename(&new, self.file()).unwrap();
    }
}

#[async_trait]
impl Fixture for Flags {
    type Config = FlagsConfig;

    async fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn options(&self) -> Value {
        json!({ "path": "flags.jsonl" })
    }

    async fn seed(&self, seed: Seed) {
        let flag = |id| format!("{{\"flag\":\"feature-{id}\",\"on\":{}}}\n", id % 3 == 0);
        self.write(&match seed {
            Seed::Empty => String::new(),
            Seed::Ordinary => (0..200).map(flag).collect(),
            Seed::Hostile => {
                "{}\r\n { \"\u{202e}\\u0000\\ud83d\\ude00\": [null, 1e999] }\n{\"\":\"\\ud800\"}\n{\"no\":\"end\"}".to_owned()
            }
            Seed::Large => (0..60_000).map(flag).collect(),
        });
        // What a restore that was killed left, as it can't be undone.
        for left in entries(&self.folder).iter().filter(|name| name.starts_with(".flags-")) {
            std::fs::remove_file(self.folder.join(left)).unwrap();
        }
    }

    async fn mutate(&self) {
        let lines = self.fingerprint().await;
        let kept = lines.split_inclusive('\n').skip(1).collect::<String>();
        self.write(&format!("{kept}{{\"flag\":\"later\",\"on\":true,\"left\":{}}}\n", kept.len()));
    }

    async fn fingerprint(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    async fn remove(&self) -> bool {
        std::fs::remove_file(self.file()).unwrap();
        true
    }
}

dumprestore_testkit::conformance!(Flags);
