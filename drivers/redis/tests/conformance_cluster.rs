//! Clusters keep the promises of the contract as well.

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
use dumprestore_testkit::{Fixture, ReferentSample, ReferrerSample, Seed, async_trait};
use serde_json::{Value, json};

mod restore_support;

#[path = "restore/archive.rs"]
#[allow(dead_code, unreachable_pub, reason = "each program uses its share")]
mod archive;
#[path = "cluster/shop.rs"]
#[allow(dead_code, unreachable_pub, reason = "each program uses its share")]
mod shop;
use shop::{Leased, words};

struct Shop(Leased);

#[async_trait]
impl Fixture for Shop {
    type Config = RedisConfig;

    async fn new(_: &Path) -> Self {
        Self(shop::lease())
    }

    fn options(&self) -> Value {
        json!({ "url": self.0.url() })
    }

    fn is_slow(&self) -> bool {
        true
    }

    async fn seed(&self, seed: Seed) {
        shop::empty(&self.0);
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => {
                let mut all = Vec::new();
                for at in 1..=30 {
                    all.push(words(&["HSET", &format!("product:{at}"), "image", &format!("img/{at}.png")]));
                    all.push(words(&["SET", &format!("{{cart:{at}}}:size"), "1", "PXAT", "4102444800123"]));
                }
                all.push(words(&["HSET", "customer:1", "name", "Ann"]));
                all.push(words(&["HSET", "customer:2", "name", "Bob"]));
                all.push(words(&["RPUSH", "queue", "a", "b"]));
                shop::run_all(&self.0, all);
                shop::functions(&self.0, "ordinary");
            }
            Seed::Hostile => shop::fill(&self.0),
            Seed::Large => {
                let set = |at| words(&["SET", &format!("key:{at:05}"), &noise(at)]);
                shop::run_all(&self.0, (0..1500).map(set));
            }
        }
    }

    async fn mutate(&self) {
        let all = [
            ["INCR", "mutations"].as_slice(),
            &["HSET", "product:2", "image", "other.png"],
            &["DEL", "product:1"],
            &["RPUSH", "queue", "more"],
            &["PERSIST", "{cart:7}:size"],
            &["SET", "new:1", "x"],
        ];
        shop::run_all(&self.0, all.map(words));
    }

    async fn fingerprint(&self) -> String {
        let mut content = shop::content(self.0.nodes());
        content.retain(|key, _| !key.starts_with(b"dumprestore:"));
        content
            .iter()
            .map(|(key, (expires, value))| {
                format!("{} {expires} {}\n", key.escape_ascii(), value.escape_ascii())
            })
            .collect()
    }

    async fn beside(&self, _: &Path) -> BTreeSet<String> {
        let ours = shop::content(self.0.nodes()).into_keys().filter(|key| key.starts_with(b"dumprestore:"));
        ours.map(|key| key.escape_ascii().to_string()).collect()
    }

    fn keeps_previous(&self) -> bool {
        false
    }

    fn referrer(&self) -> Vec<ReferrerSample> {
        vec![ReferrerSample {
            keys: json!({ "pattern": "product:*", "field": "image" }),
            finds: (1..=30).map(|at| Reference::to(format!("img/{at}.png"))).collect(),
        }]
    }

    fn referent(&self) -> Vec<ReferentSample> {
        vec![ReferentSample::of("customer:*", &["1", "2"], &["0", "3", "01"])]
    }

    fn partial(&self) -> Vec<Selection> {
        vec![Selection::of(["0"])]
    }

    async fn split(&self, _: &Selection) -> (String, String) {
        let all = self.fingerprint().await;
        let (functions, keys): (Vec<&str>, Vec<&str>) =
            all.lines().partition(|line| line.starts_with("functions of all"));
        // Whether keys stay that were made since is said by another promise.
        let was_there = |line: &&str| !line.starts_with("mutations ") && !line.starts_with("new:1 ");
        let keys: Vec<&str> = keys.into_iter().filter(was_there).collect();
        (keys.join("\n"), functions.join("\n"))
    }
}

fn noise(at: u64) -> String {
    let mut state = at | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..1500).map(|_| next()).collect()
}

dumprestore_testkit::conformance!(Shop);
