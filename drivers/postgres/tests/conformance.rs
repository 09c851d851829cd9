//! A PostgreSQL database keeps the promises of the contract.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::collections::BTreeSet;
use std::path::Path;

use dumprestore_driver::{Content, Reference, Selection};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{Fixture, ReferentSample, ReferrerSample, Seed, async_trait};
use serde_json::{Value, json};

mod restore_support;
use restore_support::Database;

/// The server lets everybody in, with any password.
const PASSWORD: &str = "n0t-to-be-seen-7ab1";

struct Shop(Database);

#[async_trait]
impl Fixture for Shop {
    type Config = PostgresConfig;

    async fn new(_: &Path) -> Self {
        Self(Database::new())
    }

    fn options(&self) -> Value {
        json!({ "url": self.0.url(PASSWORD), "lock_timeout": 20 })
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn seed(&self, seed: Seed) {
        self.0.seed(seed);
    }

    async fn mutate(&self) {
        self.0.mutate();
    }

    async fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    async fn remove(&self) -> bool {
        self.0.drop();
        true
    }

    async fn beside(&self, _: &Path) -> BTreeSet<String> {
        self.0.beside().into_iter().collect()
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }

    fn referrer(&self) -> Vec<ReferrerSample> {
        let images = |id: u32| Reference::to(format!("img/{id}.png"));
        let with_digest = |id: u32| Reference { digest: format!("{id:064x}").try_into().ok(), ..images(id) };
        vec![
            ReferrerSample {
                keys: json!("SELECT image FROM shop.product"),
                finds: (1..=100).map(images).collect(),
            },
            ReferrerSample {
                keys: json!("SELECT image, sha256 FROM shop.product WHERE owner <= 10"),
                finds: (1..=10).map(with_digest).collect(),
            },
        ]
    }

    fn referent(&self) -> Vec<ReferentSample> {
        vec![
            ReferentSample::of("shop.product.sku", &["sku-1", "sku-5"], &["sku-0", "", "SKU-1"]),
            ReferentSample::of("shop.customer.id", &["1", "100"], &["0", "101", "-1"]),
        ]
    }

    fn partial(&self) -> Vec<Selection> {
        vec![
            Selection::of(["shop.log", "shop.s*"]),
            Selection::of(["draft"]).with_content(Content::SchemaOnly),
            Selection::of(["shop.product", "shop.customer"]).with_content(Content::DataOnly),
            Selection::default().with_content(Content::DataOnly),
        ]
    }

    async fn split(&self, selection: &Selection) -> (String, String) {
        let patterns = |option: &str| -> Vec<String> {
            let tables = selection.things.iter().map(|thing| match thing.contains('.') {
                // With the partitions.
                true => format!("{option}={thing}*"),
                false => format!("{option}=*.{thing}*"),
            });
            tables.collect()
        };
        let told = |options: &[&str], patterns: &[String]| {
            let options = options.iter().copied().chain(patterns.iter().map(String::as_str));
            self.0.told(&options.collect::<Vec<_>>())
        };
        let (these, others) = (patterns("--table"), patterns("--exclude-table"));
        let rest = || if selection.things.is_empty() { String::new() } else { told(&["--create"], &others) };
        match selection.content {
            Content::All => (told(&[], &these), rest()),
            Content::SchemaOnly => (told(&["--schema-only"], &these), rest()),
            Content::DataOnly => {
                (told(&["--data-only"], &these), rest() + &told(&["--create", "--schema-only"], &[]))
            }
        }
    }
}

dumprestore_testkit::conformance!(Shop);
