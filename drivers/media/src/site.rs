//! Where a node's objects are, and which of them are its own.

use dumprestore_bucket::Bucket;

use crate::config::Mode;
use crate::filter::Filter;

/// What dump and restore have in common.
#[derive(Clone)]
pub(crate) struct Site {
    /// At the node's prefix.
    pub(crate) bucket: Bucket,
    pub(crate) filter: Filter,
    /// What a dump keeps. A restore goes by what the archive has.
    pub(crate) mode: Mode,
}
