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
use dumprestore_testkit::{Fixture, RedisCluster, ReferentSample, ReferrerSample, Seed, async_trait};
use serde_json::{Value, json};

mod restore_support;
use restore_support::cmd;

#[path = "restore/archive.rs"]
#[allow(dead_code, unreachable_pub, reason = "each program uses its share")]
mod archive;
#[path = "cluster/shop.rs"]
#[allow(dead_code, unreachable_pub, reason = "each program uses its share")]
mod shop;

struct Shop(RedisCluster);

fn words(cluster: &RedisCluster, words: &[&str]) {
    shop::run(cluster, words[1].as_bytes(), &cmd(words));
}

#[async_trait]
impl Fixture for Shop {
    type Config = RedisConfig;

    async fn new(_: &Path) -> Self {
        Self(shop::start())
    }

    fn options(&self) -> Value {
        json!({ "url": self.0.url() })
    }

    async fn seed(&self, seed: Seed) {
        for node in self.0.nodes() {
            node.run(0, &cmd(&["FLUSHDB"]));
            node.run(0, &cmd(&["FUNCTION", "FLUSH"]));
        }
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => {
                for at in 1..=30 {
                    words(&self.0, &["HSET", &format!("product:{at}"), "image", &format!("img/{at}.png")]);
                    words(&self.0, &["SET", &format!("{{cart:{at}}}:size"), "1", "PXAT", "4102444800123"]);
                }
                words(&self.0, &["HSET", "customer:1", "name", "Ann"]);
                words(&self.0, &["HSET", "customer:2", "name", "Bob"]);
                words(&self.0, &["RPUSH", "queue", "a", "b"]);
                shop::functions(&self.0, "ordinary");
            }
            Seed::Hostile => shop::fill(&self.0),
            Seed::Large => {
                for at in 0..1500 {
                    words(&self.0, &["SET", &format!("key:{at:05}"), &noise(at)]);
                }
            }
        }
    }

    async fn mutate(&self) {
        words(&self.0, &["INCR", "mutations"]);
        words(&self.0, &["HSET", "product:2", "image", "other.png"]);
        words(&self.0, &["DEL", "product:1"]);
        words(&self.0, &["RPUSH", "queue", "more"]);
        words(&self.0, &["PERSIST", "{cart:7}:size"]);
        words(&self.0, &["SET", "new:1", "x"]);
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
