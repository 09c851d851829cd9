//! How large the parts of an upload are.

const MIB: u64 = 1 << 20;
/// No store takes more parts than that for one object.
const MOST: u64 = 10_000;
/// No store takes a larger part.
const LARGEST: u64 = 5 << 30;

/// So many parts, each of so many MiB: small as long as they can be, for up to five are in memory at once, and large enough
/// in the end for an object of 2 TiB. None is larger, so that an upload never takes more than 2.5 GiB of memory.
const STEPS: [(u64, u64); 3] = [(5_000, 8), (1_000, 64), (4_000, 512)];

/// The sizes of the parts of an upload, one after the other, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartSizes {
    /// All are of this size, where a store wants that or the user says so.
    same: Option<u64>,
    begun: u64,
}

impl PartSizes {
    pub(crate) fn new(same: Option<u64>) -> Self {
        Self { same: same.map(|bytes| bytes.clamp(5 * MIB, LARGEST)), begun: 0 }
    }

    /// The size of the part that is gathered now; nothing if there can be no more.
    pub(crate) fn current(&self) -> Option<u64> {
        if self.begun >= MOST {
            return None;
        }
        let mut before = 0;
        let size = STEPS.iter().find_map(|(count, mib)| {
            before += count;
            (self.begun < before).then_some(mib * MIB)
        });
        self.same.or(size).map(|size| size.min(LARGEST))
    }

    /// How large an archive may become by these.
    pub(crate) fn capacity(&self) -> u64 {
        match self.same {
            Some(bytes) => bytes * MOST,
            None => STEPS.iter().map(|(count, mib)| count * mib * MIB).sum(),
        }
    }

    /// A part was handed over.
    pub(crate) fn advance(&mut self) {
        self.begun += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(same: Option<u64>) -> Vec<u64> {
        let mut sizes = PartSizes::new(same);
        std::iter::from_fn(|| {
            let size = sizes.current();
            sizes.advance();
            size
        })
        .collect()
    }

    #[test]
    fn parts_never_run_out_and_none_is_too_large_or_smaller_than_the_one_before() {
        let sizes = all(None);
        assert_eq!(sizes.len() as u64, MOST);
        assert!(sizes.iter().all(|size| (5 * MIB..=LARGEST).contains(size)));
        assert!(sizes.is_sorted());
        assert!(sizes.iter().sum::<u64>() > 2 << 40, "two tebibytes fit");
        assert_eq!(sizes.iter().sum::<u64>(), PartSizes::new(None).capacity());
        assert_eq!(all(Some(64 * MIB)).iter().sum::<u64>(), PartSizes::new(Some(64 * MIB)).capacity());
        assert!(sizes.iter().all(|size| 5 * size <= 2560 * MIB), "however large it gets, memory is bounded");
        assert_eq!(
            sizes[..5_000].iter().sum::<u64>(),
            40_000 * MIB,
            "as long as it can be, memory stays small"
        );
    }

    #[test]
    fn where_all_have_to_be_the_same_they_are() {
        assert!(all(Some(64 * MIB)).iter().all(|size| *size == 64 * MIB));
        assert!(all(Some(1)).iter().all(|size| *size == 5 * MIB), "what no store takes is not tried");
    }
}
