//! What an archived node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use dumprestore_driver::{ArchivedNode, Error, Result};

use crate::dump::CUT_AT;
use crate::rdb::{Item, Reader, Version};

/// An archived node, as far as it must be known before it is read.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    /// Of its files: the newest.
    pub(super) version: Version,
    /// The databases that it has keys of, in order.
    pub(super) databases: Vec<u64>,
    /// How many keys it has of each, if it says so.
    pub(super) keys_of: BTreeMap<u64, u64>,
    /// When the first of them expires, in milliseconds since 1970, if that is known.
    pub(super) first_expiry: Option<u64>,
    /// Those that were dumped, be they empty. `None`: all that the node had.
    pub(super) meant: Option<Vec<u64>>,
    /// How many keys it holds.
    pub(super) keys: Option<u64>,
    /// In bytes, if that is known.
    pub(super) largest_value: Option<u64>,
    /// When it was dumped, in milliseconds since 1970.
    pub(super) cut: Option<u64>,
}

impl Archived {
    /// # Errors
    /// If the archive can't be read.
    pub(super) fn of(node: &dyn ArchivedNode) -> Result<Self> {
        let facts = node.facts();
        let number = |name: &str| facts.get(name).and_then(|text| text.parse::<u64>().ok());
        let mut keys = Some(0u64);
        for part in node.parts() {
            keys = keys.zip(part.rows).map(|(keys, rows)| keys + rows);
        }
        let version = Self::version(node)?;
        let databases = match facts.get(fact::KEYS).and_then(|text| list(text)) {
            Some(databases) => databases,
            None => look_for_databases(node)?,
        };
        Ok(Self {
            version,
            databases,
            keys_of: facts.get(fact::KEYS).map(|text| numbers(text)).unwrap_or_default(),
            first_expiry: match facts.get(fact::FIRST_EXPIRY).map(String::as_str) {
                Some("never") => Some(u64::MAX),
                text => text.and_then(|text| text.parse().ok()),
            },
            meant: facts.get(fact::MEANT).filter(|meant| *meant != "all").and_then(|text| list(text)),
            keys,
            largest_value: number(fact::LARGEST_VALUE),
            cut: Self::cut(node),
        })
    }

    /// Which format the newest of its files has.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub(super) fn version(node: &dyn ArchivedNode) -> Result<Version> {
        let mut newest = None::<Version>;
        for part in node.parts() {
            let version = Reader::begin(node.read(&part.name)?)?.version();
            if newest.is_none_or(|newest| newest.number < version.number) {
                newest = Some(version);
            }
        }
        newest.ok_or_else(|| Error::archive("the archive has no part of this node"))
    }

    /// Whether functions were dumped, be there none.
    pub(super) fn has_functions(node: &dyn ArchivedNode) -> bool {
        node.facts().contains_key(fact::FUNCTIONS)
    }

    /// When a node was dumped, in milliseconds since 1970, if it says so.
    pub(super) fn cut(node: &dyn ArchivedNode) -> Option<u64> {
        node.facts().get(CUT_AT)?.parse().ok()
    }
}

/// The names of facts.
mod fact {
    /// How many keys each database has: `0: 12, 3: 400`.
    pub(super) const KEYS: &str = "keys_by_database";
    /// Which databases were meant: `all`, or a list.
    pub(super) const MEANT: &str = "databases";
    pub(super) const LARGEST_VALUE: &str = "largest_value_bytes";
    /// When the first of the keys expires, in milliseconds since 1970, or `never`.
    pub(super) const FIRST_EXPIRY: &str = "first_expiry_ms";
    /// How many libraries of functions there are, if they were dumped.
    pub(super) const FUNCTIONS: &str = "functions";
}

/// The number before each colon, or each number.
fn list(text: &str) -> Option<Vec<u64>> {
    let mut indexes = text
        .split(',')
        .map(|item| item.split(':').next().unwrap_or_default().trim())
        .filter(|index| !index.is_empty())
        .map(str::parse)
        .collect::<std::result::Result<Vec<u64>, _>>()
        .ok()?;
    indexes.sort_unstable();
    indexes.dedup();
    Some(indexes)
}

/// The number after each colon, by the number before it.
fn numbers(text: &str) -> BTreeMap<u64, u64> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.filter_map(|(index, keys)| Some((index.trim().parse().ok()?, keys.trim().parse().ok()?))).collect()
}

/// Where nothing says it, all is read.
fn look_for_databases(node: &dyn ArchivedNode) -> Result<Vec<u64>> {
    let mut found = BTreeSet::new();
    for part in node.parts() {
        let mut reader = Reader::begin(BufReader::new(node.read(&part.name)?))?;
        while let Some(item) = reader.next()? {
            if let Item::Key(entry) = item {
                found.insert(entry.database);
            }
        }
        read_on(reader)?;
    }
    Ok(found.into_iter().collect())
}

/// Reads what follows a file: nothing. Whatever the archive finds wrong it says at its end at the latest.
///
/// # Errors
/// If there is more, or the archive is damaged.
pub(super) fn read_on<R: Read>(reader: Reader<R>) -> Result<()> {
    let (mut from, ahead) = reader.into_inner();
    let more = from.read(&mut [0; 1]).map_err(|error| Error::io("can't read the archive", error))?;
    match ahead.is_empty() && more == 0 {
        true => Ok(()),
        false => Err(Error::archive("something follows the end of the RDB file")),
    }
}
