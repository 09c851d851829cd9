//! One bit for each entry.

/// A set of numbers, which cost a bit each.
#[derive(Default)]
pub(crate) struct Marks(Vec<u64>);

impl Marks {
    /// False if it was in the set already.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }

    /// False if it was not in the set.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        let Some(word) = self.0.get_mut(word) else { return false };
        let there = *word & bit != 0;
        *word &= !bit;
        there
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The numbers that are in this set and not in the other.
    pub(crate) fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        (0..).zip(&self.0).flat_map(move |(at, word): (u32, _)| {
            let mut left = word & !other.0.get(at as usize).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

fn place(number: u32) -> (usize, u64) {
    ((number / 64) as usize, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_taken_away_and_compared() {
        let (mut one, mut other) = (Marks::default(), Marks::default());
        for number in [0, 1, 63, 64, 1000] {
            assert!(one.insert(number) && !one.insert(number) && one.contains(number));
        }
        assert!(!one.contains(2) && !one.contains(1_000_000) && !one.remove(65));
        other.insert(1);
        other.insert(2000);
        assert!(one.remove(63) && !one.remove(63));
        assert_eq!(one.difference(&other).collect::<Vec<_>>(), [0, 64, 1000]);
        assert_eq!(other.difference(&one).collect::<Vec<_>>(), [2000]);
    }
}
