//! Relative paths as bytes: never absolute, no `.`, no `..`; the root itself is the empty path.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The order of a tree written out: a folder comes before what is in it, and all of it before the next sibling.
/// That is the order of the bytes with `/` before all others.
pub(crate) fn in_tree_order(a: &[u8], b: &[u8]) -> Ordering {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (a.get(shared), b.get(shared)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(b'/'), Some(_)) => Ordering::Less,
        (Some(_), Some(b'/')) => Ordering::Greater,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

/// The folder that `path` is in, and its name there.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// `folder/name`.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Whether `path` lies below `folder`. `media2` does not lie below `media`.
pub(crate) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    if folder.is_empty() {
        return !path.is_empty();
    }
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The folders that `path` is in, from the outermost below the root to the innermost.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// The components of `path`; none for the root.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

/// `path` below `root`, for people and for foreign calls.
pub(crate) fn under(root: &Path, path: &[u8]) -> std::path::PathBuf {
    if path.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(path)) }
}

/// `path` for messages: without control characters, which could forge lines.
pub(crate) fn shown(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let mut shown = String::with_capacity(path.len());
    for c in String::from_utf8_lossy(path).chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_lists_of_components(a in "[-.a/0]{0,6}", b in "[-.a/0]{0,6}") {
            let by_components = |p: &str| components(p.as_bytes()).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let plain = |p: &str| by_components(p).join(&b'/');
            prop_assert_eq!(in_tree_order(&plain(&a), &plain(&b)), by_components(&a).cmp(&by_components(&b)));
        }
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_not_below() {
        assert!(!is_below(b"media2/x", b"media"));
        assert!(is_below(b"media/x", b"media"));
        assert!(!is_below(b"media", b"media"));
        assert!(is_below(b"media", b""));
    }

    #[test]
    fn a_split_path_joins_again() {
        for path in [&b"a"[..], b"a/b", b"a/b/c"] {
            let (folder, name) = split(path);
            assert_eq!(join(folder, name), path);
        }
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b"]);
    }
}
