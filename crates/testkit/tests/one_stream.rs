//! A driver made of one stream out and one stream in keeps the promises of the contract.

#![allow(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    BuildContext, Driver, DriverConfig, Error, OneStream, OneStreamDriver, PartReader, PartWriter, Result,
    async_trait,
};
use dumprestore_testkit::{Fixture, Seed};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// The options of a `motd` node.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MotdConfig {
    /// The file with the message of the day.
    path: PathBuf,
}

impl DriverConfig for MotdConfig {
    const KIND: &'static str = "motd";
    const ABOUT: &'static str = "the message of the day";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        OneStreamDriver::boxed(Motd(cx.path(&self.path)))
    }
}

struct Motd(PathBuf);

#[async_trait]
impl OneStream for Motd {
    const KIND: &'static str = "motd";

    fn target(&self) -> String {
        self.0.display().to_string()
    }

    async fn dump(&self, out: &mut PartWriter<'_>) -> Result<()> {
        let file = std::fs::File::open(&self.0);
        let copied = file.and_then(|mut file| std::io::copy(&mut file, out));
        copied.map(drop).map_err(|error| Error::io("can't dump the message", error))
    }

    async fn restore(&self, from: &mut PartReader<'_>) -> Result<()> {
        let new = self.0.with_extension("new");
        let file = std::fs::File::create(&new);
        let copied = file.and_then(|mut file| {
            std::io::copy(from, &mut file)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.0)
        });
        copied.map_err(|error| Error::io("can't restore the message", error))
    }
}

#[async_trait]
impl Fixture for Motd {
    type Config = MotdConfig;

    async fn new(folder: &Path) -> Self {
        Self(folder.join("motd"))
    }

    fn options(&self) -> Value {
        json!({ "path": "motd" })
    }

    async fn seed(&self, seed: Seed) {
        let text = match seed {
            Seed::Empty => String::new(),
            Seed::Ordinary => "Back at noon.\n".repeat(500),
            Seed::Hostile => "\u{0}\u{feff}\u{202e}\r\n".to_owned(),
            Seed::Large => "x".repeat(2 << 20),
        };
        std::fs::write(&self.0, text).unwrap();
        // Where a restore that can't be undone was killed.
        let _ = std::fs::remove_file(self.0.with_extension("new"));
    }

    async fn mutate(&self) {
        let text = std::fs::read_to_string(&self.0).unwrap();
        std::fs::write(&self.0, text + "PS").unwrap();
    }

    async fn fingerprint(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }

    async fn remove(&self) -> bool {
        std::fs::remove_file(&self.0).unwrap();
        true
    }
}

dumprestore_testkit::conformance!(Motd);
