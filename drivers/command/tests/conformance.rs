//! A file that `cat` dumps and a small script restores keeps the promises of the contract.

#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

use std::path::{Path, PathBuf};

use dumprestore_command::CommandConfig;
use dumprestore_testkit::{Fixture, Seed, async_trait};
use serde_json::{Value, json};

const PASSWORD: &str = "$hunter2 'and' \"more\"";

struct File {
    path: PathBuf,
}

#[async_trait]
impl Fixture for File {
    type Config = CommandConfig;

    async fn new(folder: &Path) -> Self {
        Self { path: folder.join("data") }
    }

    fn options(&self) -> Value {
        json!({
            "dump": ["sh", "-c", "echo \"logged in with $PASSWORD\" >&2; cat data"],
            "restore": ["sh", "-c", "echo \"logged in with $PASSWORD\"; cat > new && mv new data"],
            "freeze": ["sh", "-c", "echo \"frozen with $PASSWORD\""],
            "thaw": ["sh", "-c", "true"],
            "env": { "PASSWORD": PASSWORD },
            "allow_empty": true,
        })
    }

    async fn seed(&self, seed: Seed) {
        let content = match seed {
            Seed::Empty => Vec::new(),
            Seed::Ordinary => "line\n".repeat(2_000).into_bytes(),
            Seed::Hostile => (0..=255).rev().collect(),
            Seed::Large => vec![7; 3 << 20],
        };
        std::fs::write(&self.path, content).unwrap();
        // Where a restore that can't be undone was killed.
        let _ = std::fs::remove_file(self.path.with_file_name("new"));
    }

    async fn mutate(&self) {
        let mut content = std::fs::read(&self.path).unwrap();
        content.push(b'!');
        std::fs::write(&self.path, content).unwrap();
    }

    async fn fingerprint(&self) -> String {
        std::fs::read(&self.path).unwrap().escape_ascii().to_string()
    }

    async fn remove(&self) -> bool {
        std::fs::remove_file(&self.path).unwrap();
        true
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }
}

dumprestore_testkit::conformance!(File);
