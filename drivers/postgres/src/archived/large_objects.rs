//! A part of `large_objects/`: any number of large objects, one after the other.
//!
//! Each is a head, then pieces, then a piece of no bytes. Head and pieces are each preceded by their length in bytes,
//! as four bytes, the highest first; the head is JSON, of [`LargeObject`].

use std::io::{self, Read, Write};

use dumprestore_driver::{Error, Result};

use super::LargeObject;

/// The longest piece, in bytes.
pub(crate) const LARGEST_PIECE: usize = 1 << 20;

/// Privileges, a comment and labels: nobody has more of them.
const LARGEST_HEAD: usize = 16 << 20;

/// Begins a large object.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write_head(out: &mut impl Write, head: &LargeObject) -> Result<()> {
    let json = serde_json::to_vec(head)
        .map_err(|error| Error::defect("can't write the head of a large object").with_source(error))?;
    write_counted(out, &json)
}

/// Writes a piece of the large object that was begun, of at most [`LARGEST_PIECE`] bytes. None of no bytes is written.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write_piece(out: &mut impl Write, piece: &[u8]) -> Result<()> {
    piece.chunks(LARGEST_PIECE).try_for_each(|piece| write_counted(out, piece))
}

/// Ends the large object that was begun.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write_end(out: &mut impl Write) -> Result<()> {
    write_counted(out, &[])
}

fn write_counted(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    let length =
        u32::try_from(bytes.len()).map_err(|_| Error::defect("a large object's piece is too long"))?;
    out.write_all(&length.to_be_bytes())
        .and_then(|()| out.write_all(bytes))
        .map_err(|error| Error::io("can't write a large object", error))
}

/// Reads what was written so.
pub(crate) struct LargeObjectReader<R> {
    from: R,
    within: bool,
}

impl<R: Read> LargeObjectReader<R> {
    /// A reader of a part.
    pub(crate) fn new(from: R) -> Self {
        Self { from, within: false }
    }

    /// The head of the next large object. What is left of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive) if it is not well formed; those of the reader.
    pub(crate) fn next_head(&mut self) -> Result<Option<LargeObject>> {
        let mut rest = Vec::new();
        while self.within {
            self.next_piece(&mut rest)?;
        }
        let Some(length) = self.length()? else { return Ok(None) };
        let json = self.take(length, LARGEST_HEAD, Vec::new())?;
        self.within = true;
        serde_json::from_slice(&json).map(Some).map_err(|error| misshapen().with_source(error))
    }

    /// Replaces `piece` by the next piece of the large object whose head was read. `false`, and an empty piece, at its
    /// end.
    ///
    /// # Errors
    /// As [`next_head`](Self::next_head).
    pub(crate) fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        piece.clear();
        if !self.within {
            return Ok(false);
        }
        let length = self.length()?.ok_or_else(misshapen)?;
        *piece = self.take(length, LARGEST_PIECE, std::mem::take(piece))?;
        self.within = length > 0;
        Ok(self.within)
    }

    fn length(&mut self) -> Result<Option<usize>> {
        let mut length = [0; 4];
        let mut filled = 0;
        while filled < length.len() {
            match self.from.read(&mut length[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(misshapen()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("can't read large objects", error)),
            }
        }
        Ok(Some(u32::from_be_bytes(length) as usize))
    }

    fn take(&mut self, length: usize, limit: usize, mut into: Vec<u8>) -> Result<Vec<u8>> {
        if length > limit {
            return Err(misshapen());
        }
        into.clear();
        let read = (&mut self.from).take(length as u64).read_to_end(&mut into);
        match read.map_err(|error| Error::io("can't read large objects", error))? {
            read if read == length => Ok(into),
            _ => Err(misshapen()),
        }
    }
}

fn misshapen() -> Error {
    Error::archive("a part with large objects is not well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(oid: u32) -> LargeObject {
        LargeObject {
            oid,
            owner: "o".to_owned(),
            acl: Some(vec!["o=rw/o".to_owned()]),
            comment: None,
            security_labels: Vec::new(),
        }
    }

    fn sample() -> Vec<u8> {
        let mut part = Vec::new();
        write_head(&mut part, &head(1)).unwrap();
        write_piece(&mut part, &vec![7; LARGEST_PIECE + 3]).unwrap();
        write_end(&mut part).unwrap();
        write_head(&mut part, &head(2)).unwrap();
        write_piece(&mut part, &[]).unwrap();
        write_end(&mut part).unwrap();
        part
    }

    #[test]
    fn large_objects_come_back_as_they_were_written() {
        let part = sample();
        let mut reader = LargeObjectReader::new(&part[..]);
        let mut piece = Vec::new();
        let mut whole = Vec::new();
        assert_eq!(reader.next_head().unwrap(), Some(head(1)));
        while reader.next_piece(&mut piece).unwrap() {
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole, vec![7; LARGEST_PIECE + 3]);
        assert_eq!(reader.next_head().unwrap(), Some(head(2)));
        assert!(!reader.next_piece(&mut piece).unwrap());
        assert_eq!(reader.next_head().unwrap(), None);
        let mut passed_over = LargeObjectReader::new(&part[..]);
        passed_over.next_head().unwrap();
        assert_eq!(passed_over.next_head().unwrap(), Some(head(2)));
    }

    #[test]
    fn a_part_cut_off_anywhere_is_an_error_but_between_large_objects() {
        let part = sample();
        let first = {
            let mut second = Vec::new();
            write_head(&mut second, &head(2)).unwrap();
            write_end(&mut second).unwrap();
            part.len() - second.len()
        };
        let cuts = (1..200).chain(first - 8..part.len()).filter(|&cut| cut != first);
        for cut in cuts {
            let mut reader = LargeObjectReader::new(&part[..cut]);
            let ended = loop {
                match reader.next_head() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(ended.is_err(), "cut at {cut}");
        }
    }
}
