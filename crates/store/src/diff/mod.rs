//! What changed between two archives.

mod parts;
mod report;

pub use parts::{PartChange, PartCounts};
pub use report::{ArchiveDiff, ChangedFact, EdgeDiff, NodeDiff, Presence, Sides};

use dumprestore_archive::{Archive, Edge, Node};
use dumprestore_driver::{Cancel, Result};

use parts::compare_parts;

/// Says what changed from one archive to another: nodes, their parts by digest, their facts, and references.
///
/// # Behavior
/// - Only manifests are read, no content: parts are the same if their digests are.
/// - Memory is bounded, however many parts there are. Lists in one order are gone through side by side; where the order
///   differs, each part is looked up in the other archive.
/// - Each node names `most` of its changes at the most, and counts all.
///
/// # Errors
/// If an archive can't be read, or changes while it is.
pub fn diff(from: &Archive, to: &Archive, most: usize, cancel: &Cancel) -> Result<ArchiveDiff> {
    let (old, new) = (from.manifest(), to.manifest());
    let added = new.nodes.iter().filter(|node| old.node(&node.path).is_none());
    let paths: Vec<&str> = old.nodes.iter().chain(added).map(|node| node.path.as_str()).collect();
    let mut nodes = Vec::with_capacity(paths.len());
    for path in paths {
        let (before, after) = (old.node(path), new.node(path));
        let sides = (before.map(|_| from), after.map(|_| to));
        let parts = compare_parts(path, sides, most, cancel)?;
        nodes.push(NodeDiff::new(path, before, after, parts));
    }
    Ok(ArchiveDiff { nodes, references: edges(&old.edges, &new.edges) })
}

/// References by which nodes they join and how: there may be several between two nodes.
fn edges(old: &[Edge], new: &[Edge]) -> Vec<EdgeDiff> {
    let is_same =
        |a: &Edge, b: &Edge| (&a.from, &a.to, &a.keys, &a.r#in) == (&b.from, &b.to, &b.keys, &b.r#in);
    let partner = |edge: &Edge, others: &[Edge]| others.iter().find(|other| is_same(edge, other)).cloned();
    let gone = old.iter().map(|edge| EdgeDiff::new(Some(edge), partner(edge, new).as_ref()));
    let come =
        new.iter().filter(|edge| partner(edge, old).is_none()).map(|edge| EdgeDiff::new(None, Some(edge)));
    gone.chain(come).flatten().collect()
}

/// Facts that are not the same on both sides.
fn facts(before: Option<&Node>, after: Option<&Node>) -> Vec<ChangedFact> {
    let of = |node: Option<&Node>, name: &str| node.and_then(|node| node.facts.get(name)).cloned();
    let names: std::collections::BTreeSet<&String> =
        before.into_iter().chain(after).flat_map(|node| node.facts.keys()).collect();
    let changed = names.into_iter().map(|name| ChangedFact {
        name: name.clone(),
        from: of(before, name),
        to: of(after, name),
    });
    changed.filter(|fact| fact.from != fact.to).collect()
}
