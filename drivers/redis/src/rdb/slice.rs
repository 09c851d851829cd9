//! A value in memory as a source.

use dumprestore_driver::{Error, Result};

use super::source::Source;

/// What is left of a value, and how much of it came before.
pub(super) struct Slice<'a> {
    left: &'a [u8],
    whole: usize,
}

impl<'a> Slice<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { left: value, whole: value.len() }
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result<()> {
        if self.left.is_empty() { Ok(()) } else { Err(self.damaged(self.offset(), "the end of the value")) }
    }

    fn piece(&mut self, count: u64, expected: &str) -> Result<&'a [u8]> {
        let piece = usize::try_from(count).ok().and_then(|count| self.left.split_at_checked(count));
        let Some((piece, left)) = piece else {
            return Err(Error::archive(format!(
                "the value is damaged: it ends after {} bytes, within {expected} that began at byte {}",
                self.whole,
                self.offset()
            )));
        };
        self.left = left;
        Ok(piece)
    }
}

impl Source for Slice<'_> {
    fn offset(&self) -> u64 {
        (self.whole - self.left.len()) as u64
    }

    fn damaged(&self, offset: u64, expected: &str) -> Error {
        Error::archive(format!("the value is damaged: {expected} was expected at byte {offset}"))
    }

    #[inline]
    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N]> {
        if let Some((taken, left)) = self.left.split_first_chunk() {
            self.left = left;
            return Ok(*taken);
        }
        self.piece(N as u64, expected).map(|_| [0; N])
    }

    fn skip(&mut self, count: u64, expected: &'static str) -> Result<()> {
        self.piece(count, expected).map(drop)
    }

    fn append(&mut self, count: u64, into: &mut Vec<u8>, expected: &'static str) -> Result<()> {
        into.extend_from_slice(self.piece(count, expected)?);
        Ok(())
    }
}
