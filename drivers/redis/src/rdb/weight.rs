//! What a value takes in a server's memory.

use dumprestore_driver::{Error, Result};

use super::Kind;
use super::slice::Slice;
use super::source::Source;
use super::walk::walk;

/// In bytes: what an allocator, a table and a list of servers take beside a string, an element or a key of them.
const BESIDE: u64 = 96;

/// In bytes, rather more than less: strings as long as they are unpacked, and what servers keep beside each of them.
///
/// # Errors
///
/// If the value is damaged.
pub(crate) fn weight(kind: Kind, value: &[u8]) -> Result<u64> {
    of(kind, &mut Slice::new(value))
}

/// The same of a value that is gone past.
pub(super) fn of<S: Source>(kind: Kind, source: &mut S) -> Result<u64> {
    let mut weighing = Weighing { source, weight: BESIDE };
    walk(kind, &mut weighing)?;
    Ok(weighing.weight)
}

/// What a key takes beside its value.
pub(crate) fn of_key(key: &[u8]) -> u64 {
    rounded(key.len() as u64).saturating_add(BESIDE)
}

/// Allocators give up to a quarter more than they are asked for.
fn rounded(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 4)
}

/// Weighs what is gone past.
struct Weighing<'s, S> {
    source: &'s mut S,
    weight: u64,
}

impl<S> Weighing<'_, S> {
    fn add(&mut self, bytes: u64) {
        self.weight = self.weight.saturating_add(rounded(bytes)).saturating_add(BESIDE);
    }
}

impl<S: Source> Source for Weighing<'_, S> {
    fn offset(&self) -> u64 {
        self.source.offset()
    }

    fn damaged(&self, offset: u64, expected: &str) -> Error {
        self.source.damaged(offset, expected)
    }

    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N]> {
        self.source.take(expected)
    }

    /// A score, an entry that is pending: something that stands by itself.
    fn skip(&mut self, count: u64, expected: &'static str) -> Result<()> {
        self.add(count);
        self.source.skip(count, expected)
    }

    fn append(&mut self, count: u64, into: &mut Vec<u8>, expected: &'static str) -> Result<()> {
        self.source.append(count, into, expected)
    }

    fn skip_string(&mut self, expected: &'static str) -> Result<()> {
        let length = self.source.skip_measured(expected)?;
        self.add(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_weighs_what_it_is_unpacked() {
        // Four bytes that stand for a million: the lengths say so.
        let packed = [0xc3, 4, 0x80, 0x00, 0x0f, 0x42, 0x40, 1, 2, 3, 4];
        let weighed = weight(Kind::String, &packed).unwrap();
        assert!((1_000_000..2_000_000).contains(&weighed), "{weighed}");
        let plain = weight(Kind::String, &[3, b'a', b'b', b'c']).unwrap();
        assert!((3..1000).contains(&plain), "{plain}");
        assert!(weight(Kind::String, &[3, b'a']).is_err());
    }

    #[test]
    fn each_element_weighs_more_than_its_bytes() {
        let members: Vec<u8> = std::iter::once(50).chain([1, b'x'].repeat(50)).collect();
        assert!(weight(Kind::Set, &members).unwrap() > 50 * 64);
    }
}
