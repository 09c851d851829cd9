//! Sealing: the manifest, and the report that follows from it.

use dumprestore_archive as archive;
use dumprestore_driver::{Error, LedgerEntry, Result};

use super::cut::Cutting;
use super::options::{DumpOutcome, DumpReport, DumpedNode};
use super::source::{Held, OpenNode};
use super::{DumpRun, tool};
use crate::OrderReason;
use crate::reference_check::EdgeCheck;
use crate::set::BackupSet;

/// Bytes of all ledgers in the manifest: every reader holds them in memory.
const LEDGER: usize = 8 << 20;

/// Characters of a key that dangles: the manifest lists a thousand of them for each reference.
const KEY: usize = 500;

/// The manifest of what was dumped, and the report.
pub(super) fn conclude(
    run: &mut DumpRun<'_>,
    cutting: Cutting,
    archive: Option<String>,
) -> Result<(archive::Manifest, DumpReport)> {
    let mut manifest = archive::Manifest::new(tool(), run.set.name(), run.run.name.as_str(), run.run.started);
    manifest.config = run.set.config().clone();
    manifest.order = run.nodes.iter().map(|node| node.path.to_string()).collect();
    manifest.cut = Some(cutting.cut);
    manifest.edges = edges(run, &cutting.checks);
    let cuts = cutting.tries.len();
    let verdict = cutting.tries.last().map(|cut| cut.outcome.clone()).unwrap_or_default();
    manifest.cuts = cutting.tries;
    let mut nodes = Vec::new();
    let mut room = LEDGER;
    for node in &mut run.nodes {
        let (section, dumped) = section(node, &mut room)?;
        manifest.nodes.push(section);
        nodes.push(dumped);
    }
    let outcome = if manifest.edges.iter().any(|edge| edge.dangling.total > 0) {
        DumpOutcome::Dangling
    } else if nodes.iter().any(|node| node.status != archive::Status::Ok) {
        DumpOutcome::Degraded
    } else {
        DumpOutcome::Ok
    };
    let edges = manifest.edges.clone();
    let report = DumpReport {
        run: run.run.name.clone(),
        outcome,
        archive,
        copies: Vec::new(),
        bytes: 0,
        nodes,
        edges,
        cuts,
        verdict,
    };
    Ok((manifest, report))
}

fn edges(run: &DumpRun<'_>, checks: &[EdgeCheck]) -> Vec<archive::Edge> {
    let checked = run.edges.iter().zip(checks).map(|(declared, check)| {
        let mut edge = edge_of(declared);
        edge.certified = check.dangling() == 0;
        edge.checked = check.read;
        for bad in &check.unresolved {
            let (key, why) = (bad.reference.key.to_string(), &bad.why);
            let short: String = key.chars().take(KEY).collect();
            let more = if short.len() < key.len() { "…" } else { "" };
            edge.dangling.add(format!("{short}{more} ({why})"));
        }
        edge.dangling.total += check.beyond.count;
        edge
    });
    let unchecked = run.unchecked.iter().map(edge_of);
    let ordering = ordering_edges(run.set, &run.nodes);
    checked.chain(unchecked).chain(ordering).collect()
}

fn edge_of(declared: &dumprestore_driver::Edge) -> archive::Edge {
    let mut edge = archive::Edge::new(declared.from.as_str(), declared.to.as_str());
    edge.keys = declared.keys.clone();
    edge.r#in = declared.within.clone();
    edge
}

/// References that only order, between nodes that take part.
fn ordering_edges(set: &BackupSet, nodes: &[OpenNode]) -> Vec<archive::Edge> {
    let takes_part = |path: &dumprestore_driver::NodePath| nodes.iter().any(|node| node.path.is_within(path));
    set.order_edges()
        .iter()
        .filter(|edge| edge.why == OrderReason::Refers && takes_part(&edge.first) && takes_part(&edge.then))
        .map(|edge| archive::Edge::new(edge.first.as_str(), edge.then.as_str()))
        .collect()
}

/// A ledger as it stands in the manifest: the beginning of it, if there is no room for all.
fn ledger(entries: &[LedgerEntry], room: &mut usize) -> Vec<archive::LedgerEntry> {
    let mut listed = Vec::new();
    for (at, LedgerEntry { what, why, .. }) in entries.iter().enumerate() {
        let entry = archive::LedgerEntry { path: what.clone(), why: why.clone() };
        // As it will stand there: what is escaped takes more room.
        let length = serde_json::to_vec(&entry).map_or(usize::MAX, |json| json.len());
        let Some(left) = room.checked_sub(length) else {
            let path = format!("{} more", entries.len() - at);
            let why = "the manifest has no room for them; only `--json` of the dump itself has told of each"
                .to_owned();
            listed.push(archive::LedgerEntry { path, why });
            break;
        };
        *room = left;
        listed.push(entry);
    }
    listed
}

fn section(node: &mut OpenNode, room: &mut usize) -> Result<(archive::Node, DumpedNode)> {
    let driver = &node.driver;
    let mut section = archive::Node::new(node.path.as_str(), driver.kind(), driver.formats().writes);
    section.facts = std::mem::take(&mut node.facts);
    section.capabilities = serde_json::to_value(node.capabilities)
        .map_err(|error| Error::defect("capabilities can't be written down").with_source(error))?;
    section.windows = std::mem::take(&mut node.windows);
    let Held { parts, bytes } = node.held;
    if bytes == 0 && node.inspection.size.is_some_and(|size| size > 0) {
        let what =
            format!("{} bytes were there when the dump began", node.inspection.size.unwrap_or_default());
        node.ledger.push(LedgerEntry::degrading(what, "nothing of it was dumped"));
    }
    section.ledger = ledger(&node.ledger, room);
    if node.ledger.iter().any(|entry| entry.degrades) {
        section.status = archive::Status::Degraded;
    }
    let dumped = DumpedNode {
        node: node.path.clone(),
        status: section.status,
        bytes,
        parts,
        ledger: std::mem::take(&mut node.ledger),
    };
    Ok((section, dumped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_is_too_long_says_how_much_of_it_is_missing() {
        let all: Vec<_> = (0..10).map(|at| LedgerEntry::degrading(format!("file {at}"), "gone")).collect();
        let mut room = 400;
        assert_eq!(ledger(&all, &mut room).len(), 10);
        assert!(room < 200);
        let cut = ledger(&all, &mut room);
        let last = cut.last().unwrap();
        assert_eq!(last.path, format!("{} more", 10 - (cut.len() - 1)));
        assert_eq!(ledger(&all, &mut 0)[0].path, "10 more");
    }
}
