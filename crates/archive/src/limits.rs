//! What a reader is willing to believe.

/// Bounds on what an archive may declare. Over any of them it is refused before content is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of `manifest.json`; 4 GiB, which is the format's own limit, by default.
    pub manifest_bytes: u64,
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
            parts: 100_000_000,
            part_bytes: u64::MAX,
            total_bytes: u64::MAX,
            ratio: u64::MAX,
        }
    }
}
