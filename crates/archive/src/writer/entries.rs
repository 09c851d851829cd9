//! What the writer knows of each finished entry: a record of fixed length and the name, both in spools. In memory are
//! some bits for each, however many there are.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Part;
use crate::method::Method;
use crate::scratch::{Scratch, Sorter, Spool, SpoolReader};
use crate::writer::append::Entry;
use crate::writer::marks::Marks;
use crate::writer::{EntryId, Listed, Receipt};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// So many bytes of records, and of names, are in memory at the most, if there is a folder for scratch files.
const IN_MEMORY: usize = 4 << 20;
const RECORD: usize = 80;

/// What an entry's record holds.
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) stored: u64,
    name_at: u64,
    pub(crate) crc32: u32,
    /// The number of its node.
    pub(crate) node: u32,
    name_len: u16,
    pub(crate) method: Method,
    pub(crate) descriptor: bool,
    pub(crate) sha256: Digest,
}

impl Record {
    fn of(entry: &Entry, node: u32, name_at: u64) -> Self {
        let &Entry { method, offset, size, stored, crc32, sha256, descriptor, .. } = entry;
        // A checked name is no longer.
        let name_len = entry.name.part().len() as u16;
        Self { offset, size, stored, name_at, crc32, node, name_len, method, descriptor, sha256 }
    }

    fn to_bytes(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        for (at, value) in [self.offset, self.size, self.stored, self.name_at].into_iter().enumerate() {
            bytes[at * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        bytes[32..36].copy_from_slice(&self.crc32.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.node.to_le_bytes());
        bytes[40..42].copy_from_slice(&self.name_len.to_le_bytes());
        bytes[42..44].copy_from_slice(&self.method.id().to_le_bytes());
        bytes[44] = self.descriptor.into();
        bytes[48..].copy_from_slice(&self.sha256.0);
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD]) -> Self {
        let long = |at| u64::from_le_bytes(array(bytes, at));
        let mut sha256 = Digest::default();
        sha256.0.copy_from_slice(&bytes[48..]);
        Self {
            offset: long(0),
            size: long(8),
            stored: long(16),
            name_at: long(24),
            crc32: u32::from_le_bytes(array(bytes, 32)),
            node: u32::from_le_bytes(array(bytes, 36)),
            name_len: u16::from_le_bytes(array(bytes, 40)),
            method: Method::of_id(u16::from_le_bytes(array(bytes, 42))),
            descriptor: bytes[44] != 0,
            sha256,
        }
    }

    pub(crate) fn receipt(&self, id: EntryId) -> Receipt {
        let &Self { method, size, stored, sha256, .. } = self;
        Receipt { id, method, size, stored, sha256 }
    }

    pub(crate) fn part(&self, name: &str) -> Part {
        let mut part = Part::new(name, self.method);
        (part.size, part.stored, part.offset) = (self.size, self.stored, self.offset);
        (part.sha256, part.crc32, part.descriptor) = (self.sha256, self.crc32, self.descriptor);
        part
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// How an entry stands in a node's list: place, entry, rows, meta.
pub(crate) const LISTING: usize = 37;

/// A node that has entries.
pub(crate) struct Section {
    pub(crate) path: Arc<str>,
    pub(crate) list: Sorter<LISTING>,
    pub(crate) listed: u64,
    only_listed: bool,
}

impl Section {
    pub(crate) fn new(path: Arc<str>, scratch: Scratch) -> Self {
        Self { path, list: Sorter::new(scratch), listed: 0, only_listed: false }
    }
}

pub(crate) struct Entries {
    scratch: Scratch,
    records: Spool,
    /// Names, and what callers note on parts.
    texts: Spool,
    count: u32,
    live: Marks,
    listed: Marks,
    numbers: HashMap<Arc<str>, u32>,
    pub(crate) sections: Vec<Section>,
}

impl Entries {
    pub(crate) fn new(scratch: Scratch) -> Self {
        Self {
            records: Spool::new(scratch.clone(), IN_MEMORY),
            texts: Spool::new(scratch.clone(), IN_MEMORY),
            scratch,
            count: 0,
            live: Marks::default(),
            listed: Marks::default(),
            numbers: HashMap::new(),
            sections: Vec::new(),
        }
    }

    /// Several entries of one name may stand until `seal`: a live source decides late which capture is the one.
    pub(crate) fn add(&mut self, entry: &Entry, replaces: Option<EntryId>) -> Result<Receipt> {
        if self.count == u32::MAX {
            return Err(Error::new(ErrorKind::Limit, "there are more than 4,294,967,294 entries"));
        }
        if let Some(old) = replaces {
            self.supersede(old)?;
        }
        let node = self.number_of(entry.name.shared_node());
        let name_at = self.texts.append(entry.name.part().as_bytes())?;
        let record = Record::of(entry, node, name_at);
        self.records.append(&record.to_bytes())?;
        let id = EntryId(self.count);
        self.live.insert(id.0);
        self.count += 1;
        Ok(record.receipt(id))
    }

    fn number_of(&mut self, node: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(node) {
            return *number;
        }
        // There are fewer nodes than entries, and those are counted.
        let number = self.sections.len() as u32;
        self.sections.push(Section::new(node.clone(), self.scratch.clone()));
        self.numbers.insert(node.clone(), number);
        number
    }

    /// Says where an entry lies that had to wait for its place.
    pub(crate) fn place(&mut self, id: EntryId, offset: u64) -> Result<()> {
        self.records.patch(u64::from(id.0) * RECORD as u64, &offset.to_le_bytes())
    }

    pub(crate) fn supersede(&mut self, id: EntryId) -> Result<()> {
        self.live_one(id)?;
        if self.listed.contains(id.0) {
            let message = "an entry was superseded that is listed in the manifest";
            return Err(Error::new(ErrorKind::Misuse, message).at(self.full_name(id)?));
        }
        self.live.remove(id.0);
        Ok(())
    }

    fn live_one(&self, id: EntryId) -> Result<()> {
        if self.live.contains(id.0) {
            return Ok(());
        }
        let message = format!("entry {} was never finished, or has been superseded", id.0);
        Err(Error::new(ErrorKind::Misuse, message))
    }

    fn full_name(&self, id: EntryId) -> Result<String> {
        self.reader().full_name(id.0)
    }

    pub(crate) fn list(&mut self, node: &str, id: EntryId, place: u64, listed: &Listed) -> Result<Receipt> {
        self.live_one(id)?;
        let record = self.reader().record(id.0)?;
        if *self.sections[record.node as usize].path != *node {
            let message = format!("the entry was to be listed as a part of node `{node}`");
            return Err(Error::new(ErrorKind::Misuse, message).at(self.full_name(id)?));
        }
        if !self.listed.insert(id.0) {
            let message = "the manifest would list the entry twice";
            return Err(Error::new(ErrorKind::Misuse, message).at(self.full_name(id)?));
        }
        let meta = listed.meta.as_ref().map_or("", |meta| meta.get());
        let meta_at = if meta.is_empty() { 0 } else { self.texts.append(meta.as_bytes())? };
        let mut listing = [0; LISTING];
        listing[..8].copy_from_slice(&place.to_be_bytes());
        listing[8..12].copy_from_slice(&id.0.to_be_bytes());
        listing[12] = listed.rows.is_some().into();
        listing[13..21].copy_from_slice(&listed.rows.unwrap_or(0).to_be_bytes());
        listing[21..29].copy_from_slice(&meta_at.to_be_bytes());
        listing[29..37].copy_from_slice(&(meta.len() as u64).to_be_bytes());
        let section = &mut self.sections[record.node as usize];
        section.list.push(listing)?;
        section.listed += 1;
        Ok(record.receipt(id))
    }

    pub(crate) fn receipt(&self, id: EntryId) -> Result<Receipt> {
        self.live_one(id)?;
        Ok(self.reader().record(id.0)?.receipt(id))
    }

    pub(crate) fn supersede_unlisted(&mut self, node: &str) {
        // Without a number it has no entries, and gets none that would not be counted.
        let section = self.sections.iter_mut().find(|section| *section.path == *node);
        if let Some(section) = section {
            section.only_listed = true;
        }
    }

    /// Each entry must be listed or superseded, or of a node of which only what is listed matters.
    pub(crate) fn check_complete(&self) -> Result<()> {
        let mut reader = self.reader();
        let mut unlisted = None;
        for id in self.live.difference(&self.listed) {
            let record = reader.record(id)?;
            if !self.sections[record.node as usize].only_listed {
                unlisted = Some(id);
                break;
            }
        }
        let Some(id) = unlisted else { return Ok(()) };
        let message = "the entry is neither listed in the manifest nor superseded";
        Err(Error::new(ErrorKind::Misuse, message).at(self.full_name(EntryId(id))?))
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            entries: self,
            records: SpoolReader::new(&self.records),
            texts: SpoolReader::new(&self.texts),
            text: Vec::new(),
        }
    }
}

/// Reads records in about the order in which they were made.
pub(crate) struct Reader<'a> {
    entries: &'a Entries,
    records: SpoolReader<'a>,
    texts: SpoolReader<'a>,
    text: Vec<u8>,
}

impl Reader<'_> {
    pub(crate) fn record(&mut self, id: u32) -> Result<Record> {
        let mut bytes = [0; RECORD];
        self.records.read(u64::from(id) * RECORD as u64, &mut bytes)?;
        Ok(Record::from_bytes(&bytes))
    }

