//! One line of `tree.jsonl`: a file, folder, symbolic link or hard link.

use dumprestore_driver::{Error, PartName, Result};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use crate::state::Stamp;
use crate::xattr::Xattrs;

/// The part that lists all entries.
pub(crate) const TREE: &str = "tree.jsonl";
/// The folder of the parts that hold the bytes of files.
pub(crate) const FILES: &str = "files";

/// Mode, owner, time and attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The permission bits, with set-uid, set-gid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Stamp,
    pub(crate) xattrs: Option<Box<Xattrs>>,
}

impl Meta {
    pub(crate) fn of(stat: &Stat, xattrs: Option<Box<Xattrs>>) -> Self {
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Stamp::mtime(stat),
            xattrs,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File(FileContent),
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// Another name of the file at this path, which was listed before.
    HardLink(Vec<u8>),
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileContent {
    pub(crate) size: u64,
    /// The path that the part is named after, where it is not the file's own.
    pub(crate) part: Option<Vec<u8>>,
    pub(crate) sparse: bool,
    /// It was still to be dumped when the list was written, and may be missing: the ledger of the dump then says so.
    pub(crate) late: bool,
}

/// One line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative; empty for the root.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
}

/// The name of the part with the bytes of the file at `path`.
///
/// # Errors
/// If the path is too long for a name in an archive.
pub(crate) fn part_name(path: &[u8]) -> Result<PartName> {
    PartName::escape(&[FILES.as_bytes(), b"/", path].concat())
}

/// The path that a part is named after.
pub(crate) fn part_path(name: &PartName) -> Option<Vec<u8>> {
    name.below(FILES).map(|below| below.unescape())
}

impl Entry {
    /// As a line, without its end.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&Line::of(self)?)
            .map_err(|error| Error::defect("can't write a line of the tree").with_source(error))
    }

    /// # Errors
    /// [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive) if it is not a line of a tree.
    pub(crate) fn from_line(line: &[u8]) -> Result<Self> {
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            Error::archive(format!("`{TREE}` has a line that is not one")).with_source(error)
        })?;
        line.into_entry()
    }
}

/// As it stands in the archive. Paths and link targets are escaped as part names are: `%XX` for what is not text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    #[serde(rename = "type")]
    kind: Type,
    mode: String,
    uid: u32,
    gid: u32,
    /// Seconds since 1970, and nanoseconds to add.
    mtime: (i64, u32),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    sparse: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    late: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Names, escaped, and values in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xattrs: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Type {
    Folder,
    File,
    Symlink,
    Hardlink,
}

fn is_false(it: &bool) -> bool {
    !*it
}

/// As [`PartName::escape`], for bytes that need not be a relative path.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c == '\\' || c.is_control() {
                let mut utf8 = [0; 4];
                c.encode_utf8(&mut utf8).bytes().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

/// # Errors
/// If a `%` escapes nothing.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let mut decoded = [0];
        match tail.get(..2).map(|digits| hex::decode_to_slice(digits, &mut decoded)) {
            Some(Ok(())) => bytes.push(decoded[0]),
            _ => return Err(broken(text, "has a `%` that escapes nothing")),
        }
        rest = &tail[2..];
    }
    Ok(bytes)
}

fn broken(what: &str, why: &str) -> Error {
    Error::archive(format!("`{TREE}` has an entry that {why}")).with_context("entry", what.escape_debug())
}

impl Line {
    fn of(entry: &Entry) -> Result<Self> {
        let path = if entry.path.is_empty() { ".".to_owned() } else { escape(&entry.path) };
        let xattrs = entry
            .meta
            .xattrs
            .as_ref()
            .map(|found| found.iter().map(|(name, value)| (escape(name), hex::encode(value))).collect());
        let mut line = Line {
            path,
            kind: Type::Folder,
            mode: format!("{:04o}", entry.meta.mode),
            uid: entry.meta.uid,
            gid: entry.meta.gid,
            mtime: (entry.meta.mtime.seconds, entry.meta.mtime.nanos),
            size: None,
            part: None,
            sparse: false,
            late: false,
            target: None,
            xattrs,
        };
        match &entry.kind {
            Kind::Folder => {}
            Kind::File(content) => {
                line.kind = Type::File;
                line.size = Some(content.size);
                line.part = content.part.as_deref().map(part_name).transpose()?.map(String::from);
                line.sparse = content.sparse;
                line.late = content.late;
            }
            Kind::Symlink(target) => {
                line.kind = Type::Symlink;
                line.target = Some(escape(target));
            }
            Kind::HardLink(target) => {
                line.kind = Type::Hardlink;
                line.target = Some(escape(target));
            }
        }
        Ok(line)
    }

