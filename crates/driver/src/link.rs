//! References between nodes: who refers, to what, and whether it is there.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Digest, Error, ErrorKind, NodePath, Part, Result};

/// A declared reference: `from` holds keys of things in `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The referrer.
    pub from: NodePath,
    /// The referent.
    pub to: NodePath,
    /// How the referrer finds its keys: a query, a pattern. Checked by [`Driver::check_keys`](crate::Driver::check_keys).
    pub keys: serde_json::Value,
    /// What the keys are in a referent that needs to be told, such as `customer.id`.
    #[serde(rename = "in")]
    pub within: Option<String>,
}

/// The key of a thing in the referent: a file's path, a row's id in decimal or text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// One key as the referrer holds it, with the SHA-256 of the thing if the referrer keeps that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The key.
    pub key: Key,
    /// What the content of the thing must be.
    pub digest: Option<Digest>,
}

impl Reference {
    /// A reference to whatever lies under `key`.
    pub fn to(key: impl Into<Vec<u8>>) -> Self {
        Self { key: Key::new(key), digest: None }
    }
}

/// A reference that does not resolve.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unresolved {
    /// The reference.
    pub reference: Reference,
    /// Why not.
    pub why: Why,
    /// If this part is dumped now, the reference may resolve: the engine does so, and asks once more.
    pub part: Option<Part>,
}

impl Unresolved {
    /// A reference that does not resolve, for that reason.
    pub fn new(reference: Reference, why: Why) -> Self {
        Self { reference, why, part: None }
    }

    /// The same, with a part that may mend it.
    pub fn with_part(mut self, part: Part) -> Self {
        self.part = Some(part);
        self
    }
}

/// Why a reference does not resolve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is nothing under that key.
    Missing,
    /// There is something, but not of the digest that the referrer holds. The digest of what is there.
    Differs(Digest),
    /// There is something, but it can't be said whether it was so at the cut: it changed too recently.
    Unsettled,
    /// There is something that can't be read, or is not what a key can mean; the text says what.
    Unreadable(String),
    /// The row holds what can't be a reference; the text says what. No referent can mend it.
    Malformed(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Missing => f.write_str("not there"),
            Why::Differs(found) => write!(f, "content differs (sha256 {found})"),
            Why::Unsettled => f.write_str("changed during the cut"),
            Why::Unreadable(why) | Why::Malformed(why) => f.write_str(why),
        }
    }
}

/// Takes the keys of a referrer, one by one.
pub struct KeySink<'a>(Take<'a>);

enum Take<'a> {
    References(&'a mut (dyn FnMut(Reference) -> Result<()> + Send)),
    All(&'a mut (dyn FnMut(std::result::Result<Reference, Unresolved>) -> Result<()> + Send)),
}

impl<'a> KeySink<'a> {
    /// A sink that hands each key to `take`. A row that can't be a reference ends the reading with an error.
    pub fn new(take: &'a mut (dyn FnMut(Reference) -> Result<()> + Send)) -> Self {
        Self(Take::References(take))
    }

    /// A sink that takes rows that can't be references as well, as references that do not resolve.
    pub fn of_all(
        take: &'a mut (dyn FnMut(std::result::Result<Reference, Unresolved>) -> Result<()> + Send),
    ) -> Self {
        Self(Take::All(take))
    }

    /// Hands over one key.
    ///
    /// # Errors
    /// If the run is to stop. Pass it on.
    pub fn push(&mut self, reference: Reference) -> Result<()> {
        match &mut self.0 {
            Take::References(take) => take(reference),
            Take::All(take) => take(Ok(reference)),
        }
    }

    /// Tells of a row that holds what can't be a reference, with its key as far as it has one, and what is wrong with
    /// it. One bad row must not keep all others from being dumped: it is for the set's policy to decide.
    ///
    /// # Errors
    /// If the run is to stop. Pass it on.
    pub fn push_malformed(&mut self, key: Key, what: impl Into<String>) -> Result<()> {
        match &mut self.0 {
            Take::References(_) => Err(Error::new(ErrorKind::Dangling, what)
                .with_context("key", &key)
                .with_hint("mend the row, or leave such rows out of the query of `keys`")),
            Take::All(take) => {
                take(Err(Unresolved::new(Reference { key, digest: None }, Why::Malformed(what.into()))))
            }
        }
    }
}

/// Both ends of references. A pinned source answers for the dump, a prepared staging for what is about to be
/// swapped in. Called on threads that may block.
#[async_trait]
pub trait Links: Send + Sync {
    /// Hands over all keys of an edge of which this node is the referrer, from the pinned or staged data. A key may
    /// come more than once. Null and empty keys are the query's business: what comes is checked.
    async fn references(&self, edge: &Edge, _keys: &mut KeySink<'_>) -> Result<()> {
        Err(Error::unsupported("this node has no keys that refer to other nodes")
            .with_context("to", &edge.to))
    }

    /// Says which of `references` do not resolve here, in the pinned, captured or staged data.
    async fn resolve(&self, _within: Option<&str>, _references: &[Reference]) -> Result<Vec<Unresolved>> {
        Err(Error::unsupported("no reference to this node can be checked")
            .with_hint("remove `keys:` from the reference: it then orders only"))
    }
}
