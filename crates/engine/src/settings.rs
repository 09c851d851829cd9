//! The settings of a set and of its nodes, typed.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many parts are read or loaded at once. At least 1.
pub type Parallel = NonZeroUsize;

/// How the parts of a node are compressed. Content that does not compress is stored whatever is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Any zip tool can read it.
    #[default]
    Deflate,
    /// Faster and smaller; read by 7-Zip, libarchive and others, not by Info-ZIP's `unzip`.
    Zstd,
    /// Not at all.
    Store,
}

/// How hard a dump tries to be coherent, and what it does if it can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Coherence {
    /// How many cuts are tried while writers go on, and as many again where writers then wait. At least 1.
    pub max_cuts: NonZeroU32,
    /// How many capture passes are made before the first cut, at the most. At least 1.
    pub max_passes: NonZeroU32,
    /// What happens when none of these cuts could be certified.
    pub if_uncertified: IfUncertified,
}

impl Default for Coherence {
    fn default() -> Self {
        let five = NonZeroU32::MIN.saturating_add(4);
        Self { max_cuts: five, max_passes: five, if_uncertified: IfUncertified::Lock }
    }
}

/// What happens when no cut could be certified while writers go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfUncertified {
    /// Cuts are made under a lock, `max_cuts` at the most: at each, writers wait for milliseconds.
    #[default]
    Lock,
    /// The dump fails.
    Fail,
    /// The dump goes on, is `degraded`, and lists the dangling references.
    Degraded,
}
