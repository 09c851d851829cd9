//! What came of a comparison.

use dumprestore_archive::{Edge, Node, Status};
use serde::Serialize;

use super::facts;
use super::parts::PartCounts;

/// A value in the older archive, and in the newer one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// In the older one.
    pub from: T,
    /// In the newer one.
    pub to: T,
}

/// In which archives something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Only in the newer one.
    Added,
    /// Only in the older one.
    Removed,
    /// In both, and not the same.
    Changed,
    /// In both, and the same.
    Same,
}

/// What changed between two archives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ArchiveDiff {
    /// All nodes of both: those of the older one first, in its order.
    pub nodes: Vec<NodeDiff>,
    /// References that are not the same in both.
    pub references: Vec<EdgeDiff>,
}

impl ArchiveDiff {
    /// Whether nothing of the data changed: no node and no part. Facts, such as positions in logs, always do.
    pub fn is_same(&self) -> bool {
        self.nodes.iter().all(|node| node.presence == Presence::Same)
    }
}

/// What changed in one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeDiff {
    /// Its path.
    pub node: String,
    /// In which archives it is, and whether its parts are the same.
    pub presence: Presence,
    /// Its driver, if that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Sides<String>>,
    /// How its dumps ended.
    pub status: Sides<Option<Status>>,
    /// Its parts.
    pub parts: PartCounts,
    /// What the driver found out about the source and found otherwise before.
    pub facts: Vec<ChangedFact>,
}

impl NodeDiff {
    pub(super) fn new(path: &str, before: Option<&Node>, after: Option<&Node>, parts: PartCounts) -> Self {
        let driver = match (before, after) {
            (Some(before), Some(after)) if before.driver != after.driver => {
                Some(Sides { from: before.driver.clone(), to: after.driver.clone() })
            }
            _ => None,
        };
        let presence = match (before, after) {
            (None, _) => Presence::Added,
            (_, None) => Presence::Removed,
            _ if parts.changes() > 0 || driver.is_some() => Presence::Changed,
            _ => Presence::Same,
        };
        let status = Sides { from: before.map(|node| node.status), to: after.map(|node| node.status) };
        let facts = if before.is_some() && after.is_some() { facts(before, after) } else { Vec::new() };
        Self { node: path.to_owned(), presence, driver, status, parts, facts }
    }
}

/// A fact of a node that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedFact {
    /// Its name.
    pub name: String,
    /// What it was.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

/// A reference that is not the same: declared in one archive only, or certified otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EdgeDiff {
    /// The referrer.
    pub from: String,
    /// The referent.
    pub to: String,
    /// In which archives it is declared.
    pub presence: Presence,
    /// Whether it was certified.
    pub certified: Sides<bool>,
    /// Keys that were read.
    pub checked: Sides<u64>,
    /// Keys that dangle.
    pub dangling: Sides<u64>,
}

impl EdgeDiff {
    /// None if both are the same.
    pub(super) fn new(before: Option<&Edge>, after: Option<&Edge>) -> Option<Self> {
        let any = after.or(before)?;
        let side =
            |edge: Option<&Edge>| edge.map_or((false, 0, 0), |e| (e.certified, e.checked, e.dangling.total));
        let (old, new) = (side(before), side(after));
        let presence = match (before, after) {
            (None, _) => Presence::Added,
            (_, None) => Presence::Removed,
            _ if old == new => return None,
            _ => Presence::Changed,
        };
        Some(Self {
            from: any.from.clone(),
            to: any.to.clone(),
            presence,
            certified: Sides { from: old.0, to: new.0 },
            checked: Sides { from: old.1, to: new.1 },
            dangling: Sides { from: old.2, to: new.2 },
        })
    }
}
