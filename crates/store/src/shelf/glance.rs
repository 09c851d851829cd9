//! What an archive says of itself: its manifest, and nothing of its content.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dumprestore::OpenArchive;
use dumprestore_archive::Status;
use dumprestore_driver::{Error, Result};
use serde::Serialize;
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
