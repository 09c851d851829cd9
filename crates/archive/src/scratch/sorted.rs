//! Sorts records of one length, more of them than memory has room for.

use crate::error::Result;
use crate::scratch::{Scratch, read_at, write_at};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;

/// So many bytes are sorted at a time.
const AT_ONCE: usize = 4 << 20;
/// Of each sorted run so many bytes are in memory while runs are merged.
const AHEAD: usize = 32 << 10;

/// Takes records, which are sorted by their bytes.
pub(crate) struct Sorter<const N: usize> {
    scratch: Scratch,
    records: Vec<[u8; N]>,
    most: usize,
    file: Option<File>,
    /// Where each run ends in the file, in bytes.
    ends: Vec<u64>,
}

impl<const N: usize> Sorter<N> {
    pub(crate) fn new(scratch: Scratch) -> Self {
        Self::at_once(scratch, AT_ONCE / N)
    }

    fn at_once(scratch: Scratch, most: usize) -> Self {
        Self { scratch, records: Vec::new(), most, file: None, ends: Vec::new() }
    }

    pub(crate) fn push(&mut self, record: [u8; N]) -> Result<()> {
        if self.records.len() >= self.most {
            self.spill()?;
        }
        self.records.push(record);
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.file = self.scratch.file();
        }
        let Some(file) = &self.file else {
            self.most = usize::MAX;
            return Ok(());
        };
        self.records.sort_unstable();
        let at = self.ends.last().copied().unwrap_or(0);
        write_at(file, self.records.as_flattened(), at)?;
        self.ends.push(at + (self.records.len() * N) as u64);
        self.records.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Sorted<N>> {
        if self.file.is_some() && !self.records.is_empty() {
            self.spill()?;
        }
        self.records.sort_unstable();
        self.records.shrink_to_fit();
        Ok(Sorted { records: self.records, file: self.file, ends: self.ends })
    }
}

/// Records that can be gone through in their order, several times.
pub(crate) struct Sorted<const N: usize> {
    records: Vec<[u8; N]>,
    file: Option<File>,
    ends: Vec<u64>,
}

impl<const N: usize> Sorted<N> {
    pub(crate) fn iter(&self) -> Result<Merge<'_, N>> {
        let mut merge = Merge { memory: self.records.iter(), runs: Vec::new(), heads: BinaryHeap::new() };
        let Some(file) = &self.file else { return Ok(merge) };
        let mut at = 0;
        for &end in &self.ends {
            merge.runs.push(Run { file, at, end, ahead: Vec::new(), used: 0 });
            at = end;
        }
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }
}

struct Run<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    ahead: Vec<u8>,
    used: usize,
}

impl Run<'_> {
    fn next<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        if self.used == self.ahead.len() {
            let len = (self.end - self.at).min((AHEAD / N * N) as u64) as usize;
            self.ahead.resize(len, 0);
            read_at(self.file, &mut self.ahead, self.at)?;
            self.at += len as u64;
            self.used = 0;
        }
        let record = self.ahead[self.used..].first_chunk().copied();
        self.used += if record.is_some() { N } else { 0 };
        Ok(record)
    }
}

/// Goes through sorted runs, or what is sorted in memory.
pub(crate) struct Merge<'a, const N: usize> {
    memory: std::slice::Iter<'a, [u8; N]>,
    runs: Vec<Run<'a>>,
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Merge<'_, N> {
    fn advance(&mut self, run: usize) -> Result<()> {
        if let Some(record) = self.runs[run].next()? {
            self.heads.push(Reverse((record, run)));
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<[u8; N]>> {
        if let Some(record) = self.memory.next() {
            return Ok(Some(*record));
        }
        let Some(Reverse((record, run))) = self.heads.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back_sorted_from_memory_and_from_runs(
            records in proptest::collection::vec(any::<[u8; 3]>(), 0..300),
            most in 1usize..40,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut expected = records.clone();
            expected.sort_unstable();
            for folder in [Some(folder.path().to_owned()), None] {
                let mut sorter = Sorter::at_once(Scratch::new(folder), most);
                records.iter().for_each(|&record| sorter.push(record).unwrap());
                let sorted = sorter.finish().unwrap();
                for _ in 0..2 {
                    let mut merge = sorted.iter().unwrap();
                    let found: Vec<_> = std::iter::from_fn(|| merge.next().unwrap()).collect();
                    prop_assert_eq!(&found, &expected);
                }
            }
        }
    }

    #[test]
    fn runs_that_a_scratch_file_has_lost_end_in_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::at_once(Scratch::new(Some(folder.path().to_owned())), 20_000);
        (0..60_000u32).for_each(|at| sorter.push(at.to_be_bytes()).unwrap());
        let sorted = sorter.finish().unwrap();
        // The last run is lost in the midst of it.
        sorted.file.as_ref().unwrap().set_len(60_000 * 4 - 30_000).unwrap();
        let mut merge = sorted.iter().unwrap();
        let end = std::iter::repeat_with(|| merge.next()).find(|next| !matches!(next, Ok(Some(_))));
        assert!(matches!(end, Some(Err(_))));
    }
}
