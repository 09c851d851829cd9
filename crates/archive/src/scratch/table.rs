//! Looks numbers up by a key.

use crate::error::Result;
use crate::scratch::{Scratch, Spool};

/// So many bytes of it are in memory at the most, if there is a folder for scratch files.
const IN_MEMORY: usize = 16 << 20;
const RECORD: usize = 12;
/// The keys of so many records are found by one that is in memory.
const STRETCH: usize = 256;

/// Pairs of a key and a number, sorted by the key. Several can have the same key.
pub(crate) struct Table {
    spool: Spool,
    /// The key of the first record of each stretch.
    firsts: Vec<u64>,
    len: usize,
}

impl Table {
    pub(crate) fn new(scratch: Scratch) -> Self {
        Self { spool: Spool::new(scratch, IN_MEMORY), firsts: Vec::new(), len: 0 }
    }

    /// Adds a pair, the key of which must not be less than those before.
    pub(crate) fn push(&mut self, key: u64, number: u32) -> Result<()> {
        if self.len.is_multiple_of(STRETCH) {
            self.firsts.push(key);
        }
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&key.to_be_bytes());
        record[8..].copy_from_slice(&number.to_be_bytes());
        self.spool.append(&record)?;
        self.len += 1;
        Ok(())
    }

    /// All numbers of that key.
    pub(crate) fn find(&self, key: u64) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let mut bytes = [0; RECORD * STRETCH];
        let first = self.firsts.partition_point(|&first| first < key).saturating_sub(1);
        for stretch in first..self.firsts.len() {
            let start = stretch * STRETCH;
            let bytes = &mut bytes[..STRETCH.min(self.len - start) * RECORD];
            self.spool.read((start * RECORD) as u64, bytes)?;
            let records = bytes.as_chunks::<RECORD>().0;
            let from = records.partition_point(|record| read(record).0 < key);
            for (at, number) in records[from..].iter().map(read) {
                if at != key {
                    return Ok(found);
                }
                found.push(number);
            }
        }
        Ok(found)
    }
}

fn read(record: &[u8; RECORD]) -> (u64, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *record;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes([i, j, k, l]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_finds_all_numbers_of_a_key_and_none_of_another() {
        let mut table = Table::new(Scratch::default());
        assert!(table.find(5).unwrap().is_empty());
        // Keys 0, 3, 6, …; each seventh of them 300 times, so over the bound of a stretch.
        let mut number = 0;
        let mut expected = Vec::new();
        for key in (0..3000).step_by(3) {
            let times = if key % 7 == 0 { 300 } else { 1 };
            expected.push((key, (number..number + times).collect::<Vec<u32>>()));
            for _ in 0..times {
                table.push(key, number).unwrap();
                number += 1;
            }
        }
        for (key, numbers) in expected {
            assert_eq!(table.find(key).unwrap(), numbers, "{key}");
            assert!(table.find(key + 1).unwrap().is_empty());
        }
        assert!(table.find(u64::MAX).unwrap().is_empty());
    }

    #[test]
    fn what_a_scratch_file_has_lost_is_not_taken_for_a_key_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::new(Scratch::new(Some(folder.path().to_owned())));
        table.spool = Spool::new(Scratch::new(Some(folder.path().to_owned())), 4096);
        (0..10_000).for_each(|key| table.push(key, 7).unwrap());
        table.spool.lose_file();
        assert_eq!(table.find(3).unwrap(), [7]);
        assert!(table.find(8_000).is_err());
    }
}
