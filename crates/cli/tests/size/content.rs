//! Content that is the same for the same number, and of which a quarter does not compress.

/// A page of noise, three of text, and so on.
const PAGE: usize = 4 << 10;

/// So many bytes.
pub(crate) fn content(number: u64, bytes: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes + 4 * PAGE);
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while content.len() < bytes {
        for _ in 0..PAGE / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        let line = format!("picture {number} of a shop, seen {} times; ", state % 100_000);
        content.extend(line.bytes().cycle().take(3 * PAGE));
    }
    content.truncate(bytes);
    content
}

/// Does `work` for each number below `count`, on several threads.
pub(crate) fn for_each(count: u64, work: impl Fn(u64) + Sync) {
    const THREADS: u64 = 8;
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let work = &work;
            scope.spawn(move || (first..count).step_by(THREADS as usize).for_each(work));
        }
    });
}

/// What an environment variable says, which has to be a number.
pub(crate) fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}
