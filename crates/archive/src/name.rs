//! Names of entries: `<node path as folders>/<part>`, checked on writing and on reading.

use crate::error::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The name of the last entry. No node can take it, for a node's entries lie in a folder.
pub(crate) const MANIFEST: &str = "manifest.json";

const LONGEST: usize = u16::MAX as usize;

/// The checked name of an entry: a node path (`shop.db`) and a part's name within the node (`tables/orders`).
///
/// Each is relative, separated by `/`, and has no component that is empty, `.` or `..`; no backslash, no
/// control character, no leading drive letter (`c:`). Together they have at most 65,535 bytes. Letter case
/// tells part names apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName {
    node: Arc<str>,
    part: Arc<str>,
}

impl EntryName {
    /// Checks a node path and a part's name.
    pub fn new(node: &str, part: &str) -> Result<Self> {
        check_name(node, part)?;
        Ok(Self { node: node.into(), part: part.into() })
    }

    /// The node path, its names joined by dots.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The part's name within its node.
    pub fn part(&self) -> &str {
        &self.part
    }

    pub(crate) fn shared_node(&self) -> &Arc<str> {
        &self.node
    }

    /// The name in the zip.
    pub fn full(&self) -> String {
        full_name(&self.node, &self.part)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full())
    }
}

pub(crate) fn full_name(node: &str, part: &str) -> String {
    let mut full = String::with_capacity(node.len() + 1 + part.len());
    full.extend(node.chars().map(|c| if c == '.' { '/' } else { c }));
    full.push('/');
    full.push_str(part);
    full
}

/// Refuses a name that could leave its folder.
pub(crate) fn check_name(node: &str, part: &str) -> Result<()> {
    check(node, part).map_err(|why| {
        let message = format!("the name is unsafe: {why}");
        Error::new(ErrorKind::UnsafeName, message).at(full_name(node, part))
    })
}

fn check(node: &str, part: &str) -> Result<(), &'static str> {
    if node.contains('/') {
        return Err("a node path has a `/`");
    }
    check_components(node, '.')?;
    check_components(part, '/')?;
    if node.len() + 1 + part.len() > LONGEST {
        return Err("it is longer than 65,535 bytes");
    }
    Ok(())
}

fn check_components(name: &str, separator: char) -> Result<(), &'static str> {
    if name.chars().any(|c| c.is_control()) {
        return Err("it has a control character");
    }
    if name.contains('\\') {
        return Err("it has a backslash");
    }
    if let [letter, b':', ..] = name.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        return Err("it begins with a drive letter");
    }
    for component in name.split(separator) {
        match component {
            "" if name.starts_with('/') => return Err("it is absolute"),
            "" => return Err("it has an empty component"),
            "." => return Err("it has a component `.`"),
            ".." => return Err("it has a component `..`"),
            _ => {}
        }
    }
    Ok(())
}

/// The first two node paths that are the same, or differ in letter case alone.
pub(crate) fn same_but_for_case<'a>(nodes: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for node in nodes {
        if let Some(other) = seen.insert(node.to_lowercase(), node) {
            return Some((other, node));
        }
    }
    None
}
