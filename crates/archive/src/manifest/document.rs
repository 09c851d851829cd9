//! The manifest as one JSON object, its parts one after the other.

use crate::error::Result;
use crate::manifest::{Manifest, Node, Part};
use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};

/// Where the parts of a document come from.
pub(crate) trait Streamed {
    /// Hands over the parts of the node of that index, in their order.
    fn each(&self, node: usize, take: &mut dyn FnMut(&Part) -> Result<()>) -> Result<()>;
}

/// A manifest with its parts.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    head: &'a Manifest,
    nodes: Vec<NodeDocument<'a>>,
}

#[derive(Serialize)]
struct NodeDocument<'a> {
    #[serde(flatten)]
    head: &'a Node,
    parts: Parts<'a>,
}

struct Parts<'a> {
    from: &'a dyn Streamed,
    node: usize,
}

impl<'a> Document<'a> {
    pub(crate) fn new(manifest: &'a Manifest, from: &'a dyn Streamed) -> Self {
        let nodes = manifest.nodes.iter().enumerate();
        let nodes = nodes.map(|(node, head)| NodeDocument { head, parts: Parts { from, node } });
        Self { head: manifest, nodes: nodes.collect() }
    }
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut failed = None;
        let streamed = self.from.each(self.node, &mut |part| {
            list.serialize_element(part).map_err(|error| {
                failed = Some(error);
                crate::Error::damaged("the part cannot be serialised")
            })
        });
        match (failed, streamed) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(S::Error::custom(error)),
            (None, Ok(())) => list.end(),
        }
    }
}
