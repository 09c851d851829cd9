//! The bytes of a file, in pieces, with the checksum of what was read.

use std::io::{ErrorKind, Read, Write};

use dumprestore_driver::{Error, Result};

use super::checksum::Checksum;
use super::source::Source;

/// How much is read ahead at most.
const BUFFER: usize = 256 << 10;

pub(super) struct Input<R> {
    from: R,
    buffer: Box<[u8]>,
    /// Of the buffer: up to where it is read, is in the checksum, is filled.
    at: usize,
    summed: usize,
    end: usize,
    /// How many bytes of the file came before the buffer.
    before: u64,
    sum: Checksum,
}

impl<R: Read> Input<R> {
    pub(super) fn new(from: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { from, buffer, at: 0, summed: 0, end: 0, before: 0, sum: Checksum::new() }
    }

    /// The checksum of all that was read.
    pub(super) fn checksum(&mut self) -> u64 {
        self.sum.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.sum.value()
    }

    /// What the bytes came from, and those that were read ahead.
    pub(super) fn into_inner(self) -> (R, Vec<u8>) {
        let ahead = self.buffer[self.at..self.end].to_vec();
        (self.from, ahead)
    }

    /// Goes past bytes without anybody looking at them.
    pub(super) fn passing(&mut self) -> Passing<'_, R> {
        Passing { input: self, out: None, mark: 0, passed: 0 }
    }

    /// Goes past bytes, which are copied.
    pub(super) fn copying<'a>(&'a mut self, out: &'a mut dyn Write) -> Passing<'a, R> {
        let mark = self.at;
        Passing { input: self, out: Some(out), mark, passed: 0 }
    }

    /// Reads once more, behind what is not used yet. False at the end.
    fn fill(&mut self) -> Result<bool> {
        self.sum.update(&self.buffer[self.summed..self.at]);
        self.buffer.copy_within(self.at..self.end, 0);
        self.before += self.at as u64;
        self.end -= self.at;
        (self.at, self.summed) = (0, 0);
        loop {
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::io(format!("can't read the RDB file at byte {}", self.before), error));
                }
            }
        }
    }
}

/// Goes on in the input, and copies what is gone past if there is somewhere to copy it to. Only a [`finish`](Passing::finish) copies
/// the last of it.
pub(super) struct Passing<'a, R> {
    input: &'a mut Input<R>,
    out: Option<&'a mut dyn Write>,
    /// From where on the buffer is not copied yet.
    mark: usize,
    passed: u64,
}

impl<R: Read> Passing<'_, R> {
    /// Copies what is not copied yet. Gives how much it was altogether.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.copy()?;
        Ok(self.passed)
    }

    fn copy(&mut self) -> Result<()> {
        if let Some(out) = &mut self.out {
            let piece = &self.input.buffer[self.mark..self.input.at];
            out.write_all(piece).map_err(|error| Error::io("can't write a value", error))?;
            self.passed += piece.len() as u64;
            self.mark = self.input.at;
        }
        Ok(())
    }

    fn more(&mut self, expected: &str) -> Result<()> {
        self.copy()?;
        let more = self.input.fill()?;
        self.mark = 0;
        if more {
            return Ok(());
        }
        let end = self.input.before + self.input.end as u64;
        Err(Error::archive(format!(
            "the RDB file is cut off: it ends after {end} bytes, where {expected} was expected"
        )))
    }

    fn ready(&self) -> usize {
        self.input.end - self.input.at
    }
}

impl<R: Read> Source for Passing<'_, R> {
    fn offset(&self) -> u64 {
        self.input.before + self.input.at as u64
    }

    fn damaged(&self, offset: u64, expected: &str) -> Error {
        Error::archive(format!("the RDB file is damaged: {expected} was expected at byte {offset}"))
    }

    #[inline]
    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N]> {
        loop {
            let at = self.input.at;
            if let Some(taken) = self.input.buffer[at..self.input.end].first_chunk() {
                self.input.at = at + N;
                return Ok(*taken);
            }
            self.more(expected)?;
        }
    }

    #[inline]
    fn skip(&mut self, mut count: u64, expected: &'static str) -> Result<()> {
        loop {
            let piece = count.min(self.ready() as u64);
            self.input.at += piece as usize;
            count -= piece;
            if count == 0 {
                return Ok(());
            }
            self.more(expected)?;
        }
    }

    fn append(&mut self, mut count: u64, into: &mut Vec<u8>, expected: &'static str) -> Result<()> {
        loop {
            let piece = count.min(self.ready() as u64);
            let at = self.input.at;
            into.extend_from_slice(&self.input.buffer[at..at + piece as usize]);
            self.input.at += piece as usize;
            count -= piece;
            if count == 0 {
                return Ok(());
            }
            self.more(expected)?;
        }
    }
}
