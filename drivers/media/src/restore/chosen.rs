//! Which objects a restore means: those of the node, and of these the ones that were named.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dumprestore_driver::{Content, Error, Pattern, Result, Selection};

use crate::filter::Filter;

/// Decides about keys.
#[derive(Clone)]
pub(super) struct Chosen {
    filter: Filter,
    things: Arc<[Thing]>,
    /// Keys of the archive that are not this node's.
    passed_over: Arc<AtomicU64>,
}

struct Thing {
    text: String,
    pattern: Pattern,
    /// What lies below it, if it is a folder.
    below: String,
    is_met: AtomicBool,
}

impl Chosen {
    /// # Errors
    /// If something is named that can't be.
    pub(super) fn new(filter: &Filter, selection: &Selection) -> Result<Self> {
        if selection.content != Content::All {
            return Err(Error::unsupported("objects have no schema apart from their data"));
        }
        let things = selection.things.iter().map(|text| Thing::new(text)).collect::<Result<_>>()?;
        Ok(Self { filter: filter.clone(), things, passed_over: Arc::default() })
    }

    /// Whether a key is meant.
    pub(super) fn takes(&self, key: &str) -> bool {
        self.filter.takes(key) && (self.things.is_empty() || self.things.iter().any(|thing| thing.fits(key)))
    }

    /// Whether a folder is left out with all that lies in it.
    pub(super) fn excludes(&self, folder: &str) -> bool {
        self.filter.excludes(folder)
    }

    /// The same of a key of the archive, which is noted: what is named must be there.
    pub(super) fn takes_archived(&self, key: &str) -> bool {
        let mut named = self.things.is_empty();
        for thing in self.things.iter().filter(|thing| thing.fits(key)) {
            thing.is_met.store(true, Ordering::Relaxed);
            named = true;
        }
        let is_ours = self.filter.takes(key);
        if named && !is_ours {
            self.passed_over.fetch_add(1, Ordering::Relaxed);
        }
        named && is_ours
    }

    /// How many keys of the archive were named, and are not this node's.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    /// Refuses if something that was named is not in the archive, of which all keys have been seen.
    pub(super) fn check_met(&self) -> Result<()> {
        match self.things.iter().find(|thing| !thing.is_met.load(Ordering::Relaxed)) {
            None => Ok(()),
            Some(thing) => Err(Error::config("the archive has no object of that name")
                .with_context("name", thing.text.escape_debug())
                .with_hint(
                    "name a key, a folder (`images/2024`), or a pattern (`*.jpg`, where `*` crosses folders)",
                )),
        }
    }
}

impl Thing {
    fn new(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::config("the name of an object is empty"));
        }
        Ok(Self {
            pattern: Pattern::new(text),
            below: format!("{}/", text.trim_end_matches('/')),
            text: text.to_owned(),
            is_met: AtomicBool::new(false),
        })
    }

    fn fits(&self, key: &str) -> bool {
        key == self.text || key.starts_with(&self.below) || self.pattern.fits(key)
    }
}
