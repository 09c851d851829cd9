//! `--only`: which nodes take part, and what of them.

use std::collections::BTreeMap;

use dumprestore_driver::{Error, NodePath, Result};

use crate::OrderReason;
use crate::set::BackupSet;

/// The nodes with a driver that the selectors mean, in dump order; all of them if there is no selector.
pub(crate) fn choose(set: &BackupSet, only: &[String]) -> Result<Vec<NodePath>> {
    let picked = pick(set, only)?;
    match picked.things.keys().next() {
        None => Ok(picked.nodes),
        Some(node) => Err(Error::config("things of a node can only be selected for a restore")
            .with_node(node)
            .with_hint("name the whole node")),
    }
}

/// What selectors mean.
pub(crate) struct Picked {
    /// The nodes with a driver, in dump order.
    pub(crate) nodes: Vec<NodePath>,
    /// Those of which only some things are meant.
    pub(crate) things: BTreeMap<NodePath, Vec<String>>,
}

/// What `NODE` and `NODE:THING` mean; everything if there is no selector.
///
/// # Errors
/// If there is no such node, or one is selected both as a whole and in part: whichever was meant, the other would
/// replace too much, or too little.
pub(crate) fn pick(set: &BackupSet, only: &[String]) -> Result<Picked> {
    let mut picked = Picked { nodes: set.dump_order().to_vec(), things: BTreeMap::new() };
    if only.is_empty() {
        return Ok(picked);
    }
    let mut whole = Vec::new();
    for selector in only {
        match selector.split_once(':') {
            None => whole.extend(set.select(selector)?),
            Some((node, thing)) => {
                let node = one_node(set, node, selector)?;
                if thing.is_empty() {
                    return Err(Error::config(format!(
                        "`{}` names no thing after `:`",
                        selector.escape_debug()
                    ))
                    .with_hint("leave the `:` out for the whole node"));
                }
                picked.things.entry(node).or_default().push(thing.to_owned());
            }
        }
    }
    if let Some(both) = picked.things.keys().find(|node| whole.contains(node)) {
        return Err(Error::config("this node is selected as a whole and in part").with_node(both));
    }
    picked.nodes.retain(|path| whole.contains(path) || picked.things.contains_key(path));
    Ok(picked)
}

fn one_node(set: &BackupSet, node: &str, selector: &str) -> Result<NodePath> {
    match set.select(node)?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(Error::config(format!("`{}` is more than one node", node.escape_debug()))
            .with_context("selector", selector.escape_debug())
            .with_hint("things are of one node: name the one that is meant")),
    }
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
