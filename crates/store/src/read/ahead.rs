//! Who reads on and on, and how far ahead of them it is worth to fetch.

/// More readers than that are not told apart.
const READERS: usize = 64;
/// A reader that has not moved while others went through so many blocks is gone, or does not read on.
const FORGOTTEN: u64 = 256;
/// Blocks ahead of one reader at the most.
const FARTHEST: u64 = 8;

/// Readers that go from block to block.
#[derive(Default)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// Counts steps of all readers.
    clock: u64,
}

struct Reader {
    /// The block that it is in.
    at: u64,
    moved: u64,
    /// How many blocks it went through, one after the other.
    run: u64,
}

impl Readers {
    /// Somebody reads that block. How many blocks behind it are worth fetching, if `kept` can be kept.
    pub(super) fn step(&mut self, block: u64, kept: usize) -> u64 {
        if self.all.iter().any(|reader| reader.at == block) {
            return 0;
        }
        self.clock += 1;
        let clock = self.clock;
        self.all.retain(|reader| clock - reader.moved < FORGOTTEN);
        let Some(reader) = self.all.iter_mut().find(|reader| reader.at + 1 == block) else {
            if self.all.len() >= READERS {
                self.all.remove(0);
            }
            self.all.push(Reader { at: block, moved: clock, run: 0 });
            return 0;
        };
        (reader.at, reader.moved, reader.run) = (block, clock, reader.run + 1);
        // Doubled at each step: one that stops soon has cost little.
        let wanted = 1_u64.checked_shl(reader.run as u32).unwrap_or(FARTHEST).min(FARTHEST);
        let active = self.all.iter().filter(|reader| reader.run > 0).count().max(1);
        // Each has the block that it is in, and what was fetched for it must still be there when it comes.
        let share = (kept / active).saturating_sub(2) as u64;
        wanted.min(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_ahead_of_who_looks_here_and_there() {
        let mut readers = Readers::default();
        let steps = (0..100).map(|at| readers.step(at * 7 % 1000 * 3, 40));
        assert_eq!(steps.sum::<u64>(), 0);
    }

    #[test]
    fn who_reads_on_is_led_farther_at_each_step_and_within_bounds() {
        let mut readers = Readers::default();
        let steps: Vec<_> = (10..18).map(|block| readers.step(block, 40)).collect();
        assert_eq!(steps, [0, 2, 4, 8, 8, 8, 8, 8]);
        assert_eq!(readers.step(17, 40), 0, "a block that it is in already is no step");
    }

    #[test]
    fn many_who_read_on_share_what_can_be_kept() {
        let mut readers = Readers::default();
        let mut ahead = Vec::new();
        for step in 0..20 {
            ahead = (0..10).map(|reader| readers.step(reader * 10_000 + step, 40)).collect();
        }
        assert_eq!(ahead, [2; 10], "ten readers times their block, one more and two ahead are 40");
        for step in 0..20 {
            ahead = (0..40).map(|reader| readers.step(reader * 10_000 + 5_000 + step, 40)).collect();
        }
        assert!(ahead.iter().all(|&ahead| ahead == 0), "{ahead:?}");
    }
}
