//! Databases of a server that has no empty one keep the promises of the contract as well.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::collections::BTreeSet;
use std::path::Path;

use dumprestore_driver::{Reference, Selection};
use dumprestore_redis::RedisConfig;
use dumprestore_testkit::{
    Fixture, RedisOptions, RedisVersion, ReferentSample, ReferrerSample, Seed, async_trait,
};
use serde_json::{Value, json};

mod restore_support;
use restore_support::{LIVE, Source};

struct Shop(Source);

#[async_trait]
impl Fixture for Shop {
    type Config = RedisConfig;

    async fn new(_: &Path) -> Self {
        let source = Source::with(&RedisOptions::new(RedisVersion::Redis7_0).setting("databases", "4"));
        source.run(1, &["SET", "somebody else's", "1"]);
        source.run(2, &["SET", "somebody else's", "2"]);
        Self(source)
    }

    fn options(&self) -> Value {
        json!({ "url": self.0.server.url(0), "databases": LIVE })
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

    async fn beside(&self, _: &Path) -> BTreeSet<String> {
        let others = self.0.content(1) + &self.0.content(2);
        self.0.beside().into_iter().chain([others]).collect()
    }

    fn keeps_previous(&self) -> bool {
        false
    }

    fn referrer(&self) -> Vec<ReferrerSample> {
        vec![
            ReferrerSample {
                keys: json!({ "pattern": "product:*", "field": "image" }),
                finds: (1..=100).map(|id| Reference::to(format!("img/{id}.png"))).collect(),
            },
            ReferrerSample {
                keys: json!({ "pattern": "cart:*", "name": true, "database": 3 }),
                finds: vec![Reference::to("5"), Reference::to("6")],
            },
        ]
    }

    fn referent(&self) -> Vec<ReferentSample> {
        vec![ReferentSample::of("customer:*", &["1", "2"], &["0", "3", "01"])]
    }

    fn partial(&self) -> Vec<Selection> {
        vec![Selection::of(["3"])]
    }

    async fn split(&self, selection: &Selection) -> (String, String) {
        let is_meant = |index: &u64| selection.things.contains(&index.to_string());
        let content =
            |indexes: Vec<u64>| indexes.into_iter().map(|index| self.0.content(index)).collect::<String>();
        let (these, others): (Vec<u64>, Vec<u64>) = LIVE.iter().partition(|index| is_meant(index));
        (content(these), content(others) + &self.0.functions())
    }
}

dumprestore_testkit::conformance!(Shop);
