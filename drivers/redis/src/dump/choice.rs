//! What of a server is dumped.

use std::collections::BTreeSet;

use super::shard::Shard;
use crate::config::Setup;
use crate::restore::{MARK, OURS};

/// What the configuration means, of what there is.
pub(super) struct Choice<'a> {
    pub(super) setup: &'a Setup,
    /// Databases that are left out although all are meant.
    pub(super) spare: &'a BTreeSet<u64>,
    /// Where the keys come from.
    pub(super) shard: &'a Shard,
}

impl Choice<'_> {
    /// Whether that key is dumped. What restores write of themselves is not.
    pub(super) fn has(&self, database: u64, key: &[u8]) -> bool {
        self.setup.databases.has(database)
            && !self.spare.contains(&database)
            && key != MARK.as_bytes()
            && !key.starts_with(OURS.as_bytes())
            && self.setup.has_key(key)
    }
}
