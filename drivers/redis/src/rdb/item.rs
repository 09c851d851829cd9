//! What a file consists of.

use super::Kind;

/// What comes next in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Something said of the file.
    Aux { name: Vec<u8>, value: Vec<u8> },
    /// The keys that follow are in that database.
    Select(u64),
    /// The source code of a library of functions.
    Function(Vec<u8>),
    /// A key. Its value comes next.
    Key(Entry),
    /// What only helps a server to load faster.
    Other,
}

/// A key, with all but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) database: u64,
    pub(crate) kind: Kind,
    pub(crate) key: Vec<u8>,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires: Option<u64>,
    /// For how many seconds nobody had used it.
    pub(crate) idle: Option<u64>,
    /// How often it was used, by the logarithmic counter of servers that evict what is least used.
    pub(crate) freq: Option<u8>,
}