    fn text(&mut self, at: u64, len: usize) -> Result<&str> {
        self.text.resize(len, 0);
        self.texts.read(at, &mut self.text)?;
        let broken = |_| Error::damaged("a scratch file was changed while the archive was written");
        std::str::from_utf8(&self.text).map_err(broken)
    }

    /// The name of its part.
    pub(crate) fn name(&mut self, record: &Record) -> Result<&str> {
        self.text(record.name_at, record.name_len.into())
    }

    pub(crate) fn full_name(&mut self, id: u32) -> Result<String> {
        let record = self.record(id)?;
        let node = self.entries.sections[record.node as usize].path.clone();
        Ok(crate::name::full_name(&node, self.name(&record)?))
    }

    /// The entry that is listed, as it stands in the manifest.
    pub(crate) fn part(&mut self, listing: &[u8; LISTING]) -> Result<Part> {
        let record = self.record(listed_id(listing))?;
        let mut part = record.part(self.name(&record)?);
        part.rows = (listing[12] != 0).then(|| u64::from_be_bytes(array(listing, 13)));
        let meta_len = u64::from_be_bytes(array(listing, 29)) as usize;
        if meta_len > 0 {
            let meta = self.text(u64::from_be_bytes(array(listing, 21)), meta_len)?.to_owned();
            let broken = |_| Error::damaged("a scratch file was changed while the archive was written");
            part.meta = Some(RawValue::from_string(meta).map_err(broken)?);
        }
        Ok(part)
    }
}

pub(crate) fn listed_id(listing: &[u8; LISTING]) -> u32 {
    u32::from_be_bytes(array(listing, 8))
}
