//! What an archive says of itself: its manifest, and nothing of its content.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dumprestore::OpenArchive;
use dumprestore_archive::Status;
use dumprestore_driver::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::list::Entry;
use crate::encryption::{Identities, readable};
use crate::place::Place;
use crate::read::StoredArchive;

/// Archives that are looked at at once.
const AT_ONCE: usize = 8;

/// What an archive is.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The set that it is of.
    pub set: String,
    /// The run that made it, unique.
    pub run: String,
    /// The moment whose state it holds.
    #[serde(with = "time::serde::rfc3339")]
    pub moment: OffsetDateTime,
    /// When it was complete.
    #[serde(with = "time::serde::rfc3339")]
    pub sealed: OffsetDateTime,
    /// Its nodes.
    pub nodes: Vec<ArchivedNode>,
    /// Whether it holds all nodes that its configuration had then.
    pub is_whole: bool,
    /// References that dangle in it.
    pub dangling: u64,
    /// Of its manifest: it stands for the whole archive.
    pub sha256: String,
}

/// A node in an archive.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ArchivedNode {
    /// Its path.
    pub node: String,
    /// Its driver.
    pub driver: String,
    /// How it ended.
    pub status: Status,
}

/// What looked like an archive, and can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unusable {
    /// What it is.
    pub entry: Entry,
    /// Why.
    pub error: Error,
}

impl Summary {
    pub(crate) fn of(archive: &OpenArchive) -> Self {
        let manifest = archive.archive().manifest();
        let node = |node: &dumprestore_archive::Node| ArchivedNode {
            node: node.path.clone(),
            driver: node.driver.clone(),
            status: node.status,
        };
        Self {
            set: manifest.set.clone(),
            run: manifest.run.clone(),
            moment: manifest.cut.unwrap_or(manifest.sealed),
            sealed: manifest.sealed,
            nodes: manifest.nodes.iter().map(node).collect(),
            is_whole: dumped(&manifest.config).iter().all(|node| manifest.node(node).is_some()),
            dangling: manifest.edges.iter().map(|edge| edge.dangling.total).sum(),
            sha256: archive.archive().sha256().to_string(),
        }
    }

    /// Whether it holds all of these nodes.
    pub fn holds(&self, nodes: &[String]) -> bool {
        nodes.iter().all(|wanted| self.nodes.iter().any(|held| held.node == *wanted))
    }

    /// Which of two is the newer one.
    pub(crate) fn age(&self) -> (OffsetDateTime, &str) {
        (self.sealed, &self.run)
    }
}

/// The nodes with a driver that a configuration has, as a manifest keeps it. What a variable enables is not counted: it may
/// have been off.
fn dumped(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(config.get("set"), "", &mut found);
    found
}

fn collect(nodes: Option<&Value>, above: &str, found: &mut Vec<String>) {
    for node in nodes.and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = node.get("name").and_then(Value::as_str) else { continue };
        if node.get("enabled").is_some_and(|enabled| *enabled != Value::Bool(true) && !enabled.is_null()) {
            continue;
        }
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        if node.get("driver").is_some_and(|driver| !driver.is_null()) {
            found.push(path.clone());
        }
        collect(node.get("children"), &path, found);
    }
}

impl Entry {
    /// Reads its manifest, and checks that the archive is complete.
    ///
    /// # Errors
    /// If it is not, or can't be read.
    pub fn glance(&self, identities: &Identities) -> Result<Summary> {
        let opened = match &self.place {
            Place::Object(object) => {
                let stored = StoredArchive::glance(object)?;
                OpenArchive::read(readable(std::sync::Arc::new(stored), identities)?, object.shown())
            }
            place => super::open(place, identities),
        };
        opened.map(|opened| Summary::of(&opened))
    }
}

/// Looks at all of these, several at once. The answers stand in their order.
pub(crate) fn glance_at(entries: Vec<Entry>, identities: &Identities) -> Vec<(Entry, Result<Summary>)> {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(entries.len()) {
            scope.spawn(|| {
                while let Some((at, entry)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, entries.get(at)?)))
                {
                    let summary = entry.glance(identities);
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push((at, summary));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by_key(|(at, _)| *at);
    entries.into_iter().zip(seen.into_iter().map(|(_, summary)| summary)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_nodes_of_a_configuration_are_those_that_it_dumped() {
        let config = json!({ "set": [
            { "name": "db", "driver": "sqlite" },
            { "name": "off", "driver": "sqlite", "enabled": false },
            { "name": "perhaps", "driver": "sqlite", "enabled": "${MEDIA}" },
            { "name": "files", "children": [{ "name": "uploads", "driver": "filesystem", "enabled": true }] },
        ] });
        assert_eq!(dumped(&config), ["db", "files.uploads"]);
        assert!(dumped(&Value::Null).is_empty());
    }
}
