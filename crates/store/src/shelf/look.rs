//! All archives in all places, each once, with its copies.

use dumprestore_driver::{Error, ErrorKind};
use serde::Serialize;

use super::glance::{Summary, glance_at};
use super::list::{Listing, list};
use super::{Shelf, Verdict};
use crate::encryption::Identities;
use crate::place::Place;
use crate::prune::Unreadable;

/// Deep enough for any way to name archives.
const DEEPEST: usize = 8;

/// An archive, and where it is.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Copies {
    /// Its name below the first place that has it.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// How it turned out.
    pub verdict: Verdict,
    /// What it says of itself.
    #[serde(flatten)]
    pub summary: Summary,
    /// Where it is.
    pub copies: Vec<StoredCopy>,
}

/// One copy.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct StoredCopy {
    /// The place.
    pub place: String,
    /// The archive there: a path or a URL.
    pub archive: String,
    /// Whether a newer version has taken its place.
    pub superseded: bool,
    /// What tells the place from all others: two servers may have a bucket of that name.
    #[serde(skip)]
    pub(crate) identity: String,
}

/// What was found in some places.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listed {
    /// Archives, the newest first.
    pub archives: Vec<Copies>,
    /// What looks like one and can't be read.
    pub unreadable: Vec<Unreadable>,
    /// Places that can't be looked into, and why.
    pub failed: Vec<(String, Error)>,
}

impl Shelf {
    /// Looks at all archives in all places. With `versions`, at older versions of objects too.
    pub fn look(&self, versions: bool) -> Listed {
        look(self.list(versions), &self.identities)
    }
}

impl Listed {
    /// All archives in one place, of whatever set.
    pub fn of(place: &Place, versions: bool, identities: &Identities) -> Self {
        let listing = Listing { place: place.clone(), entries: list(place, DEEPEST, versions) };
        look(vec![listing], identities)
    }
}

fn look(listings: Vec<Listing>, identities: &Identities) -> Listed {
    let mut listed = Listed::default();
    for Listing { place, entries } in listings {
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                listed.failed.push((place.shown(), error));
                continue;
            }
        };
        for looked in glance_at(entries, identities) {
            let entry = looked.entry;
            let shown = entry.place.shown();
            match looked.summary {
                Ok(summary) => {
                    let copy = StoredCopy {
                        place: place.shown(),
                        archive: shown,
                        superseded: entry.superseded,
                        identity: place.identity(),
                    };
                    listed.add(entry.name, entry.bytes, summary, copy);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Archive | ErrorKind::Config) => {
                    listed.unreadable.push(Unreadable { name: shown, why: error.to_string() });
                }
                Err(error) => listed.failed.push((shown, error)),
            }
        }
    }
    listed.archives.sort_by(|a, b| b.summary.age().cmp(&a.summary.age()));
    listed
}

impl Listed {
    fn add(&mut self, name: String, bytes: u64, summary: Summary, copy: StoredCopy) {
        let is_same = |known: &&mut Copies| {
            known.summary.sha256 == summary.sha256
                && known.copies.iter().all(|other| other.identity != copy.identity)
        };
        match self.archives.iter_mut().find(is_same) {
            Some(known) => known.copies.push(copy),
            None => {
                let verdict = summary.verdict();
                self.archives.push(Copies { name, bytes, verdict, summary, copies: vec![copy] });
            }
        }
    }
}
