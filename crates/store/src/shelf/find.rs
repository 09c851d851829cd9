//! An archive by its name, by the beginning of that, or by a moment.

use std::collections::BTreeMap;

use dumprestore::OpenArchive;
use dumprestore_driver::{Error, Result};

use super::list::{Entry, Listing, list};
use super::moment::parse_moment;
use super::{Latest, Shelf, open};
use crate::place::Place;

impl Shelf {
    /// What there is in each place. With `versions`, older versions of objects too, where a store keeps them.
    pub fn list(&self, versions: bool) -> Vec<Listing> {
        let depth = self.settings.name.depth();
        let listing = |place: &crate::settings::SetPlace| Listing {
            place: place.place.clone(),
            entries: list(&place.place, depth, versions),
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

    /// The archive of that name in any of the places, or the only one whose name begins so.
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
        if let Some(exact) = entries.iter().find(|entry| is_called(entry, name)) {
            return Ok(exact.place.clone());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        // Copies of one archive are called the same in all places.
        let mut begun: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| begins(entry, name)) {
            begun.entry(entry.name.as_str()).or_insert(entry);
        }
        match begun.values().collect::<Vec<_>>()[..] {
            [only] => Ok(only.place.clone()),
            [] => Err(self.unknown(name, &entries)),
            _ => {
                let names: Vec<_> = begun.keys().take(5).map(|name| format!("`{name}`")).collect();
                Err(Error::config(format!("{} archives are called `{}…`", begun.len(), name.escape_debug()))
                    .with_hint(format!("say more of the name: {}", names.join(", "))))
            }
        }
    }

    /// The name of an archive below that of the set's places which it lies in, else its own: copies are called the same.
    pub fn name_below(&self, place: &Place) -> String {
        let shown = place.shown();
        let below = self.settings.places.iter().find_map(|around| {
            let around = around.place.shown();
            shown.strip_prefix(around.trim_end_matches('/'))?.strip_prefix('/').map(str::to_owned)
        });
        let name = below.unwrap_or_else(|| super::name_of(place));
        name.split('?').next().unwrap_or_default().to_owned()
    }

    fn unknown(&self, name: &str, entries: &[Entry]) -> Error {
        let error = Error::archive(format!("there is no archive `{}`", name.escape_debug()));
        match dumprestore::nearest(name, entries.iter().map(|entry| entry.name.as_str())) {
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

fn is_called(entry: &Entry, name: &str) -> bool {
    entry.name == name || last(&entry.name) == name
}

fn begins(entry: &Entry, name: &str) -> bool {
    !name.is_empty() && (entry.name.starts_with(name) || last(&entry.name).starts_with(name))
}
