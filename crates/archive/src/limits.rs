//! What a reader is willing to believe.

/// Bytes of one part's record in the manifest at the most: a name of 64 KiB, each byte of it escaped, and a note.
pub(crate) const RECORD_BYTES: usize = 1 << 20;

/// Bytes of memory at the most for what a manifest holds in free form (the configuration, facts, …), estimated by its
/// brackets and commas: `[0,0,0]` takes far more of it than it has characters.
pub(crate) const FREE_FORM_BYTES: u64 = 128 << 20;

/// Nodes at the most: each is kept in memory.
pub(crate) const NODES: usize = 1 << 16;

/// Bounds on what an archive may declare. Over any of them it is refused before content is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of `manifest.json`; 4 GiB, which is the format's own limit, by default.
    pub manifest_bytes: u64,
    /// Bytes of `manifest.json` without the parts, which are the ones that are kept in memory; 32 MiB by default, over
    /// which no archive is written either.
    pub head_bytes: u64,
    /// Parts; 100 million by default.
    pub parts: u64,
    /// Bytes of content in one part; no limit by default.
    pub part_bytes: u64,
    /// Bytes of content in all parts; no limit by default. No number could be one: a database of zeros is honest, and
    /// comes out thousands of times as large as it is stored. Who extracts what a stranger made sets this to what the
    /// disk can spare. It is checked against the manifest, before any content is read, and no part yields more than
    /// the manifest declares.
    pub total_bytes: u64,
    /// Bytes of content for each byte stored. By default only what the method cannot reach is refused: 1,032
    /// for deflate, 32,768 for zstd.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: u64::from(u32::MAX),
            head_bytes: 32 << 20,
            parts: 100_000_000,
            part_bytes: u64::MAX,
            total_bytes: u64::MAX,
            ratio: u64::MAX,
        }
    }
}
