//! One part after the other, out of the text of the manifest.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::RECORD_BYTES;
use crate::manifest::Part;
use crate::name::MANIFEST;
use crate::reader::range::RangeRead;
use crate::reader::skeleton::Extent;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are read ahead at the most.
const AHEAD: usize = 128 << 10;

/// The bytes of `manifest.json`, in memory or where they lie.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) file: Arc<dyn RangeRead>,
    /// Where they begin in it.
    pub(crate) start: u64,
}

/// Reads the members of a list.
pub(crate) struct Elements {
    text: Text,
    /// What of the list has not been read yet.
    left: Range<u64>,
    buffer: Vec<u8>,
    /// How much of the buffer is used up.
    used: usize,
    ahead: usize,
    first: bool,
}

impl Elements {
    /// The elements in that stretch of the text. `ahead` bytes are read at first.
    pub(crate) fn new(text: Text, stretch: Range<u64>, ahead: usize) -> Self {
        Self { text, left: stretch, buffer: Vec::new(), used: 0, ahead, first: true }
    }

    /// Reads on. False at the end of the list.
    fn fill(&mut self) -> Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let left = self.left.end - self.left.start;
        let more = left.min(self.ahead as u64) as usize;
        let filled = self.buffer.len();
        self.buffer.resize(filled + more, 0);
        let at = self.text.start + self.left.start;
        let read = self.text.file.read_exact_at(&mut self.buffer[filled..], at);
        read.map_err(|e| Error::io("reading the archive", e).at(MANIFEST))?;
        self.left.start += more as u64;
        self.ahead = (self.ahead * 2).min(AHEAD);
        Ok(more > 0)
    }

    /// The next byte that is no space; it stays.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let rest = &self.buffer[self.used..];
            match rest.iter().position(|byte| !b" \t\r\n".contains(byte)) {
                Some(at) => {
                    self.used += at;
                    return Ok(Some(rest[at]));
                }
                None => self.used = self.buffer.len(),
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The next part, and where it stands in the text.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Part)>> {
        let mut mark = self.peek()?;
        if !std::mem::replace(&mut self.first, false) {
            match mark {
                None => return Ok(None),
                Some(b',') => self.used += 1,
                Some(_) => return Err(broken("a comma is missing in a list of parts")),
            }
            mark = self.peek()?;
        } else if mark.is_none() {
            return Ok(None);
        }
        if mark != Some(b'{') {
            return Err(broken("a list of parts has something else in it"));
        }
        let (mut extent, mut seen) = (Extent::default(), 0);
        let len = loop {
            if let Some(end) = extent.end(&self.buffer[self.used + seen..]) {
                break seen + end;
            }
            seen = self.buffer.len() - self.used;
            if seen > RECORD_BYTES {
                let message = format!("the record of a part is larger than {RECORD_BYTES} bytes");
                return Err(Error::new(ErrorKind::Limit, message).at(MANIFEST));
            }
            if !self.fill()? {
                return Err(broken("a list of parts ends within one"));
            }
        };
        let at = self.left.start - (self.buffer.len() - self.used) as u64;
        let part = serde_json::from_slice(&self.buffer[self.used..][..len]).map_err(broken)?;
        self.used += len;
        Ok(Some((at, part)))
    }
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::damaged(format!("it is not a manifest: {why}")).at(MANIFEST)
}
