//! What values and files consist of: lengths and strings.

use dumprestore_driver::{Error, Result};

use super::lzf;

/// The longest string that is taken into memory: no server has keys or elements of more by default.
const LONGEST: u64 = 512 << 20;

/// Bytes that are read from front to back. What is expected is said in words, for the error.
pub(super) trait Source {
    /// How many bytes came before.
    fn offset(&self) -> u64;

    /// An error at that offset.
    fn damaged(&self, offset: u64, expected: &str) -> Error;

    /// The next few bytes.
    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N]>;

    /// Goes past so many bytes.
    fn skip(&mut self, count: u64, expected: &'static str) -> Result<()>;

    /// Appends so many bytes, as they come.
    fn append(&mut self, count: u64, into: &mut Vec<u8>, expected: &'static str) -> Result<()>;

    /// The next byte.
    fn byte(&mut self, expected: &'static str) -> Result<u8> {
        Ok(self.take::<1>(expected)?[0])
    }

    /// A length or another number.
    fn length(&mut self, expected: &'static str) -> Result<u64> {
        let offset = self.offset();
        match length(self, expected)? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.damaged(offset, expected)),
        }
    }

    /// Goes past a string.
    fn skip_string(&mut self, expected: &'static str) -> Result<()> {
        self.skip_measured(expected).map(drop)
    }

    /// Goes past a string. Gives how long it says that it is, unpacked.
    fn skip_measured(&mut self, expected: &'static str) -> Result<u64> {
        let offset = self.offset();
        let (there, length) = match length(self, expected)? {
            Length::Plain(length) => (length, length),
            Length::Encoded(INT8) => (1, 4),
            Length::Encoded(INT16) => (2, 6),
            Length::Encoded(INT32) => (4, 11),
            Length::Encoded(LZF) => (self.length(expected)?, self.length(expected)?),
            Length::Encoded(_) => return Err(self.damaged(offset, expected)),
        };
        self.skip(there, expected)?;
        Ok(length)
    }

    /// Reads a string into `into`, whose content goes: numbers become digits, what is compressed is not so any longer.
    fn string(&mut self, into: &mut Vec<u8>, expected: &'static str) -> Result<()> {
        into.clear();
        let offset = self.offset();
        match length(self, expected)? {
            Length::Plain(length) => {
                within(length, offset)?;
                self.append(length, into, expected)
            }
            Length::Encoded(INT8) => number(into, i8::from_le_bytes(self.take(expected)?)),
            Length::Encoded(INT16) => number(into, i16::from_le_bytes(self.take(expected)?)),
            Length::Encoded(INT32) => number(into, i32::from_le_bytes(self.take(expected)?)),
            Length::Encoded(LZF) => self.compressed_string(into, offset, expected),
            Length::Encoded(_) => Err(self.damaged(offset, expected)),
        }
    }

    /// What follows the byte that says: compressed.
    fn compressed_string(&mut self, into: &mut Vec<u8>, offset: u64, expected: &'static str) -> Result<()> {
        let packed_length = self.length(expected)?;
        let length = self.length(expected)?;
        within(packed_length, offset)?;
        within(length, offset)?;
        let mut packed = Vec::new();
        self.append(packed_length, &mut packed, expected)?;
        if lzf::decompress(&packed, length as usize, into) {
            Ok(())
        } else {
            Err(self.damaged(offset, expected))
        }
    }
}

const INT8: u8 = 0;
const INT16: u8 = 1;
const INT32: u8 = 2;
const LZF: u8 = 3;

enum Length {
    Plain(u64),
    /// Not a length: how a string is encoded.
    Encoded(u8),
}

#[inline]
fn length<S: Source + ?Sized>(source: &mut S, expected: &'static str) -> Result<Length> {
    let first = source.byte(expected)?;
    Ok(match first {
        0x00..=0x3f => Length::Plain(u64::from(first)),
        0x40..=0x7f => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(source.byte(expected)?)),
        0x80 => Length::Plain(u64::from(u32::from_be_bytes(source.take(expected)?))),
        0x81 => Length::Plain(u64::from_be_bytes(source.take(expected)?)),
        0x82..=0xbf => return Err(source.damaged(source.offset() - 1, expected)),
        0xc0..=0xff => Length::Encoded(first & 0x3f),
    })
}

fn within(length: u64, offset: u64) -> Result<()> {
    if length <= LONGEST {
        return Ok(());
    }
    Err(Error::archive(format!(
        "a string of {length} bytes at byte {offset} is longer than keys and elements can be"
    )))
}

fn number(into: &mut Vec<u8>, number: impl Into<i64>) -> Result<()> {
    append_number(into, number.into());
    Ok(())
}

/// Appends the digits of a number.
pub(super) fn append_number(into: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        into.push(b'-');
    }
    into.extend_from_slice(&digits[at..]);
}

/// Appends a length as it stands in files.
pub(super) fn append_length(into: &mut Vec<u8>, length: u64) {
    if length < 1 << 6 {
        into.push(length as u8);
    } else if length < 1 << 14 {
        into.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes());
    } else if let Ok(length) = u32::try_from(length) {
        into.push(0x80);
        into.extend_from_slice(&length.to_be_bytes());
    } else {
        into.push(0x81);
        into.extend_from_slice(&length.to_be_bytes());
    }
}
