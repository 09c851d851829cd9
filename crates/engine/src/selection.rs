//! `--only`: which nodes take part.

use dumprestore_driver::{NodePath, Result};

use crate::OrderReason;
use crate::set::BackupSet;

/// The nodes with a driver that the selectors mean, in dump order; all of them if there is no selector.
pub(crate) fn choose(set: &BackupSet, only: &[String]) -> Result<Vec<NodePath>> {
    if only.is_empty() {
        return Ok(set.dump_order().to_vec());
    }
    let mut chosen = Vec::new();
    for selector in only {
        chosen.extend(set.select(selector)?);
    }
    Ok(set.dump_order().iter().filter(|path| chosen.contains(path)).cloned().collect())
}

/// References with one end among `chosen` and the other outside: what a partial run may break.
pub(crate) fn broken<'a>(
    set: &'a BackupSet,
    chosen: &'a [NodePath],
) -> impl Iterator<Item = (&'a NodePath, &'a NodePath)> {
    let declared = set.edges().iter().map(|edge| (&edge.from, &edge.to));
    let ordering = set.order_edges().iter().filter(|edge| edge.why == OrderReason::Refers);
    let ordering = ordering.map(|edge| (&edge.first, &edge.then));
    let takes_part = |path: &NodePath| chosen.iter().any(|node| node.is_within(path) || path.is_within(node));
    declared.chain(ordering).filter(move |(from, to)| takes_part(from) != takes_part(to))
}
