//! Compares what should be in the file with what is.

use crate::error::Error;
use crate::reader::range::RangeRead;
use std::io::{self, Write};

/// Takes the bytes that should stand from `at` on, and fails where the file has others.
pub(crate) struct Compare<'a> {
    pub(crate) file: &'a dyn RangeRead,
    pub(crate) at: u64,
    /// What these bytes are, for the error.
    pub(crate) what: &'a str,
    pub(crate) scratch: Vec<u8>,
}

impl<'a> Compare<'a> {
    pub(crate) fn new(file: &'a dyn RangeRead, at: u64, what: &'a str) -> Self {
        Self { file, at, what, scratch: Vec::new() }
    }
}

impl Write for Compare<'_> {
    fn write(&mut self, expected: &[u8]) -> io::Result<usize> {
        self.scratch.resize(expected.len(), 0);
        self.file.read_exact_at(&mut self.scratch, self.at)?;
        if let Some(place) = self.scratch.iter().zip(expected).position(|(is, should)| is != should) {
            let place = self.at + place as u64;
            let message =
                format!("{} differs from what the manifest says, at byte {place} of the file", self.what);
            return Err(Error::damaged(message).into());
        }
        self.at += expected.len() as u64;
        Ok(expected.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
