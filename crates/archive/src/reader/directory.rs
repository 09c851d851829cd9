//! Compares the places of parts with each other, and the central directory with the manifest.
//!
//! The manifest has the parts in one order and the central directory in another. Of each record that should be there
//! a keyed hash is sorted by its place; the key is random, so no input can be made to collide.

use crate::error::{Error, ErrorKind, Result};
use crate::layout::Header;
use crate::reader::compare::Compare;
use crate::reader::range::{RangeRead, Stretch};
use crate::scratch::{Scratch, Sorter};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read, Write};

const RECORD: usize = 32;

/// What is to be compared.
pub(crate) struct Places {
    sorter: Sorter<RECORD>,
    key: RandomState,
    record: Vec<u8>,
}

/// The records of the parts, compared.
pub(crate) struct Compared {
    pub(crate) parts: u64,
    /// Bytes of them all.
    pub(crate) len: u64,
}

/// Makes the record of the part that stands in the manifest at that place, and its name.
pub(crate) type Remake<'a> = dyn FnMut(u32) -> Result<(String, Vec<u8>)> + 'a;

impl Places {
    pub(crate) fn new(scratch: Scratch) -> Self {
        Self { sorter: Sorter::new(scratch), key: RandomState::new(), record: Vec::new() }
    }

    /// Adds a part, which stands at that place in the manifest.
    pub(crate) fn add(&mut self, header: &Header<'_>, at: u32) -> Result<()> {
        self.record.clear();
        header.put_central(&mut self.record);
        let mut place = [0; RECORD];
        place[..8].copy_from_slice(&header.offset.to_be_bytes());
        place[8..16].copy_from_slice(&header.total_len().to_be_bytes());
        place[16..20].copy_from_slice(&at.to_be_bytes());
        // The name is no longer than 64 KiB.
        place[20..24].copy_from_slice(&(self.record.len() as u32).to_be_bytes());
        place[24..].copy_from_slice(&self.key.hash_one(&self.record[..]).to_be_bytes());
        self.sorter.push(place)
    }

    /// Compares the records from `start` on. No part may reach beyond `end`.
    pub(crate) fn compare(
        self,
        (file, size): (&dyn RangeRead, u64),
        start: u64,
        end: u64,
        remake: &mut Remake<'_>,
    ) -> Result<Compared> {
        let left = size.saturating_sub(start);
        let mut directory = BufReader::with_capacity(256 << 10, Stretch { file, at: start, left });
        let mut compared = Compared { parts: 0, len: 0 };
        let Self { sorter, key, record: mut bytes } = self;
        let sorted = sorter.finish()?;
        let mut merge = sorted.iter()?;
        let mut next = merge.next()?;
        while let Some(record) = next {
            let (place, at, len) = (split(&record, 0), number(&record, 16), number(&record, 20));
            next = merge.next()?;
            let limit = next.map_or(end, |next| split(&next, 0));
            if place.saturating_add(split(&record, 8)) > limit {
                let (name, _) = remake(at)?;
                return Err(Error::damaged("it overlaps what follows it in the archive").at(name));
            }
            bytes.resize(len as usize, 0);
            directory.read_exact(&mut bytes).map_err(read_failed)?;
            if key.hash_one(&bytes[..]) != split(&record, 24) {
                return Err(difference(file, start + compared.len, &remake(at)?.1));
            }
            compared.parts += 1;
            compared.len += u64::from(len);
        }
        Ok(compared)
    }
}

fn split(record: &[u8; RECORD], at: usize) -> u64 {
    record[at..at + 8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn number(record: &[u8; RECORD], at: usize) -> u32 {
    record[at..at + 4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn read_failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => too_short(),
        _ => Error::io("reading the archive", error),
    }
}

pub(crate) fn too_short() -> Error {
    Error::damaged("the central directory is too short for the manifest")
}

/// At which byte a record differs from what it should be.
fn difference(file: &dyn RangeRead, at: u64, expected: &[u8]) -> Error {
    let compared = Compare::new(file, at, "the central directory").write_all(expected);
    match compared {
        Err(error) => Error::from(error),
        Ok(()) => Error::new(ErrorKind::Io, "the archive was changed while it was read"),
    }
}
