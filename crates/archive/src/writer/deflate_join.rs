//! Makes a deflate stream one that others can stand behind.
//!
//! The fast encoder makes whole streams only: its last block says that it is the last, and ends at any bit.
//! Blocks of a large part are compressed apart and then joined, so that mark must go, and the end must come to a
//! whole byte by an empty stored block, as a flush of zlib makes it. To find both the stream is walked once,
//! code by code, without decoding.

/// Turns a whole stream of `content` bytes into one that can be continued. False if it is not such a stream as
/// the encoder makes; then nothing has been changed.
pub(crate) fn make_joinable(stream: &mut Vec<u8>, content: usize) -> bool {
    let Some(Walked { last_block, end }) = walk(stream, content) else { return false };
    stream[last_block / 8] &= !(1 << (last_block % 8));
    // The empty block's header is three zero bits. They may be padding already.
    stream.resize((end + 3).div_ceil(8), 0);
    stream.extend_from_slice(&[0x00, 0x00, 0xff, 0xff]);
    true
}

/// Places in bits.
struct Walked {
    last_block: usize,
    end: usize,
}

/// Walks to the end. None unless the stream holds just so much content and nothing behind it but padding: a
/// walk that took a wrong turn would not end there.
fn walk(stream: &[u8], content: usize) -> Option<Walked> {
    let mut bits = Bits { stream, at: 0 };
    let mut produced = 0;
    loop {
        let last_block = bits.at;
        let header = bits.take(3);
        produced += match header >> 1 {
            0 => stored(&mut bits)?,
            1 => coded(&mut bits, &Codes::fixed()?)?,
            2 => {
                let codes = Codes::read(&mut bits)?;
                coded(&mut bits, &codes)?
            }
            _ => return None,
        };
        if header & 1 == 1 {
            let end = bits.at;
            let padding = if end.is_multiple_of(8) { 0 } else { stream.last()? >> (end % 8) };
            let whole = end.div_ceil(8) == stream.len() && padding == 0 && produced == content;
            return whole.then_some(Walked { last_block, end });
        }
    }
}

struct Bits<'a> {
    stream: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// At least 57 bits from here on; zeros behind the end.
    fn peek(&self) -> u64 {
        let rest = self.stream.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        word >> (self.at % 8)
    }

    fn take(&mut self, count: u32) -> usize {
        let bits = self.peek() & ((1 << count) - 1);
        self.at += count as usize;
        bits as usize
    }
}

fn stored(bits: &mut Bits<'_>) -> Option<usize> {
    bits.at = bits.at.next_multiple_of(8);
    let (len, complement) = (bits.take(16), bits.take(16));
    bits.at += len * 8;
    (len ^ complement == 0xffff && bits.at <= bits.stream.len() * 8).then_some(len)
}

/// Steps over the codes of a block. Returns the bytes they stand for.
fn coded(bits: &mut Bits<'_>, codes: &Codes) -> Option<usize> {
    let mut produced = 0;
    while bits.at <= bits.stream.len() * 8 {
        // 20 bits at most for a length with its extra bits, 28 for a distance.
        let word = bits.peek();
        let code = codes.lengths.get(word)?;
        let extra = word >> code.bits & ((1 << code.extra) - 1);
        bits.at += usize::from(code.bits + code.extra);
        match code.value {
            END => return Some(produced),
            LITERAL => produced += 1,
            length => {
                produced += usize::from(length) + extra as usize;
                let distance = codes.distances.get(word >> (code.bits + code.extra))?;
                bits.at += usize::from(distance.bits + distance.extra);
            }
        }
    }
    None
}

const END: u16 = 0;
/// No match is as short.
const LITERAL: u16 = 1;

/// What a code stands for. No bits: it is none.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u8,
    extra: u8,
    value: u16,
}

/// Codes by the bits that follow, as many as the longest code has.
struct Table {
    codes: Vec<Code>,
}

impl Table {
    fn get(&self, word: u64) -> Option<Code> {
        let code = *self.codes.get(word as usize & (self.codes.len() - 1))?;
        (code.bits > 0).then_some(code)
    }

    /// The canonical codes of these lengths.
    fn new(lengths: &[u8], meaning: impl Fn(usize) -> (u8, u16)) -> Option<Self> {
        let longest = *lengths.iter().max()?;
        let mut table = vec![Code::default(); 1 << longest];
        let mut code = 0usize;
        for bits in 1..=longest {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, length)| **length == bits) {
                let (extra, value) = meaning(symbol);
                let first = (code as u16).reverse_bits() as usize >> (16 - bits);
                table.get(first)?;
                for slot in table.iter_mut().skip(first).step_by(1 << bits) {
                    *slot = Code { bits, extra, value };
                }
                code += 1;
            }
            code <<= 1;
        }
        Some(Self { codes: table })
    }
}

