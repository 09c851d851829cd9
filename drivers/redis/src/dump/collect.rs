//! What is gathered of references while keys go by, as they go by only once.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dumprestore_driver::{Edge, Error, KeySink, LedgerEntry, Reference, Result, Unresolved, Why};

use crate::config::{Meant, Setup};
use crate::links::{Declared, Gathering, Keys, Known, Look, Spool, Spooled, Within, hash};
use crate::rdb::{Element, Entry};

/// Declarations, with what was found so far.
pub(super) struct Collecting {
    referring: Vec<(Keys, u64, Spool)>,
    /// Of each of those, how many keys its pattern fits.
    fitting: Vec<u64>,
    referred: Vec<(Within, u64, Gathering)>,
    /// In milliseconds since 1970: what expires before is not there any more.
    cut_at: u64,
}

/// The same, of all keys.
pub(super) struct Collected {
    referring: Vec<(Keys, Mutex<Spooled>)>,
    referred: Vec<(Within, Known)>,
}

/// The database that is meant where none is named: the first one that is dumped.
fn first(databases: &Meant) -> u64 {
    match databases {
        Meant::All => 0,
        Meant::These(list) => list.first().copied().unwrap_or_default(),
    }
}

/// Refuses declarations about databases that are not dumped. Offline.
///
/// # Errors
/// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) that names the database.
pub(super) fn check(setup: &Setup, declared: &Declared) -> Result<()> {
    let keys = declared.keys.iter().filter_map(|keys| keys.database);
    let within = declared.within.iter().filter_map(|within| within.database);
    match keys.chain(within).find(|database| !setup.databases.has(*database)) {
        Some(database) => {
            Err(Error::config(format!("a reference is about database {database}, which is not dumped"))
                .with_hint("add it to `databases`, or name another one"))
        }
        None => Ok(()),
    }
}

impl Collecting {
    pub(super) fn new(setup: &Setup, declared: &Declared, scratch: &Path) -> Self {
        let first = first(&setup.databases);
        let referring = declared
            .keys
            .iter()
            .map(|keys| (keys.clone(), keys.database.unwrap_or(first), Spool::new(scratch)));
        let referred = declared
            .within
            .iter()
            .map(|within| (within.clone(), within.database.unwrap_or(first), Gathering::new(scratch)));
        let fitting = vec![0; declared.keys.len()];
        Self { referring: referring.collect(), fitting, referred: referred.collect(), cut_at: 0 }
    }

    /// Of which instant the keys are that come now, in milliseconds since 1970.
    pub(super) fn at(&mut self, cut_at: u64) {
        self.cut_at = cut_at;
    }

    /// Notes a key that is dumped, and begins to look into it.
    ///
    /// # Errors
    /// If a scratch file can't be written.
    pub(super) fn look(&mut self, entry: &Entry) -> Result<Looks<'_>> {
        if entry.expires.is_some_and(|expires| expires <= self.cut_at) {
            return Ok(Looks(Vec::new()));
        }
        for (within, database, gathering) in &mut self.referred {
            if *database == entry.database && within.could_mean(&entry.key) {
                gathering.push(hash(&entry.key))?;
            }
        }
        let looks =
            self.referring.iter_mut().zip(&mut self.fitting).filter(|((keys, database, _), _)| {
                *database == entry.database && keys.pattern.fits(&entry.key)
            });
        Ok(Looks(
            looks
                .map(|((keys, _, spool), fitting)| {
                    *fitting += 1;
                    (keys.look(&entry.key, entry.kind), spool)
                })
                .collect(),
        ))
    }

    /// Declarations by which nothing was found at all: they may be misspelt.
    pub(super) fn unfitting(&self) -> Vec<LedgerEntry> {
        let all = self.referring.iter().zip(&self.fitting);
        all.filter(|((_, _, spool), _)| spool.is_empty())
            .map(|((keys, database, _), fitting)| {
                let why = match fitting {
                    0 => format!("no key of database {database} fits the pattern: is it misspelt?"),
                    fitting => format!(
                        "{fitting} keys of database {database} fit the pattern, and none of them holds {}: is it misspelt?",
                        keys.sought()
                    ),
                };
                LedgerEntry::note(format!("keys `{}`", keys.pattern.text().escape_debug()), why)
            })
            .collect()
    }

    /// Once all keys have gone by.
    ///
    /// # Errors
    /// If a scratch file can't be written or read.
    pub(super) fn finish(self) -> Result<Collected> {
        let mut collected = Collected { referring: Vec::new(), referred: Vec::new() };
        for (keys, _, spool) in self.referring {
            collected.referring.push((keys, Mutex::new(spool.finish()?)));
        }
        for (within, _, gathering) in self.referred {
            collected.referred.push((within, gathering.finish()?.0));
        }
        Ok(collected)
    }
}

/// Looks into one key, for each declaration that it is one of.
pub(super) struct Looks<'a>(Vec<(Look<'a>, &'a mut Spool)>);

impl Looks<'_> {
    /// Whether its value has to be seen.
    pub(super) fn need_value(&self) -> bool {
        self.0.iter().any(|(look, _)| look.needs_value())
    }

    pub(super) fn see(&mut self, element: Element<'_>) -> Result<()> {
        self.0.iter_mut().try_for_each(|(look, spool)| look.see(element, &mut |found| spool.push(&found)))
    }

    pub(super) fn end(self) -> Result<()> {
        self.0.into_iter().try_for_each(|(look, spool)| look.end().map_or(Ok(()), |found| spool.push(&found)))
    }
}

impl Collected {
    /// Hands over the references of an edge.
    pub(super) fn references(&self, edge: &Edge, sink: &mut KeySink<'_>) -> Result<()> {
        let keys = Keys::of(&edge.keys)?;
        let spooled = self.referring.iter().find(|(declared, _)| *declared == keys);
        let (_, spooled) = spooled.ok_or_else(|| undeclared("keys"))?;
        spooled.lock().unwrap_or_else(PoisonError::into_inner).give(sink)
    }

    /// Says which references are to no key that was dumped.
    pub(super) fn unresolved(
        &self,
        within: Option<&str>,
        references: &[Reference],
    ) -> Result<Vec<Unresolved>> {
        let within = Within::of(within)?;
        let known = self.referred.iter().find(|(declared, _)| *declared == within);
        let (_, known) = known.ok_or_else(|| undeclared("in"))?;
        let mut unresolved = Vec::new();
        for reference in references {
            if reference.digest.is_some() {
                return Err(Error::config("a key has no sha256 that a reference could be compared with")
                    .with_context("key", &reference.key)
                    .with_hint("let `keys` of the referrer give the key alone"));
            }
            if !known.has(hash(&within.key(reference.key.as_bytes())))? {
                unresolved.push(Unresolved::new(reference.clone(), Why::Missing));
            }
        }
        Ok(unresolved)
    }
}

/// What is not known before the data go by can't be answered after.
fn undeclared(option: &str) -> Error {
    Error::defect(format!(
        "a reference is asked for that was not declared before the dump was opened: `{option}`"
    ))
    .with_hint("`Driver::check_keys` and `Driver::check_within` declare it")
}
