//! Databases of a Redis server keep the promises of the contract.

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

const USER: &str = "conforming";
const PASSWORD: &str = "n0t-to-be-seen-7ab1";

struct Shop(Source);

#[async_trait]
impl Fixture for Shop {
    type Config = RedisConfig;

    async fn new(_: &Path) -> Self {
        let rights = format!("on >{PASSWORD} ~* &* +@all");
        Self(Source::with(&RedisOptions::new(RedisVersion::Redis7_0).user(USER, &rights)))
    }

    fn options(&self) -> Value {
        let url = format!("redis://{USER}:{PASSWORD}@127.0.0.1:{}", self.0.server.port());
        json!({ "url": url, "databases": LIVE })
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
        self.0.beside()
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }

    fn referrer(&self) -> Vec<ReferrerSample> {
        let images = |id: u32| Reference::to(format!("img/{id}.png"));
        let with_digest = |id: u32| match id {
            1..=10 => Reference { digest: format!("{id:064x}").try_into().ok(), ..images(id) },
            _ => images(id),
        };
        vec![
            ReferrerSample {
                keys: json!({ "pattern": "product:*", "field": "image" }),
                finds: (1..=100).map(images).collect(),
            },
            ReferrerSample {
                keys: json!({ "pattern": "product:*", "field": "image", "digest": "sha256" }),
                finds: (1..=100).map(with_digest).collect(),
            },
            ReferrerSample {
                keys: json!({ "pattern": "sess:*", "value": true }),
                finds: (1..=100).map(|id| Reference::to((id * 7).to_string())).collect(),
            },
            ReferrerSample {
                keys: json!({ "pattern": "cart:*", "name": true, "database": 3 }),
                finds: vec![Reference::to("5"), Reference::to("6")],
            },
            ReferrerSample {
                keys: json!({ "pattern": "tags", "members": true }),
                finds: ["red", "green", "blue"].map(Reference::to).to_vec(),
            },
        ]
    }

    fn referent(&self) -> Vec<ReferentSample> {
        vec![
            ReferentSample::of("customer:*", &["1", "2"], &["0", "3", "01"]),
            ReferentSample::of("3/cart:*", &["5", "6"], &["7", ""]),
        ]
    }

    fn partial(&self) -> Vec<Selection> {
        // `mutate` adds no key to it: of a database that is selected, extras may stay.
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
