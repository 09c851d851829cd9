//! Bytes that are appended, and read at any place.

use crate::error::{Error, ErrorKind, Result};
use crate::scratch::{Scratch, read_at, write_at};
use std::fs::File;

/// Bytes, of which the last are in memory and the others in a file.
pub(crate) struct Spool {
    scratch: Scratch,
    file: Option<File>,
    /// How many bytes are in the file.
    in_file: u64,
    tail: Vec<u8>,
    /// So many bytes in memory go to the file.
    most: usize,
}

impl Spool {
    /// None of it is in a file before there are `most` bytes.
    pub(crate) fn new(scratch: Scratch, most: usize) -> Self {
        Self { scratch, file: None, in_file: 0, tail: Vec::new(), most }
    }

    /// Appends, and says where.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        if self.tail.len() >= self.most {
            self.spill()?;
        }
        let at = self.in_file + self.tail.len() as u64;
        self.tail.extend_from_slice(bytes);
        Ok(at)
    }

    fn spill(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.file = self.scratch.file();
        }
        let Some(file) = &self.file else {
            self.most = usize::MAX;
            return Ok(());
        };
        write_at(file, &self.tail, self.in_file)?;
        self.in_file += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    /// As if the disk had lost what is in the file.
    #[cfg(test)]
    pub(crate) fn lose_file(&self) {
        self.file.as_ref().unwrap().set_len(self.in_file / 2).unwrap();
    }

    /// Parts a stretch into what lies in the file and where the rest lies in memory.
    fn split(&self, at: u64, len: usize) -> Result<(usize, usize)> {
        let filed = self.in_file.saturating_sub(at).min(len as u64) as usize;
        let start = usize::try_from(at.saturating_sub(self.in_file)).unwrap_or(usize::MAX);
        let end = start.checked_add(len - filed);
        match end.filter(|end| *end <= self.tail.len()) {
            Some(_) => Ok((filed, start)),
            None => Err(Error::new(ErrorKind::Misuse, "a scratch file was read beyond its end")),
        }
    }

    pub(crate) fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let (filed, start) = self.split(at, bytes.len())?;
        let (first, rest) = bytes.split_at_mut(filed);
        if let (Some(file), false) = (&self.file, first.is_empty()) {
            read_at(file, first, at)?;
        }
        rest.copy_from_slice(&self.tail[start..][..rest.len()]);
        Ok(())
    }

    /// Overwrites what was appended.
    pub(crate) fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let (filed, start) = self.split(at, bytes.len())?;
        let (first, rest) = bytes.split_at(filed);
        if let (Some(file), false) = (&self.file, first.is_empty()) {
            write_at(file, first, at)?;
        }
        self.tail[start..][..rest.len()].copy_from_slice(rest);
        Ok(())
    }
}

const BLOCK: u64 = 64 << 10;
const BLOCKS: usize = 16;

/// Reads a spool in about the order in which it was written, with few calls of the system.
pub(crate) struct SpoolReader<'a> {
    spool: &'a Spool,
    blocks: Vec<(u64, Vec<u8>)>,
}

impl<'a> SpoolReader<'a> {
    pub(crate) fn new(spool: &'a Spool) -> Self {
        Self { spool, blocks: Vec::new() }
    }

    pub(crate) fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let end = at + bytes.len() as u64;
        let block = at / BLOCK;
        // Whole blocks of the file are kept; what lies across two of them, or in memory, is read as it is.
        if (block + 1) * BLOCK > self.spool.in_file || end > (block + 1) * BLOCK {
            return self.spool.read(at, bytes);
        }
        if self.blocks.is_empty() {
            self.blocks = vec![(u64::MAX, Vec::new()); BLOCKS];
        }
        let slot = &mut self.blocks[block as usize % BLOCKS];
        if slot.0 != block {
            slot.1.resize(BLOCK as usize, 0);
            self.spool.read(block * BLOCK, &mut slot.1)?;
            slot.0 = block;
        }
        bytes.copy_from_slice(&slot.1[(at % BLOCK) as usize..][..bytes.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_gives_back_what_it_took_from_memory_from_its_file_and_across_both() {
        let folder = tempfile::tempdir().unwrap();
        for folder in [Some(folder.path().to_owned()), None, Some(folder.path().join("none"))] {
            let mut spool = Spool::new(Scratch::new(folder), 1000);
            let mut all = Vec::new();
            for byte in 0..60_000u32 {
                let at = spool.append(&byte.to_le_bytes()).unwrap();
                assert_eq!(at, all.len() as u64);
                all.extend(byte.to_le_bytes());
            }
            for at in (0..all.len() - 8).step_by(997) {
                spool.patch(at as u64, b"patched!").unwrap();
                all[at..at + 8].copy_from_slice(b"patched!");
            }
            let mut reader = SpoolReader::new(&spool);
            for (at, len) in (0..all.len() - 3000).step_by(777).zip((1..3000).cycle()) {
                let mut bytes = vec![0; len];
                spool.read(at as u64, &mut bytes).unwrap();
                assert_eq!(bytes, all[at..at + len]);
                reader.read(at as u64, &mut bytes).unwrap();
                assert_eq!(bytes, all[at..at + len]);
            }
            assert!(spool.read(all.len() as u64 - 1, &mut [0; 2]).is_err());
        }
    }

    #[test]
    fn what_a_scratch_file_has_lost_is_an_error_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(Scratch::new(Some(folder.path().to_owned())), 1000);
        for at in 0..100_000u32 {
            spool.append(&at.to_le_bytes()).unwrap();
        }
        spool.lose_file();
        let mut reader = SpoolReader::new(&spool);
        let mut bytes = [0; 4];
        for at in [250_000, 300_000] {
            assert_eq!(spool.read(at, &mut bytes).unwrap_err().kind(), ErrorKind::Scratch);
            assert_eq!(reader.read(at, &mut bytes).unwrap_err().kind(), ErrorKind::Scratch);
        }
        reader.read(4, &mut bytes).unwrap();
        assert_eq!(u32::from_le_bytes(bytes), 1);
    }
}
