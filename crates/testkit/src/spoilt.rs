//! Foreign bytes, spoilt: for tests of whatever reads them.

use proptest::prelude::*;
use proptest::sample::Index;

/// What is done to a seed: a byte changed, a stretch removed, doubled, or put elsewhere.
#[derive(Clone, Debug)]
pub enum Change {
    /// A byte is another.
    Set(Index, u8),
    /// A stretch is gone.
    Remove(Index, usize),
    /// A stretch stands somewhere else as well.
    Double(Index, usize),
    /// A stretch stands in the place of another.
    Copy(Index, Index, usize),
}

/// One change, or some.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let index = any::<Index>;
    let change = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (index(), 1..40usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (index(), 1..40usize).prop_map(|(at, len)| Change::Double(at, len)),
        (index(), index(), 1..40usize).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
    ];
    proptest::collection::vec(change, 1..6)
}

/// `bytes`, with all changes made to it, one after another.
pub fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let size = bytes.len();
        if size == 0 {
            break;
        }
        let stretch = |at: &Index, len: usize| at.index(size)..(at.index(size) + len).min(size);
        match change {
            Change::Set(at, byte) => bytes[at.index(size)] = *byte,
            Change::Remove(at, len) => drop(bytes.drain(stretch(at, *len))),
            Change::Double(at, len) => {
                let copy = bytes[stretch(at, *len)].to_vec();
                bytes.splice(at.index(size)..at.index(size), copy);
            }
            Change::Copy(from, to, len) => {
                let copy = bytes[stretch(from, *len)].to_vec();
                bytes.splice(stretch(to, *len), copy);
            }
        }
    }
    bytes
}
