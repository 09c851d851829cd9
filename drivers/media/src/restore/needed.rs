//! Which parts a restore needs, in memory that does not grow with their number beyond a bound.

use std::hash::{BuildHasher, RandomState};

use dumprestore_driver::PartName;

/// In bits: 32 MiB.
const LARGEST: u64 = 1 << 28;
const SMALLEST: u64 = 1 << 13;

/// A Bloom filter of part names: of one in some hundreds that are not needed it says that they are, and of none that is needed
/// that it is not. What is loaded for nothing is passed over later.
pub(super) struct Needed {
    bits: Vec<u64>,
    mask: u64,
    hasher: RandomState,
}

impl Needed {
    /// For about that many names.
    pub(super) fn new(names: u64) -> Self {
        let bits = names.saturating_mul(16).clamp(SMALLEST, LARGEST).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(usize::MAX);
        Self { bits: vec![0; words], mask: bits - 1, hasher: RandomState::new() }
    }

    pub(super) fn add(&mut self, name: &PartName) {
        for (word, bit) in self.places(name) {
            if let Some(word) = self.bits.get_mut(word) {
                *word |= bit;
            }
        }
    }

    pub(super) fn may_have(&self, name: &PartName) -> bool {
        self.places(name)
            .into_iter()
            .all(|(word, bit)| self.bits.get(word).is_some_and(|word| word & bit != 0))
    }

    fn places(&self, name: &PartName) -> [(usize, u64); 4] {
        let hash = self.hasher.hash_one(name.as_str());
        let step = (hash >> 32) | 1;
        std::array::from_fn(|turn| {
            let at = hash.wrapping_add(step.wrapping_mul(turn as u64)) & self.mask;
            ((at / 64) as usize, 1 << (at % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_never_passed_over_and_the_rest_seldom_loaded() {
        let name = |number: u32| PartName::new(format!("objects/{number}")).unwrap();
        let mut needed = Needed::new(20_000);
        (0..20_000).for_each(|number| needed.add(&name(number)));
        assert!((0..20_000).all(|number| needed.may_have(&name(number))));
        let wrong = (20_000..40_000).filter(|number| needed.may_have(&name(*number))).count();
        assert!(wrong < 400, "{wrong}");
        assert!(!Needed::new(0).may_have(&name(1)));
    }
}
