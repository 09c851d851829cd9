//! A MariaDB database keeps the promises of the contract.

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
use dumprestore_mysql::MysqlConfig;
use dumprestore_testkit::{Fixture, ReferentSample, ReferrerSample, Seed, async_trait};
use serde_json::{Value, json};

mod restore_support;
use restore_support::{Database, quoted};

const USER: &str = "conforming";
const PASSWORD: &str = "n0t-to-be-seen-7ab1";

struct Shop(Database);

#[async_trait]
impl Fixture for Shop {
    type Config = MysqlConfig;

    async fn new(_: &Path) -> Self {
        let database = Database::new();
        let user = quoted(USER);
        database.server.batch(
            "",
            &format!(
                "CREATE USER IF NOT EXISTS {user}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
                 GRANT ALL ON *.* TO {user}@'127.0.0.1' WITH GRANT OPTION;"
            ),
        );
        Self(database)
    }

    fn options(&self) -> Value {
        json!({ "url": self.0.url(USER, PASSWORD), "lock_timeout": 20 })
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
                keys: json!("SELECT image FROM product"),
                finds: (1..=100).map(images).collect(),
            },
            ReferrerSample {
                keys: json!("SELECT image, sha256 FROM product WHERE owner <= 10"),
                finds: (1..=10).map(with_digest).collect(),
            },
        ]
    }

    fn referent(&self) -> Vec<ReferentSample> {
        vec![
            ReferentSample::of("product.sku", &["sku-1", "sku-5"], &["sku-0", "", "SKU-1"]),
            ReferentSample::of("customer.id", &["1", "100", "5"], &["0", "101", "-1", "1abc"]),
        ]
    }

    fn partial(&self) -> Vec<Selection> {
        vec![
            Selection::of(["log", "s*"]),
            Selection::of(["draft"]).with_content(Content::SchemaOnly),
            Selection::of(["product", "customer"]).with_content(Content::DataOnly),
            Selection::default().with_content(Content::DataOnly),
        ]
    }

    async fn split(&self, selection: &Selection) -> (String, String) {
        let is_meant = |name: &str| {
            selection.things.is_empty()
                || selection.things.iter().any(|thing| match thing.strip_suffix('*') {
                    Some(beginning) => name.starts_with(beginning),
                    None => name == thing,
                })
        };
        let is_ours = |name: &str| name != "of_its_own";
        let these = self.0.tables(|name| is_meant(name) && is_ours(name));
        let others = self.0.tables(|name| !is_meant(name));
        let rest = || match others.is_empty() {
            true => String::new(),
            false => self.0.told(&["--routines", "--events", "--triggers"], &others),
        };
        match selection.content {
            Content::All => (self.0.told(&["--triggers"], &these), rest()),
            Content::SchemaOnly => (self.0.told(&["--no-data", "--triggers"], &these), rest()),
            Content::DataOnly => {
                let rows = self.0.told(&["--no-create-info", "--skip-triggers"], &these);
                let definitions = self.0.told(&["--no-data", "--routines", "--events", "--triggers"], &[]);
                (rows, rest() + &definitions)
            }
        }
    }
}

dumprestore_testkit::conformance!(Shop);