struct Codes {
    lengths: Table,
    distances: Table,
}

impl Codes {
    fn new(lengths: &[u8], distances: &[u8]) -> Option<Self> {
        Some(Self { lengths: Table::new(lengths, length)?, distances: Table::new(distances, distance)? })
    }

    fn fixed() -> Option<Self> {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        Self::new(&lengths, &[5; 30])
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (lengths, distances, count) = (bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4);
        let mut of_codes = [0; 19];
        for at in &ORDER[..count.min(19)] {
            of_codes[*at] = bits.take(3) as u8;
        }
        let table = Table::new(&of_codes, |symbol| (0, symbol as u16))?;
        let mut all = Vec::with_capacity(320);
        while all.len() < lengths + distances {
            let code = table.get(bits.peek())?;
            bits.at += usize::from(code.bits);
            let (value, times) = match code.value {
                16 => (*all.last()?, bits.take(2) + 3),
                17 => (0, bits.take(3) + 3),
                18 => (0, bits.take(7) + 11),
                value => (value as u8, 1),
            };
            all.resize(all.len() + times, value);
        }
        (all.len() == lengths + distances).then_some(())?;
        Self::new(&all[..lengths], &all[lengths..])
    }
}

/// Extra bits and least length of a symbol.
fn length(symbol: usize) -> (u8, u16) {
    const EXTRA: [u8; 29] =
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    const LEAST: [u16; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163,
        195, 227, 258,
    ];
    match symbol.checked_sub(257) {
        None if symbol == 256 => (0, END),
        None => (0, LITERAL),
        Some(index) => (EXTRA.get(index).copied().unwrap_or(0), LEAST.get(index).copied().unwrap_or(0)),
    }
}

/// Extra bits of a symbol. How far back it points does not matter here.
fn distance(symbol: usize) -> (u8, u16) {
    (u8::try_from((symbol / 2).saturating_sub(1)).unwrap_or(0), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::DeflateDecoder;
    use libdeflater::{CompressionLvl, Compressor};
    use proptest::prelude::*;
    use std::io::Read;

    fn compress(content: &[u8], level: i32) -> Vec<u8> {
        let mut encoder = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut stream = vec![0; encoder.deflate_compress_bound(content.len())];
        let written = encoder.deflate_compress(content, &mut stream).unwrap();
        stream.truncate(written);
        stream
    }

    fn assert_joins(contents: &[Vec<u8>], level: i32) {
        let mut joined = Vec::new();
        for content in contents {
            let mut stream = compress(content, level);
            assert!(make_joinable(&mut stream, content.len()));
            joined.extend(stream);
        }
        joined.extend([0x03, 0x00]);
        let mut decoded = Vec::new();
        DeflateDecoder::new(&joined[..]).read_to_end(&mut decoded).unwrap();
        assert!(decoded == contents.concat());
    }

    fn content() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            ("[a-z ]{1,20}", 0..3000usize).prop_map(|(words, times)| words.repeat(times).into_bytes()),
            "[0-9a-f\t\n]{0,2000}".prop_map(String::into_bytes),
            (any::<u8>(), 0..200_000usize).prop_map(|(byte, len)| vec![byte; len]),
            (any::<u32>(), 0..100_000u32).prop_map(|(seed, len)| {
                let mix = |n: u32| (n ^ seed).wrapping_mul(0x9e37_79b9) >> 24;
                (0..len).map(|n| (mix(n) as u8) >> (n / 30_000)).collect()
            }),
        ];
        proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn joined_streams_decode_to_all_their_contents(
            contents in proptest::collection::vec(content(), 1..4), level in 1..3i32
        ) {
            assert_joins(&contents, level);
        }

        #[test]
        fn what_is_no_such_stream_is_left_alone(content in content(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut stream = compress(&content, 1);
            let at = at.index(stream.len());
            stream[at] ^= 1u8 << bit;
            let before = stream.clone();
            prop_assert!(make_joinable(&mut stream, content.len()) || stream == before);
            stream.push(0);
            let before = stream.clone();
            prop_assert!(make_joinable(&mut stream, content.len() + 1) || stream == before);
        }
    }
}
