//! What writers write: files that tell whether they are whole, under names that nobody else has.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

static SEED: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);

/// Small, quick, and good enough to choose by.
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new() -> Self {
        Self(Cell::new(SEED.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) | 1))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) fn content(random: &Random) -> Vec<u8> {
    let mut content = random.next().to_le_bytes().repeat(8 + random.below(2000) as usize);
    let digest = Sha256::digest(&content);
    content.extend_from_slice(&digest);
    content
}

pub(crate) fn is_whole(content: &[u8]) -> bool {
    content.len() < 32 || content.starts_with(b"image ") || {
        let (body, digest) = content.split_at(content.len() - 32);
        Sha256::digest(body)[..] == *digest
    }
}

pub(crate) fn hex_of(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

pub(crate) fn fresh_name(random: &Random) -> String {
    format!("{:02}/{:016x}.jpg", random.below(16), random.next())
}
