//! Which paths an archive has, remembered in a bounded amount of memory: a Bloom filter.

use std::hash::{BuildHasher, RandomState};

/// So many bits: 4 MiB. Of a million paths one in thousands of others is mistaken for one of them.
const BITS: u64 = 1 << 25;

/// So many of them stand for one path.
const PER_PATH: u64 = 4;

/// Paths that were seen.
pub(crate) struct Recall {
    words: Vec<u64>,
    hasher: RandomState,
}

impl Recall {
    pub(crate) fn new() -> Self {
        Self { words: vec![0; (BITS / 64) as usize], hasher: RandomState::new() }
    }

    pub(crate) fn see(&mut self, path: &[u8]) {
        for bit in self.bits(path) {
            self.words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
    }

    /// Whether `path` was certainly not seen. Of a path that was not, this may say no all the same.
    pub(crate) fn is_new(&self, path: &[u8]) -> bool {
        self.bits(path).any(|bit| self.words[(bit / 64) as usize] & (1 << (bit % 64)) == 0)
    }

    fn bits(&self, path: &[u8]) -> impl Iterator<Item = u64> + use<> {
        let hash = self.hasher.hash_one(path);
        // Two halves of one hash make as many as are wanted; an even step would miss most bits.
        let (first, step) = (hash & 0xffff_ffff, (hash >> 32) | 1);
        (0..PER_PATH).map(move |at| first.wrapping_add(at.wrapping_mul(step)) % BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_never_new_and_nearly_all_else_is() {
        let mut recall = Recall::new();
        let path = |at: u32| format!("uploads/{at}.jpg").into_bytes();
        for at in 0..10_000 {
            recall.see(&path(at));
        }
        assert!((0..10_000).all(|at| !recall.is_new(&path(at))));
        let new = (10_000..20_000).filter(|at| recall.is_new(&path(*at))).count();
        assert!(new > 9_900, "{new}");
    }
}
