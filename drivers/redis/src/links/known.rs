//! Which keys there are, however many: their hashes, sorted, in a scratch file if they are many.
//!
//! A hash is 128 bits of the SHA-256: that two of a billion keys share one is as likely as one in 10^20.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};
use sha2::{Digest as _, Sha256};

/// So many are sorted in memory (8 MiB). Few while it is tested, so that the tests see the scratch file as well.
const IN_MEMORY: usize = if cfg!(debug_assertions) { 1000 } else { 512 << 10 };
/// In bytes: a hash.
const WIDTH: usize = 16;
/// Of so many hashes in the file, the first stands in memory as well.
const PAGE: usize = 256;

/// The hash of a key.
pub(crate) fn hash(key: &[u8]) -> u128 {
    let sum = Sha256::digest(key);
    sum.iter().take(WIDTH).fold(0, |hash, byte| hash << 8 | u128::from(*byte))
}

/// Gathers hashes.
pub(crate) struct Gathering {
    scratch: PathBuf,
    gathered: Vec<u128>,
    /// Sorted runs, one after the other, each of [`IN_MEMORY`] hashes.
    runs: Option<File>,
    count: usize,
}

impl Gathering {
    /// Those that are too many go to a file in that folder.
    pub(crate) fn new(scratch: &Path) -> Self {
        Self { scratch: scratch.to_owned(), gathered: Vec::new(), runs: None, count: 0 }
    }

    /// Adds one.
    ///
    /// # Errors
    /// If the scratch file can't be written.
    pub(crate) fn push(&mut self, hash: u128) -> Result<()> {
        self.gathered.push(hash);
        if self.gathered.len() >= IN_MEMORY { self.spill().map_err(failed) } else { Ok(()) }
    }

    /// Those that there are, and those of them that came more than once.
    ///
    /// # Errors
    /// If the scratch file can't be written or read.
    pub(crate) fn finish(mut self) -> Result<(Known, HashSet<u128>)> {
        let mut twice = HashSet::new();
        if self.runs.is_none() {
            self.gathered.sort_unstable();
            twice.extend(
                self.gathered
                    .iter()
                    .zip(self.gathered.iter().skip(1))
                    .filter(|(a, b)| a == b)
                    .map(|(a, _)| *a),
            );
            self.gathered.dedup();
            return Ok((Known(Place::Memory(self.gathered)), twice));
        }
        let known = self.merge(&mut twice).map_err(failed)?;
        Ok((known, twice))
    }

    fn spill(&mut self) -> io::Result<()> {
        self.gathered.sort_unstable();
        let mut file = match self.runs.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(&self.scratch)?,
        };
        let mut out = BufWriter::with_capacity(256 << 10, &mut file);
        for hash in &self.gathered {
            out.write_all(&hash.to_be_bytes())?;
        }
        out.flush()?;
        drop(out);
        self.runs = Some(file);
        self.count += self.gathered.len();
        self.gathered.clear();
        Ok(())
    }

    fn merge(mut self, twice: &mut HashSet<u128>) -> io::Result<Known> {
        self.spill()?;
        let Some(file) = self.runs.take() else { return Ok(Known(Place::Memory(Vec::new()))) };
        let mut runs: Vec<Run<'_>> =
            (0..self.count).step_by(IN_MEMORY).map(|at| Run::new(&file, at, self.count)).collect();
        let mut heads = BinaryHeap::new();
        for (nth, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next()?.map(|hash| Reverse((hash, nth))));
        }
        let mut merged = tempfile::tempfile_in(&self.scratch)?;
        let mut out = BufWriter::with_capacity(256 << 10, &mut merged);
        let (mut firsts, mut count, mut last) = (Vec::new(), 0_usize, None);
        while let Some(Reverse((hash, nth))) = heads.pop() {
            if let Some(run) = runs.get_mut(nth) {
                heads.extend(run.next()?.map(|hash| Reverse((hash, nth))));
            }
            if last == Some(hash) {
                twice.insert(hash);
                continue;
            }
            if count.is_multiple_of(PAGE) {
                firsts.push(hash);
            }
            out.write_all(&hash.to_be_bytes())?;
            (last, count) = (Some(hash), count + 1);
        }
        out.flush()?;
        drop(out);
        merged.seek(SeekFrom::Start(0))?;
        Ok(Known(Place::File { file: merged, firsts, count }))
    }
}

/// One sorted run of the scratch file.
struct Run<'a>(BufReader<Piece<'a>>);

impl<'a> Run<'a> {
    fn new(file: &'a File, from: usize, count: usize) -> Self {
        let to = count.min(from + IN_MEMORY);
        let piece = Piece { file, at: (from * WIDTH) as u64, end: (to * WIDTH) as u64 };
        Self(BufReader::with_capacity(32 << 10, piece))
    }

    fn next(&mut self) -> io::Result<Option<u128>> {
        let mut hash = [0; WIDTH];
        match self.0.read_exact(&mut hash) {
            Ok(()) => Ok(Some(u128::from_be_bytes(hash))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

struct Piece<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("a scratch file has become shorter"));
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// The hashes that there are.
pub(crate) struct Known(Place);

enum Place {
    Memory(Vec<u128>),
    File { file: File, firsts: Vec<u128>, count: usize },
}

impl Known {
    /// Whether that hash is one of them.
    ///
    /// # Errors
    /// If the scratch file can't be read.
    pub(crate) fn has(&self, hash: u128) -> Result<bool> {
        let (file, firsts, count) = match &self.0 {
            Place::Memory(hashes) => return Ok(hashes.binary_search(&hash).is_ok()),
            Place::File { file, firsts, count } => (file, firsts, *count),
        };
        let Some(page) = firsts.partition_point(|first| *first <= hash).checked_sub(1) else {
            return Ok(false);
        };
        let held = count.saturating_sub(page * PAGE).min(PAGE);
        let mut bytes = vec![0; held * WIDTH];
        file.read_exact_at(&mut bytes, (page * PAGE * WIDTH) as u64).map_err(failed)?;
        Ok(bytes.chunks_exact(WIDTH).any(|found| found == hash.to_be_bytes()))
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("can't keep hashes of keys in a scratch file", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_and_no_other_however_many_they_are() {
        for count in [0_usize, 1, 10, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY + 7] {
            let mut gathering = Gathering::new(&std::env::temp_dir());
            let key = |n: usize| hash(&n.to_le_bytes());
            (0..count).for_each(|n| gathering.push(key(n)).unwrap());
            // Some again, far from where they came before.
            let again: HashSet<u128> = (0..count).step_by(100).map(key).collect();
            again.iter().for_each(|hash| gathering.push(*hash).unwrap());
            let (known, twice) = gathering.finish().unwrap();
            assert_eq!(twice, again);
            assert!((0..count).all(|n| known.has(key(n)).unwrap()), "{count}");
            assert!((count..count + 1000).all(|n| !known.has(key(n)).unwrap()), "{count}");
            assert!(!known.has(0).unwrap() && !known.has(u128::MAX).unwrap());
        }
    }
}
