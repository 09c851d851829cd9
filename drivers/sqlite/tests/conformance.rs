//! A SQLite database keeps the promises of the contract, whichever way it keeps its transactions.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::path::{Path, PathBuf};

use dumprestore_driver::Reference;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Fixture, ReferentSample, ReferrerSample, Seed, async_trait};
use serde_json::{Value, json};

mod support;
use support::Journal;

fn options(path: &Path) -> Value {
    json!({ "path": path.file_name().unwrap().to_str().unwrap(), "busy_timeout": 10 })
}

fn referrers() -> Vec<ReferrerSample> {
    let images = |id: u32| Reference::to(format!("img/{id}.png"));
    let with_digest = |id: u32| Reference { digest: format!("{id:064x}").try_into().ok(), ..images(id) };
    vec![
        ReferrerSample { keys: json!("SELECT image FROM product"), finds: (1..=100).map(images).collect() },
        ReferrerSample {
            keys: json!("SELECT image, sha256 FROM product WHERE owner <= 10;"),
            finds: (1..=10).map(with_digest).collect(),
        },
        ReferrerSample {
            keys: json!("SELECT owner FROM product WHERE owner = 7"),
            finds: vec![Reference::to("7")],
        },
    ]
}

fn referents() -> Vec<ReferentSample> {
    vec![
        ReferentSample::of(
            "customer.id",
            &["1", "2", "100"],
            &["0", "101", "-1", "", "one", "18446744073709551616"],
        ),
        ReferentSample::of("customer.name", &["customer 1", "customer 3"], &["customer", "CUSTOMER 1"]),
        ReferentSample::of("product.sku", &["sku-1"], &["sku-0"]),
    ]
}

macro_rules! fixture {
    ($module:ident, $name:ident, $journal:expr) => {
        mod $module {
            use super::*;

            struct $name {
                path: PathBuf,
            }

            #[async_trait]
            impl Fixture for $name {
                type Config = SqliteConfig;

                async fn new(folder: &Path) -> Self {
                    Self { path: folder.join("shop.db") }
                }

                fn options(&self) -> Value {
                    options(&self.path)
                }

                async fn seed(&self, seed: Seed) {
                    support::seed(&self.path, $journal, seed);
                }

                async fn mutate(&self) {
                    support::mutate(&self.path);
                }

                async fn fingerprint(&self) -> String {
                    support::fingerprint(&self.path)
                }

                async fn remove(&self) -> bool {
                    support::remove(&self.path);
                    true
                }

                fn referrer(&self) -> Vec<ReferrerSample> {
                    referrers()
                }

                fn referent(&self) -> Vec<ReferentSample> {
                    referents()
                }
            }

            dumprestore_testkit::conformance!($name);
        }
    };
}

fixture!(with_a_write_ahead_log, Logged, Journal::Wal);
fixture!(with_a_rollback_journal, Journalled, Journal::Delete);
