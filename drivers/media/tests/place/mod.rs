//! Places for objects: buckets of a real server, and what is in them by the server's own word.

#![allow(unreachable_pub, dead_code, reason = "each test program uses some of it")]

pub mod dump;
pub mod turns;

use std::collections::BTreeMap;
use std::fmt::Write;

use dumprestore_driver::{Digest as Sha, Reference};
use dumprestore_testkit::{S3Bucket, S3Kind, S3Server};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The prefix of the node, in a bucket that has other things as well.
pub const PREFIX: &str = "shop/media";

pub struct Place {
    pub server: &'static S3Server,
    pub bucket: S3Bucket,
}

impl Place {
    pub fn new(kind: S3Kind) -> Self {
        let server = S3Server::shared(kind);
        Self { server, bucket: server.create_bucket() }.beside_others()
    }

    pub fn versioned(kind: S3Kind) -> Self {
        let server = S3Server::shared(kind);
        Self { server, bucket: server.create_versioned_bucket() }.beside_others()
    }

    fn beside_others(self) -> Self {
        self.bucket.put("shop/media2/x", "not ours");
        self.bucket.put("shop/other", "not ours");
        self
    }

    /// The options of a node.
    pub fn options(&self) -> Value {
        json!({
            "url": self.bucket.url(PREFIX),
            "endpoint": self.server.endpoint(),
            "region": self.server.region(),
            "access_key_id": self.server.access_key(),
            "secret_access_key": self.server.secret_key(),
        })
    }

    /// The same, with more.
    pub fn options_with(&self, more: Value) -> Value {
        let mut options = self.options();
        let all = options.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        options
    }

    pub fn put(&self, key: &str, content: impl AsRef<[u8]>) -> &Self {
        self.put_with(key, content, &[])
    }

    pub fn put_with(&self, key: &str, content: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> &Self {
        self.bucket.put_with(&whole(key), content, headers);
        self
    }

    pub fn delete(&self, key: &str) -> &Self {
        self.bucket.delete(&whole(key));
        self
    }

    pub fn clear(&self) {
        for key in self.bucket.keys(&format!("{PREFIX}/")) {
            self.bucket.delete(&key);
        }
    }

    /// The keys of the node, below its prefix.
    pub fn keys(&self) -> Vec<String> {
        let below = format!("{PREFIX}/");
        let keys = self.bucket.keys(&below).into_iter();
        keys.filter_map(|key| key.strip_prefix(&below).map(str::to_owned)).collect()
    }

    /// Every object of the node with all that belongs to it, as text.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for key in self.keys().into_iter().filter(|key| !key.starts_with(".dumprestore/")) {
            let answer = self.bucket.request("GET", &whole(&key), &[], &[], b"").succeeded();
            let kept = |name: &str| {
                matches!(name, "content-type" | "cache-control" | "content-encoding" | "content-disposition")
                    || name.starts_with("x-amz-meta-")
            };
            let headers: BTreeMap<String, &String> = answer
                .headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .filter(|(name, _)| kept(name))
                .collect();
            writeln!(text, "{key:?} {} {} {headers:?}", answer.body.len(), sha256(&answer.body)).unwrap();
        }
        text
    }

    /// What is beside the objects of the node: what restores stage, uploads, and what is not ours.
    pub fn beside(&self) -> Vec<String> {
        let below = format!("{PREFIX}/");
        let all = self.bucket.keys("").into_iter();
        let beside =
            all.filter(|key| !key.starts_with(&below) || key.starts_with(&format!("{below}.dumprestore/")));
        let uploads = self.bucket.uploads("").into_iter().map(|upload| format!("upload of {}", upload.key));
        beside.chain(uploads).collect()
    }
}

/// A key of the node from the top of the bucket.
pub fn whole(key: &str) -> String {
    format!("{PREFIX}/{key}")
}

pub fn sha256(content: &[u8]) -> Sha {
    Sha::new(Sha256::digest(content).into())
}

/// A reference to an object with that content.
pub fn to(key: &str, content: impl AsRef<[u8]>) -> Reference {
    Reference { digest: Some(sha256(content.as_ref())), ..Reference::to(key) }
}

/// Bytes that don't compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}
