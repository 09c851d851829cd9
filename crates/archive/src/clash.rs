//! Finds names that clash: the same twice, or a file where another has a folder.
//!
//! Names are known by two independently keyed 64-bit hashes, which are sorted. The keys are random, so no input can be
//! made to collide; by chance ten million names collide with a probability of 10^-24.

use crate::error::{Error, ErrorKind, Result};
use crate::scratch::{Scratch, Sorter, Table};
use std::hash::{BuildHasher, RandomState};

/// Folders that were met lately are not noted again.
const RECENT: usize = 1 << 14;
/// So many folders may be noted for each name, and some more: over it, a name would cost more than it takes.
const FOLDERS: u64 = 32;

const FILE: u8 = 0;
const FOLDER: u8 = 1;

/// The keys that names are hashed with.
#[derive(Clone, Default)]
pub(crate) struct NameKeys([RandomState; 2]);

impl NameKeys {
    /// What a name is looked up by.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0[0].hash_one(name)
    }
}

/// Takes names, each with a number that it can be found by.
pub(crate) struct NameCheck {
    keys: NameKeys,
    sorter: Sorter<21>,
    scratch: Scratch,
    recent: Vec<u64>,
    names: u64,
    folders: u64,
}

impl NameCheck {
    pub(crate) fn new(scratch: Scratch) -> Self {
        let sorter = Sorter::new(scratch.clone());
        Self { keys: NameKeys::default(), sorter, scratch, recent: Vec::new(), names: 0, folders: 0 }
    }

    pub(crate) fn add(&mut self, name: &str, number: u32) -> Result<()> {
        self.names += 1;
        self.push(self.keys.of(name), name, FILE, number)?;
        // From the longest: above a folder that was noted, all are.
        for (end, _) in name.rmatch_indices('/') {
            if !self.add_folder(&name[..end], number)? {
                break;
            }
        }
        Ok(())
    }

    /// False if it was met lately.
    fn add_folder(&mut self, folder: &str, number: u32) -> Result<bool> {
        self.recent.resize(RECENT, 0);
        let key = self.keys.of(folder);
        let slot = &mut self.recent[key as usize % RECENT];
        if *slot == key {
            return Ok(false);
        }
        *slot = key;
        self.folders += 1;
        if self.folders > FOLDERS * (self.names + 4096) {
            let message = "the names lie in too many folders";
            return Err(Error::new(ErrorKind::Limit, message).at(folder));
        }
        self.push(key, folder, FOLDER, number)?;
        Ok(true)
    }

    fn push(&mut self, key: u64, name: &str, kind: u8, number: u32) -> Result<()> {
        let mut record = [0; 21];
        record[..8].copy_from_slice(&key.to_be_bytes());
        record[8..16].copy_from_slice(&self.keys.0[1].hash_one(name).to_be_bytes());
        record[16] = kind;
        record[17..].copy_from_slice(&number.to_be_bytes());
        self.sorter.push(record)
    }

    /// The names by their keys, or what clashes.
    pub(crate) fn finish(self) -> Result<Checked> {
        let Self { keys, sorter, scratch, .. } = self;
        let mut names = Table::new(scratch);
        let sorted = sorter.finish()?;
        let mut merge = sorted.iter()?;
        let mut last: Option<([u8; 16], u32)> = None;
        while let Some(record) = merge.next()? {
            let (hash, kind, number) = split(&record);
            match last.filter(|(same, _)| *same == hash) {
                Some(_) if kind == FILE => return Ok(Checked::Twice(number)),
                Some((_, file)) => return Ok(Checked::InFile { file, inside: number }),
                None if kind == FILE => {
                    names.push(key(&hash), number)?;
                    last = Some((hash, number));
                }
                None => {}
            }
        }
        Ok(Checked::Sound(keys, names))
    }
}

/// What came of a check. The numbers are those that were given with the names.
pub(crate) enum Checked {
    Sound(NameKeys, Table),
    /// It has the name of another.
    Twice(u32),
    /// The first has the name of a folder of the second.
    InFile {
        file: u32,
        inside: u32,
    },
}

impl Checked {
    /// The names by their keys; `name` finds the name of a number, for the error.
    pub(crate) fn sound(self, mut name: impl FnMut(u32) -> Result<String>) -> Result<(NameKeys, Table)> {
        let (number, message) = match self {
            Self::Sound(keys, names) => return Ok((keys, names)),
            Self::Twice(number) => (number, "two entries have this name".to_owned()),
            Self::InFile { file, inside } => {
                (inside, format!("its folder `{}` is an entry itself", name(file)?))
            }
        };
        Err(Error::new(ErrorKind::UnsafeName, message).at(name(number)?))
    }
}

fn split(record: &[u8; 21]) -> ([u8; 16], u8, u32) {
    let mut hash = [0; 16];
    hash.copy_from_slice(&record[..16]);
    let [a, b, c, d] = [record[17], record[18], record[19], record[20]];
    (hash, record[16], u32::from_be_bytes([a, b, c, d]))
}

fn key(hash: &[u8; 16]) -> u64 {
    hash.iter().take(8).fold(0, |key, &byte| key << 8 | u64::from(byte))
}
