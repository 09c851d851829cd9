//! Lists that servers keep packed in one string.

use super::source::append_number;

/// An element of a packed list: bytes as they stand there, or a number.
#[derive(Clone, Copy)]
pub(super) enum Packed<'a> {
    Bytes(&'a [u8]),
    Number(i64),
}

impl<'a> Packed<'a> {
    /// The element as a string; `digits` is for that of a number.
    pub(super) fn string<'b>(self, digits: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => {
                digits.clear();
                append_number(digits, number);
                digits
            }
        }
    }
}

/// The elements of a packed list. None in place of an element: it is damaged there, and nothing comes after.
pub(super) struct Elements<'a> {
    left: &'a [u8],
    next: fn(&'a [u8], usize) -> Option<Next<'a>>,
    given: usize,
}

/// An element, if it was not the end, and what is left.
type Next<'a> = Option<(Packed<'a>, &'a [u8])>;

pub(super) fn listpack(packed: &[u8]) -> Option<Elements<'_>> {
    let (header, left) = packed.split_first_chunk::<6>()?;
    let [a, b, c, d, ..] = *header;
    (u32::from_le_bytes([a, b, c, d]) as usize == packed.len()).then_some(Elements {
        left,
        next: in_listpack,
        given: 0,
    })
}

pub(super) fn ziplist(packed: &[u8]) -> Option<Elements<'_>> {
    let (header, left) = packed.split_first_chunk::<10>()?;
    let [a, b, c, d, ..] = *header;
    (u32::from_le_bytes([a, b, c, d]) as usize == packed.len()).then_some(Elements {
        left,
        next: in_ziplist,
        given: 0,
    })
}

pub(super) fn zipmap(packed: &[u8]) -> Option<Elements<'_>> {
    Some(Elements { left: packed.get(1..)?, next: in_zipmap, given: 0 })
}

impl<'a> Iterator for Elements<'a> {
    type Item = Option<Packed<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let next = (self.next)(self.left, self.given);
        self.left = &[];
        self.given += 1;
        match next {
            Some(None) => None,
            Some(Some((element, left))) if !left.is_empty() => {
                self.left = left;
                Some(Some(element))
            }
            _ => Some(None),
        }
    }
}

/// The end is said by this byte, and nothing follows.
fn end(left: &[u8]) -> bool {
    left == [0xff]
}

fn in_listpack(left: &[u8], _: usize) -> Option<Next<'_>> {
    let (first, rest) = left.split_first()?;
    let (element, rest) = match first {
        0x00..=0x7f => (Packed::Number(i64::from(*first)), rest),
        0x80..=0xbf => bytes(rest, usize::from(first & 0x3f))?,
        0xc0..=0xdf => {
            let (low, rest) = rest.split_first()?;
            let number = i16::from(first & 0x1f) << 8 | i16::from(*low);
            // Thirteen bits, of which the highest says: negative.
            (Packed::Number(i64::from(number << 3 >> 3)), rest)
        }
        0xe0..=0xef => {
            let (low, rest) = rest.split_first()?;
            bytes(rest, usize::from(first & 0x0f) << 8 | usize::from(*low))?
        }
        0xf0 => {
            let (length, rest) = rest.split_first_chunk()?;
            bytes(rest, u32::from_le_bytes(*length) as usize)?
        }
        0xf1 => number::<2>(rest)?,
        0xf2 => number::<3>(rest)?,
        0xf3 => number::<4>(rest)?,
        0xf4 => number::<8>(rest)?,
        0xff => return end(left).then_some(None),
        0xf5..=0xfe => return None,
    };
    let length = left.len() - rest.len();
    Some(Some((element, after_length(length, rest)?)))
}

/// An element of a listpack is followed by its own length, for those who read it backwards: seven bits a byte, the highest first, all
/// but the first with their highest bit set. Of 16383 and the like Redis makes a byte more than it needs, Valkey doesn't.
fn after_length(length: usize, left: &[u8]) -> Option<&[u8]> {
    let needed = (1..=5).find(|bytes| length >> (7 * bytes) == 0)?;
    let odd = needed > 1 && length + 1 == 1 << (7 * needed);
    (needed..=needed + usize::from(odd)).find_map(|bytes| {
        let (said, rest) = left.split_at_checked(bytes)?;
        let (first, others) = said.split_first()?;
        let well_formed = *first < 0x80 && others.iter().all(|byte| *byte >= 0x80);
        let value = said.iter().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
        (well_formed && value == length).then_some(rest)
    })
}

fn in_ziplist(left: &[u8], _: usize) -> Option<Next<'_>> {
    let (first, rest) = left.split_first()?;
    // The length of the element before.
    let rest = match first {
        0xff => return end(left).then_some(None),
        0xfe => rest.get(4..)?,
        _ => rest,
    };
    let (first, rest) = rest.split_first()?;
    Some(Some(match first {
        0x00..=0x3f => bytes(rest, usize::from(*first))?,
        0x40..=0x7f => {
            let (low, rest) = rest.split_first()?;
            bytes(rest, usize::from(first & 0x3f) << 8 | usize::from(*low))?
        }
        0x80..=0xbf => {
            let (length, rest) = rest.split_first_chunk()?;
            bytes(rest, u32::from_be_bytes(*length) as usize)?
        }
        0xc0 => number::<2>(rest)?,
        0xd0 => number::<4>(rest)?,
        0xe0 => number::<8>(rest)?,
        0xf0 => number::<3>(rest)?,
        0xfe => number::<1>(rest)?,
        0xf1..=0xfd => (Packed::Number(i64::from(*first) - 0xf1), rest),
        _ => return None,
    }))
}

/// Fields and values alternate; each value is followed by as many unused bytes as is said before it.
fn in_zipmap(left: &[u8], given: usize) -> Option<Next<'_>> {
    let (first, rest) = left.split_first()?;
    let (length, rest) = match first {
        0xff => return end(left).then_some(None),
        0xfe => {
            let (length, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        _ => (usize::from(*first), rest),
    };
    if given.is_multiple_of(2) {
        return Some(Some(bytes(rest, length)?));
    }
    let (unused, rest) = rest.split_first()?;
    let (element, rest) = bytes(rest, length)?;
    Some(Some((element, rest.get(usize::from(*unused)..)?)))
}

fn bytes(left: &[u8], length: usize) -> Option<(Packed<'_>, &[u8])> {
    let (bytes, left) = left.split_at_checked(length)?;
    Some((Packed::Bytes(bytes), left))
}

/// A number of N bytes, the lowest first.
fn number<const N: usize>(left: &[u8]) -> Option<(Packed<'_>, &[u8])> {
    let (low, left) = left.split_first_chunk::<N>()?;
    let mut all = [if low[N - 1] >= 0x80 { 0xff } else { 0 }; 8];
    all[..N].copy_from_slice(low);
    Some((Packed::Number(i64::from_le_bytes(all)), left))
}

/// The numbers of a set of nothing else: how long each is, how many, and they. None if it is damaged.
pub(super) fn intset(packed: &[u8]) -> Option<impl Iterator<Item = i64> + '_> {
    let (header, numbers) = packed.split_first_chunk::<8>()?;
    let [a, b, c, d, e, f, g, h] = *header;
    let (each, count) =
        (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize);
    if !matches!(each, 2 | 4 | 8) || each.checked_mul(count)? != numbers.len() {
        return None;
    }
    Some(numbers.chunks_exact(each).map(|number| {
        let mut all = [if number[number.len() - 1] >= 0x80 { 0xff } else { 0 }; 8];
        all[..number.len()].copy_from_slice(number);
        i64::from_le_bytes(all)
    }))
}