    fn into_entry(self) -> Result<Entry> {
        let path = if self.path == "." { Vec::new() } else { checked_path(&self.path)? };
        let mode = u32::from_str_radix(&self.mode, 8).ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| broken(&self.path, "has a mode that is not one"))?;
        if self.mtime.1 >= 1_000_000_000 {
            return Err(broken(&self.path, "has a time that is not one"));
        }
        let mtime = Stamp { seconds: self.mtime.0, nanos: self.mtime.1 };
        let xattrs = self.xattrs.as_ref().map(|found| xattrs_of(&self.path, found)).transpose()?;
        let kind = self.kind_of_entry(&path)?;
        Ok(Entry { path, kind, meta: Meta { mode, uid: self.uid, gid: self.gid, mtime, xattrs } })
    }

    fn kind_of_entry(&self, path: &[u8]) -> Result<Kind> {
        let target = || self.target.as_deref().ok_or_else(|| broken(&self.path, "is a link to nothing"));
        let kind = match self.kind {
            Type::Folder => Kind::Folder,
            Type::File => Kind::File(FileContent {
                size: self.size.ok_or_else(|| broken(&self.path, "is a file without a size"))?,
                part: self.part.as_deref().map(checked_part).transpose()?,
                sparse: self.sparse,
                late: self.late,
            }),
            Type::Symlink => match unescape(target()?)? {
                empty if empty.is_empty() || empty.contains(&0) => {
                    return Err(broken(&self.path, "is a link to nothing"));
                }
                target => Kind::Symlink(target),
            },
            Type::Hardlink => Kind::HardLink(checked_path(target()?)?),
        };
        if path.is_empty() && kind != Kind::Folder {
            return Err(broken(".", "is the folder itself, and not a folder"));
        }
        Ok(kind)
    }
}

fn checked_part(name: &str) -> Result<Vec<u8>> {
    let part = PartName::new(name)?;
    part_path(&part).ok_or_else(|| broken(name, "names a part that is not a file's"))
}

/// A path that stays below the root.
fn checked_path(text: &str) -> Result<Vec<u8>> {
    let path = unescape(text)?;
    if path.contains(&0) {
        return Err(broken(text, "has a NUL in its path"));
    }
    if path.split(|byte| *byte == b'/').any(|component| matches!(component, b"" | b"." | b"..")) {
        return Err(broken(text, "leads out of the folder"));
    }
    Ok(path)
}

fn xattrs_of(path: &str, found: &std::collections::BTreeMap<String, String>) -> Result<Box<Xattrs>> {
    let mut xattrs = Xattrs::new();
    for (name, value) in found {
        let name = unescape(name)?;
        let value =
            hex::decode(value).map_err(|_| broken(path, "has an attribute that is not hexadecimal"))?;
        if name.contains(&0) || !crate::xattr::is_kept(&name) {
            return Err(broken(path, "has an attribute of a kind that is never dumped"));
        }
        xattrs.insert(name.into(), value.into());
    }
    Ok(Box::new(xattrs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta() -> Meta {
        Meta { mode: 0o4755, uid: 1, gid: 2, mtime: Stamp { seconds: -5, nanos: 999_999_999 }, xattrs: None }
    }

    proptest! {
        #[test]
        fn any_path_survives_a_line(names in prop::collection::vec("[^/\0]{1,9}", 1..4), raw in prop::collection::vec(1u8.., 1..9)) {
            let mut path = names.join("/").into_bytes();
            path.push(b'/');
            path.extend(raw.iter().filter(|byte| **byte != b'/').chain([&b'x']));
            prop_assume!(!path.split(|byte| *byte == b'/').any(|c| matches!(c, b"." | b"..")));
            for kind in [
                Kind::Folder,
                Kind::Symlink(b"../\xff".to_vec()),
                Kind::HardLink(path.clone()),
                Kind::File(FileContent { size: 7, part: Some(path.clone()), sparse: true, late: false }),
            ] {
                let entry = Entry { path: path.clone(), kind, meta: meta() };
                let line = entry.to_line().unwrap();
                prop_assert!(!line.contains(&b'\n'));
                prop_assert_eq!(Entry::from_line(&line).unwrap(), entry);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::from_line(&line);
        }
    }

    #[test]
    fn paths_that_lead_out_are_refused_by_name() {
        for path in ["..", "../x", "/etc", "a/../../b", "a//b", "a/", "%2E%2E/x", "a%00"] {
            let line =
                format!(r#"{{"path":"{path}","type":"folder","mode":"0755","uid":0,"gid":0,"mtime":[0,0]}}"#);
            let error = Entry::from_line(line.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
