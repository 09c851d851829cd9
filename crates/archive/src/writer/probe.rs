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

/// The method for content that begins so: `asked`, or none if it would gain nothing.
pub(crate) fn method_for(asked: Method, start: &[u8], encoder: &mut Encoder) -> Result<Method> {
    if asked == Method::Store || start.is_empty() || has_magic(start) {
        return Ok(Method::Store);
    }
    // zstd gives up on such content about as fast as the probe would find it.
    if asked == Method::Zstd && start.len() <= SAMPLE {
        return Ok(asked);
    }
    let mut scratch = Vec::new();
    for sample in samples(start) {
        if encoder.probe(sample, &mut scratch)? < worth(sample.len()) {
            return Ok(asked);
        }
    }
    Ok(Method::Store)
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
