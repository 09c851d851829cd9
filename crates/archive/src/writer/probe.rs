//! Finds content that does not compress: half of real media.

use crate::error::Result;
use crate::method::Method;
use crate::writer::encode::Encoder;

const SAMPLE: usize = 64 << 10;
/// A second look into the middle and at the end, for a compressed head says little of a large part.
const GLANCE: usize = 16 << 10;

/// How formats that are compressed themselves begin.
const MAGIC: [(usize, &[u8]); 16] = [
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"GIF8"),
    (0, b"\x1f\x8b\x08"),
    (0, b"\x28\xb5\x2f\xfd"),
    (0, b"\xfd7zXZ\0"),
    (0, b"BZh"),
    (0, b"7z\xbc\xaf\x27\x1c"),
    (0, b"Rar!\x1a\x07"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"wOF2"),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"age-encryption.org/"),
    (4, b"ftyp"),
    (8, b"WEBPVP8"),
];

fn has_magic(content: &[u8]) -> bool {
    MAGIC.iter().any(|(at, magic)| content.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
}

/// The method for a large part that begins so: `asked`, or none if it would gain nothing.
pub(crate) fn method_for_large(asked: Method, start: &[u8], encoder: &mut Encoder) -> Result<Method> {
    let in_vain = asked == Method::Store || has_magic(start) || !compresses(start, encoder)?;
    Ok(if in_vain { Method::Store } else { asked })
}

/// The method to try on a whole part; the caller stores it if that gained nothing.
pub(crate) fn method_for_small(asked: Method, content: &[u8], encoder: &mut Encoder) -> Result<Method> {
    // zstd gives up on such content about as fast as the probe would find it.
    if asked == Method::Zstd && content.len() <= SAMPLE && !content.is_empty() && !has_magic(content) {
        return Ok(asked);
    }
    method_for_large(asked, content, encoder)
}

/// Whether compressing would gain anything, by samples.
pub(crate) fn compresses(content: &[u8], encoder: &mut Encoder) -> Result<bool> {
    if content.is_empty() {
        return Ok(false);
    }
    if is_lopsided(content) {
        return Ok(true);
    }
    let mut scratch = Vec::new();
    for sample in samples(content) {
        encoder.whole(Method::Zstd, sample, &mut scratch)?;
        if scratch.len() < worth(sample.len()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether some bytes are so much more frequent than others that content compresses by that alone: almost all
/// that compresses is found so, and need not be compressed on trial. Looks at four places in the sample.
fn is_lopsided(start: &[u8]) -> bool {
    const PIECE: usize = 1 << 10;
    let sample = &start[..start.len().min(SAMPLE)];
    let mut counts = [0u32; 256];
    let mut seen = 0;
    for quarter in sample.chunks(sample.len().div_ceil(4)) {
        let piece = &quarter[..quarter.len().min(PIECE)];
        piece.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        seen += piece.len() as u64;
    }
    // The chance that two bytes are the same: 1/256 in noise, 1/15 in text. What is left of it when a byte
    // meets itself is taken off, for it weighs much in a small sample.
    let same: u64 = counts.iter().map(|&count| u64::from(count) * u64::from(count)).sum::<u64>() - seen;
    seen >= 64 && same * 128 > seen * seen
}

fn samples(start: &[u8]) -> impl Iterator<Item = &[u8]> {
    let head = &start[..start.len().min(SAMPLE)];
    let more = start.len() > 4 * SAMPLE;
    let middle = more.then(|| &start[start.len() / 2..][..GLANCE]);
    let end = more.then(|| &start[start.len() - GLANCE..]);
    [Some(head), middle, end].into_iter().flatten()
}

/// Compressed to less than this, content is worth a decompressor's time.
pub(crate) fn worth(size: usize) -> usize {
    size - size / 32
}
