//! What is ours in a bucket.

/// The folder that restores stage in, below the node's prefix.
pub(crate) const OURS: &str = ".dumprestore";

/// Where a folder that is a store has what is being written.
const PARTIAL: &str = ".dumprestore-partial";

/// Whether a key is one of ours: of this node, or of another whose prefix lies in this one's. Such a key is never
/// listed, dumped, referred to or taken for an extra.
pub(crate) fn is_ours(key: &str) -> bool {
    key.split('/').rev().skip(1).any(|folder| folder == OURS || folder == PARTIAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_folder_of_ours_at_any_depth_is_ours() {
        assert!(is_ours(".dumprestore/restore.json") && is_ours("media/.dumprestore/run/new/1"));
        assert!(is_ours(".dumprestore/"));
        assert!(!is_ours(".dumprestore") && !is_ours(".dumprestore2/a") && !is_ours("a/.dumprestore-x/b"));
    }
}
