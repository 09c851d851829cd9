//! Tables that may grow without bound, in a bounded amount of memory.
//!
//! What was used last is kept in memory. When that is too much, all of it goes to a database in a scratch file, which
//! has no name: it is gone with the process. Most sources are small, and never come that far.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dumprestore_driver::{Error, Result};
use redb::{Database, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

/// A table keeps so many entries in memory. Few while it is tested, so that the tests see the scratch file as well.
const MOST_RECENT: usize = if cfg!(debug_assertions) { 20 } else { 8_000 };
/// The database keeps so many bytes of itself in memory.
const CACHE: usize = 12 << 20;

/// Where tables go that have grown too large.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    spilled: Option<Spilled>,
}

struct Spilled {
    // Never committed: nobody reads it after us. Dropped before the database.
    transaction: WriteTransaction,
    _database: Database,
}

impl std::fmt::Debug for Spilled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spilled")
    }
}

impl Scratch {
    /// In that folder, if it is ever needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, spilled: None }
    }

    /// A file without a name.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn file(&self) -> Result<File> {
        tempfile::tempfile_in(&self.folder).map_err(|error| {
            Error::io("can't make a scratch file", error).with_context("folder", self.folder.display())
        })
    }

    fn spill(&mut self) -> Result<&WriteTransaction> {
        if self.spilled.is_none() {
            let backend = Nameless(self.file()?);
            let made = Database::builder().set_cache_size(CACHE).create_with_backend(backend);
            let database = made.map_err(|error| failed(error.into()))?;
            let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
            self.spilled = Some(Spilled { transaction, _database: database });
        }
        match &self.spilled {
            Some(spilled) => Ok(&spilled.transaction),
            None => Err(Error::defect("a scratch file is not there")),
        }
    }
}

/// Nothing of it is to outlive a crash, so nothing is ever forced to the disk.
#[derive(Debug)]
struct Nameless(File);

impl StorageBackend for Nameless {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

fn failed(error: redb::Error) -> Error {
    match error {
        redb::Error::Io(error) => Error::io("can't use a scratch file", error)
            .with_hint("it takes up to a kilobyte for each file or object of the node: make room for it, or set `TMPDIR`"),
        error => Error::defect("a scratch file can't be used").with_source(error),
    }
}

fn unreadable(error: postcard::Error) -> Error {
    Error::defect("an entry of a scratch file can't be understood").with_source(error)
}

/// A table, ordered by its keys.
#[derive(Debug)]
pub struct Table<V> {
    name: &'static str,
    /// What is newer than in the database.
    recent: BTreeMap<Box<[u8]>, V>,
    /// Whether the database has anything of it.
    is_spilled: bool,
}

impl<V: Clone + Serialize + DeserializeOwned> Table<V> {
    /// An empty one. Of the tables of one [`Scratch`], each has a name of its own.
    pub fn new(name: &'static str) -> Self {
        Self { name, recent: BTreeMap::new(), is_spilled: false }
    }

    fn definition(&self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name)
    }

