//! The certificate: the declared references, and the cuts on which they were checked.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// A declared reference from one node to another, and what the check on the cut found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Edge {
    /// The referrer's node path.
    pub from: String,
    /// The referent's node path.
    pub to: String,
    /// How the keys were read, in the referrer driver's words: a query, a pattern. Null if the reference only
    /// orders.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub keys: Value,
    /// What the keys are in the referent, such as `customer.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#in: Option<String>,
    /// Whether every key resolved on the cut.
    pub certified: bool,
    /// Keys read.
    #[serde(default)]
    pub checked: u64,
    /// Keys that did not resolve.
    #[serde(default, skip_serializing_if = "Dangling::is_none")]
    pub dangling: Dangling,
}

impl Edge {
    /// A reference that has not been certified.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            keys: Value::Null,
            r#in: None,
            certified: false,
            checked: 0,
            dangling: Dangling::default(),
        }
    }
}

/// References whose key is not in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dangling {
    /// How many.
    pub total: u64,
    /// The first of them.
    #[serde(default)]
    pub keys: Vec<String>,
}

impl Dangling {
    /// Most keys that are listed.
    pub const LISTED: usize = 1000;

    /// Counts a key, and lists it as long as there is room.
    pub fn add(&mut self, key: impl Into<String>) {
        self.total += 1;
        if self.keys.len() < Self::LISTED {
            self.keys.push(key.into());
        }
    }

    fn is_none(&self) -> bool {
        self.total == 0
    }
}

/// A cut that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cut {
    /// When the first pin was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// When the last pin was open.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Keys that did not resolve.
    pub dangling: u64,
    /// How it ended: `certified`, `locked` (certified while writers waited), `known` (what dangles is the application's
    /// own), `degraded` (not certified, and taken all the same), `unchecked`, or `again`.
    pub outcome: String,
}

impl Cut {
    /// A cut between two moments.
    pub fn new(from: OffsetDateTime, to: OffsetDateTime, dangling: u64, outcome: impl Into<String>) -> Self {
        Self { from, to, dangling, outcome: outcome.into() }
    }
}
