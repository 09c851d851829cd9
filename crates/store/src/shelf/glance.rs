//! What an archive says of itself: its manifest, and nothing of its content.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Whether these are the application's own: they dangled in the live data too, twice in a row and unchanged.
    pub known: bool,
    /// Of its manifest: it stands for the whole archive.
    pub sha256: String,
    /// The nodes that its configuration had then and it does not hold.
    #[serde(skip)]
    pub(crate) lacks: Vec<String>,
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
    /// The set that its store says it is of: whoever wrote it has noted that beside it.
    pub(crate) noted: Option<String>,
}

impl Summary {
    pub(crate) fn of(archive: &OpenArchive) -> Self {
        let manifest = archive.archive().manifest();
        let node = |node: &dumprestore_archive::Node| ArchivedNode {
            node: node.path.clone(),
            driver: node.driver.clone(),
            status: node.status,
        };
        let mut lacks = dumped(&manifest.config);
        lacks.retain(|node| manifest.node(node).is_none());
        Self {
            set: manifest.set.clone(),
            run: manifest.run.clone(),
            moment: manifest.cut.unwrap_or(manifest.sealed),
            sealed: manifest.sealed,
            nodes: manifest.nodes.iter().map(node).collect(),
            is_whole: lacks.is_empty(),
            dangling: manifest.edges.iter().map(|edge| edge.dangling.total).sum(),
            known: manifest.cuts.last().is_some_and(|cut| cut.outcome == "known"),
            sha256: archive.archive().sha256().to_string(),
            lacks,
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
        self.look(identities).0
    }

    /// The same, and the set that is noted beside it in its store.
    fn look(&self, identities: &Identities) -> (Result<Summary>, Option<String>) {
        let Place::Object(object) = &self.place else {
            return (super::open(&self.place, identities).map(|opened| Summary::of(&opened)), None);
        };
        let stored = match StoredArchive::glance(object) {
            Ok(stored) => stored,
            Err(error) => return (Err(error), None),
        };
        let noted = stored.noted_set().map(str::to_owned);
        let opened = readable(Arc::new(stored), identities)
            .and_then(|content| OpenArchive::read(content, object.shown()));
        (opened.map(|opened| Summary::of(&opened)), noted)
    }
}

/// What was seen of one of several.
pub(crate) struct Looked {
    pub(crate) entry: Entry,
    pub(crate) summary: Result<Summary>,
    /// The set that is noted beside it in its store.
    pub(crate) noted: Option<String>,
}

/// Looks at all of these, several at once. The answers stand in their order.
pub(crate) fn glance_at(entries: Vec<Entry>, identities: &Identities) -> Vec<Looked> {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(entries.len()) {
            scope.spawn(|| {
                while let Some((at, entry)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, entries.get(at)?)))
                {
                    let looked = entry.look(identities);
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push((at, looked));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by_key(|(at, _)| *at);
    let seen = entries.into_iter().zip(seen);
    seen.map(|(entry, (_, (summary, noted)))| Looked { entry, summary, noted }).collect()
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