    /// The entry of that key.
    ///
    /// # Errors
    /// As all methods of a table: if the scratch file can't be used.
    pub fn get(&self, scratch: &Scratch, key: &[u8]) -> Result<Option<V>> {
        match self.recent.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.spilled(scratch, key),
        }
    }

    fn spilled(&self, scratch: &Scratch, key: &[u8]) -> Result<Option<V>> {
        let Some(spilled) = scratch.spilled.as_ref().filter(|_| self.is_spilled) else { return Ok(None) };
        let table =
            spilled.transaction.open_table(self.definition()).map_err(|error| failed(error.into()))?;
        match table.get(key).map_err(|error| failed(error.into()))? {
            Some(value) => postcard::from_bytes(value.value()).map(Some).map_err(unreadable),
            None => Ok(None),
        }
    }

    /// Puts an entry in the place of what was there.
    ///
    /// # Errors
    /// If the scratch file can't be used.
    pub fn insert(&mut self, scratch: &mut Scratch, key: &[u8], value: V) -> Result<()> {
        self.make_room(scratch)?;
        match self.recent.get_mut(key) {
            Some(known) => *known = value,
            None => {
                self.recent.insert(key.into(), value);
            }
        }
        Ok(())
    }

    /// The entry of that key, to be changed; a new one, if there is none.
    ///
    /// # Errors
    /// If the scratch file can't be used.
    pub fn entry(&mut self, scratch: &mut Scratch, key: &[u8], new: impl FnOnce() -> V) -> Result<&mut V> {
        self.make_room(scratch)?;
        let value = match self.recent.contains_key(key) {
            true => None,
            false => Some(self.spilled(scratch, key)?.unwrap_or_else(new)),
        };
        Ok(match value {
            Some(value) => self.recent.entry(key.into()).or_insert(value),
            None => self
                .recent
                .get_mut(key)
                .ok_or_else(|| Error::defect("an entry has gone from a scratch table"))?,
        })
    }

    fn make_room(&mut self, scratch: &mut Scratch) -> Result<()> {
        if self.recent.len() < MOST_RECENT {
            return Ok(());
        }
        self.write_out(scratch)
    }

    fn write_out(&mut self, scratch: &mut Scratch) -> Result<()> {
        let transaction = scratch.spill()?;
        let mut table = transaction.open_table(self.definition()).map_err(|error| failed(error.into()))?;
        let mut buffer = Vec::with_capacity(512);
        for (key, value) in &self.recent {
            buffer.clear();
            buffer = postcard::to_extend(value, buffer).map_err(unreadable)?;
            table.insert(&key[..], &buffer[..]).map_err(|error| failed(error.into()))?;
        }
        self.recent.clear();
        self.is_spilled = true;
        Ok(())
    }

    /// Up to `most` entries whose keys come after `after`, in their order; from the first one, if that is `None`.
    ///
    /// # Errors
    /// If the scratch file can't be used.
    pub fn some_after(
        &mut self,
        scratch: &mut Scratch,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<(Box<[u8]>, V)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        if !self.is_spilled {
            let range = self.recent.range::<[u8], _>((from, Bound::Unbounded)).take(most);
            return Ok(range.map(|(key, value)| (key.clone(), value.clone())).collect());
        }
        if !self.recent.is_empty() {
            self.write_out(scratch)?;
        }
        let transaction = scratch.spill()?;
        let table = transaction.open_table(self.definition()).map_err(|error| failed(error.into()))?;
        let range = table.range::<&[u8]>((from, Bound::Unbounded)).map_err(|error| failed(error.into()))?;
        range
            .take(most)
            .map(|entry| {
                let (key, value) = entry.map_err(|error| failed(error.into()))?;
                Ok((key.value().into(), postcard::from_bytes(value.value()).map_err(unreadable)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_table_is_a_map_wherever_it_lies(
            steps in prop::collection::vec((0u8..40, 0u32..1000, any::<bool>()), 0..120),
        ) {
            let mut scratch = Scratch::new(std::env::temp_dir());
            let mut table = Table::<u32>::new("t");
            let mut model = BTreeMap::new();
            for (key, value, spill) in steps {
                let key = [key];
                if value % 2 == 0 {
                    table.insert(&mut scratch, &key, value).unwrap();
                    model.insert(key[0], value);
                } else {
                    *table.entry(&mut scratch, &key, || 7).unwrap() += value;
                    *model.entry(key[0]).or_insert(7) += value;
                }
                if spill {
                    table.write_out(&mut scratch).unwrap();
                }
                prop_assert_eq!(table.get(&scratch, &[key[0] ^ 1]).unwrap(), model.get(&(key[0] ^ 1)).copied());
            }
            let mut all = Vec::new();
            loop {
                let last = all.last().map(|(key, _)| [*key]);
                let some = table.some_after(&mut scratch, last.as_ref().map(|key| &key[..]), 7).unwrap();
                if some.is_empty() {
                    break;
                }
                all.extend(some.into_iter().map(|(key, value)| (key[0], value)));
            }
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
