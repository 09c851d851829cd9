//! Names of nodes and parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where a node stands in its set: names joined by dots from below the root, such as `shop.db`.
///
/// A name is 1 to 64 ASCII letters, digits, `_` and `-`, and begins with a letter, a digit or `_`: fit for file
/// names, environment variables and selectors alike.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodePath(String);

impl NodePath {
    /// Checks and takes a dotted path.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a name in it is not one.
    pub fn new(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        path.split('.').try_for_each(check_node_name)?;
        Ok(Self(path))
    }

    /// The path of the child `name`.
    ///
    /// # Errors
    /// As [`NodePath::new`].
    pub fn child(&self, name: &str) -> Result<Self> {
        check_node_name(name)?;
        Ok(Self(format!("{}.{name}", self.0)))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, from the top.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_within(&self, other: &NodePath) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// As folders in the archive: `shop/db`.
    pub fn to_folders(&self) -> String {
        self.0.replace('.', "/")
    }
}

fn check_node_name(name: &str) -> Result<()> {
    let fine = !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if fine {
        return Ok(());
    }
    Err(Error::config(format!("`{}` is not a node name", name.escape_debug()))
        .with_hint("use 1 to 64 ASCII letters, digits, `_` and `-`, not beginning with `-`"))
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl FromStr for NodePath {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for NodePath {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<NodePath> for String {
    fn from(path: NodePath) -> Self {
        path.0
    }
}

/// The name of a part inside its node's section of the archive: a relative path with `/`.
///
/// No empty, `.` or `..` component, no backslash, no control character, at most 32,000 bytes. Names that come from
/// outside, of any bytes, go through [`PartName::escape`] or [`PartName::escape_component`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartName(String);

const LONGEST_PART_NAME: usize = 32_000;

impl PartName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`ErrorKind::Archive`](crate::ErrorKind::Archive) if it is not fit for an archive.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let refuse = |why: &str| Err(Error::archive(format!("part name `{}` {why}", name.escape_debug())));
        if name.len() > LONGEST_PART_NAME {
            return refuse("is too long");
        }
        if name.chars().any(|c| c.is_control() || c == '\\') {
            return refuse("has a backslash or a control character");
        }
        if name.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return refuse("has an empty, `.` or `..` component");
        }
        Ok(Self(name))
    }

    /// A name for a relative path of any bytes: what a part name can't have becomes `%XX`, and so does `%`.
    /// [`PartName::unescape`] gives the bytes back.
    ///
    /// # Errors
    /// If the path has an empty, `.` or `..` component, or is too long.
    pub fn escape(path: &[u8]) -> Result<Self> {
        Self::new(escape(path, |c| matches!(c, '%' | '\\') || c.is_control()))
    }

    /// One component of a name, for a name of any bytes that is no path: a `/` becomes `%2F`, and a name that is `.` or
    /// `..` has its dots escaped. [`PartName::unescape`] gives the bytes back.
    ///
    /// # Errors
    /// If the name is empty, or too long.
    pub fn escape_component(name: &[u8]) -> Result<Self> {
        let is_dots = matches!(name, b"." | b"..");
        Self::new(escape(name, |c| matches!(c, '%' | '\\' | '/') || c.is_control() || is_dots))
    }

    /// The bytes that were escaped. A `%` that starts no escape stands for itself.
    pub fn unescape(&self) -> Vec<u8> {
        unescape(&self.0)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `prefix/`, as a name of its own.
    pub fn below(&self, prefix: &str) -> Option<PartName> {
        self.0.strip_prefix(prefix)?.strip_prefix('/').map(|rest| PartName(rest.to_owned()))
    }
}

fn escape(bytes: &[u8], is_unfit: impl Fn(char) -> bool) -> String {
    let mut name = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_unfit(c) {
                true => escape_bytes(&mut name, c.encode_utf8(&mut [0; 4]).as_bytes()),
                false => name.push(c),
            }
        }
        escape_bytes(&mut name, chunk.invalid());
    }
    name
}

fn escape_bytes(name: &mut String, bytes: &[u8]) {
    for byte in bytes {
        name.push('%');
        name.push_str(&hex::encode_upper([*byte]));
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let mut decoded = [0];
        match tail.get(..2) {
            Some(digits) if *first == b'%' && hex::decode_to_slice(digits, &mut decoded).is_ok() => {
                bytes.push(decoded[0]);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl TryFrom<String> for PartName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<PartName> for String {
    fn from(name: PartName) -> Self {
        name.0
    }
}
