//! How long definitions take, and what makes them take less.

use crate::archived::Item;

/// Up to so many bytes of rows an index of the kind `gin` is cached while it is made, and it does not matter that it is
/// gone through more often.
const SMALL: u64 = 4 << 30;

/// How much longer an index takes than one in which rows only have to be sorted.
pub(super) fn of(item: &Item) -> u64 {
    match method(item) {
        "gin" | "gist" | "spgist" => 8,
        "hnsw" | "ivfflat" => 64,
        _ => 1,
    }
}

/// Whether it is made sooner with a small `maintenance_work_mem`. Keys are gathered in a tree of that size, and looking
/// them up in a large one misses the processor's cache: an index of 400 MB of `jsonb` took 7.7 s with 32 MB, 9.4 s with
/// 64 MB and 13.0 s with 512 MB.
pub(super) fn is_quicker_with_less_memory(item: &Item, bytes: u64) -> bool {
    method(item) == "gin" && bytes <= SMALL
}

fn method(item: &Item) -> &str {
    let said = item.sql.split_once(" USING ").map(|(_, rest)| rest);
    said.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().trim_matches('"')
}
