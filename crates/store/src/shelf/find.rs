//! An archive by its name, by the beginning of that, or by a moment.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore::OpenArchive;
use dumprestore_driver::{Error, Result, closest};

use super::glance::glance_at;
use super::list::{Entry, Listing, list, refuse_missing};
use super::moment::parse_moment;
use super::{Latest, Shelf, open};
use crate::place::Place;
use crate::settings::SetPlace;

impl Shelf {
    /// What there is in each place. With `versions`, older versions of objects too, where a store keeps them.
    pub fn list(&self, versions: bool) -> Vec<Listing> {
        let depth = self.settings.name.depth();
        let is_one_of_several = self.settings.places.len() > 1;
        let listing = |place: &SetPlace| {
            let is_there = if is_one_of_several { refuse_missing(&place.place) } else { Ok(()) };
            let entries = is_there.and_then(|()| list(&place.place, depth, versions));
            Listing { place: place.place.clone(), entries }
        };
        self.settings.places.iter().map(listing).collect()
    }

    /// The newest archive of a set whose state is not later than a moment: `SET@TIME`.
    ///
    /// # Errors
    /// As of [`latest`](Self::latest), or if that is no time.
    pub fn as_of(&self, set: &str, moment: &str) -> Result<Latest> {
        let until = parse_moment(moment)?;
        self.newest_of(self.candidates(set, "a moment")?, Some(until))
    }

    /// The archive of that name in any of the places: by its whole name there, or by the last of it if all that are called
    /// so are one archive; else the only one whose name begins so.
    ///
    /// # Errors
    /// If there is none, or there are several; or if a place can't be asked, and no other has one of exactly that name.
    pub fn named(&self, name: &str) -> Result<OpenArchive> {
        open(&self.place_named(name)?, &self.identities)
    }

    /// Where that archive is.
    ///
    /// # Errors
    /// As of [`named`](Self::named).
    pub fn place_named(&self, name: &str) -> Result<Place> {
        let mut failed = None;
        let mut entries = Vec::new();
        for listing in self.list(false) {
            match listing.entries {
                Ok(found) => entries.extend(found),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(exact) = entries.iter().find(|entry| entry.name == name) {
            return Ok(exact.place.clone());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let called = by_name(&entries, |entry| last(&entry.name) == name);
        if let Some(first) = called.values().next() {
            return match called.len() == 1 || self.are_one(called.values().copied()) {
                true => Ok(first.place.clone()),
                false => Err(several(name, "", &called)),
            };
        }
        let begun = by_name(&entries, |entry| begins(entry, name));
        match begun.values().collect::<Vec<_>>()[..] {
            [only] => Ok(only.place.clone()),
            [] => Err(self.unknown(name, &entries)),
            _ => Err(several(name, "…", &begun)),
        }
    }

    /// Whether these are copies of one archive. Of what can't be read nobody knows.
    fn are_one<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> bool {
        let looked = glance_at(entries.cloned().collect(), &self.identities);
        let digests: Option<BTreeSet<_>> =
            looked.into_iter().map(|looked| looked.summary.ok().map(|summary| summary.sha256)).collect();
        digests.is_some_and(|digests| digests.len() == 1)
    }

    /// The name of an archive below that of the set's places which it lies in, else its own: copies are called the same.
    pub fn name_below(&self, place: &Place) -> String {
        self.below(place).map_or_else(|| super::name_of(place), |(_, name)| name)
    }

    /// The set's place that an archive lies in.
    pub fn place_of(&self, archive: &Place) -> Option<&SetPlace> {
        self.below(archive).map(|(place, _)| place)
    }

    fn below(&self, archive: &Place) -> Option<(&SetPlace, String)> {
        let identity = archive.identity();
        self.settings.places.iter().find_map(|place| {
            let around = place.place.identity();
            let name = identity.strip_prefix(around.trim_end_matches('/'))?.strip_prefix('/')?;
            Some((place, name.to_owned()))
        })
    }

    /// What other places have under the name of that archive: copies of it, as far as names tell. A place that can't be asked
    /// is told instead.
    pub fn others_of(&self, archive: &Place) -> Vec<std::result::Result<String, Error>> {
        let (name, identity) = (self.name_below(archive), archive.identity());
        let mut found = Vec::new();
        for listing in self.list(false) {
            match listing.entries {
                Ok(entries) => found.extend(
                    entries
                        .into_iter()
                        .filter(|entry| entry.name == name && entry.place.identity() != identity)
                        .map(|entry| Ok(entry.place.shown())),
                ),
                Err(error) => found.push(Err(error)),
            }
        }
        found
    }

    fn unknown(&self, name: &str, entries: &[Entry]) -> Error {
        let error = Error::archive(format!("there is no archive `{}`", name.escape_debug()));
        match closest(name, entries.iter().map(|entry| entry.name.as_str())) {
            Some(meant) => {
                error.with_hint(format!("did you mean `{meant}`? `dumprestore ls` lists all archives"))
            }
            None => error.with_hint("check its name; `latest` means the newest one of the set"),
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Those of several entries, each name once: copies of one archive are called the same in all places.
fn by_name(entries: &[Entry], is_meant: impl Fn(&Entry) -> bool) -> BTreeMap<&str, &Entry> {
    let mut found: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_meant(entry)) {
        found.entry(entry.name.as_str()).or_insert(entry);
    }
    found
}

fn several(name: &str, more: &str, found: &BTreeMap<&str, &Entry>) -> Error {
    let names: Vec<_> = found.keys().take(5).map(|name| format!("`{name}`")).collect();
    Error::config(format!("{} archives are called `{}{more}`", found.len(), name.escape_debug()))
        .with_hint(format!("say more of the name: {}", names.join(", ")))
}

fn begins(entry: &Entry, name: &str) -> bool {
    !name.is_empty() && (entry.name.starts_with(name) || last(&entry.name).starts_with(name))
}
