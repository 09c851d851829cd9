//! What is in a folder: filling it, and telling two of them apart by all that a restore must bring back.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, utimensat};
use sha2::{Digest, Sha256};

/// All of a folder as text: one line for each entry.
pub fn fingerprint(root: &Path) -> String {
    let mut lines = Vec::new();
    let mut inodes = BTreeMap::new();
    if root.is_dir() {
        describe(root, &root.canonicalize().unwrap(), &mut inodes, &mut lines);
    } else {
        lines.push("nothing".to_owned());
    }
    lines.join("\n")
}

fn describe(root: &Path, path: &Path, inodes: &mut BTreeMap<u64, String>, lines: &mut Vec<String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let name = path.strip_prefix(root.canonicalize().unwrap()).unwrap().as_os_str().as_bytes().escape_ascii();
    let name = name.to_string();
    let mut line = format!(
        "{name:?} {:o} {}:{} {}.{:09}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    if meta.is_symlink() {
        line += &format!(" -> {}", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii());
    } else {
        line += &xattrs(path);
    }
    if meta.is_file() {
        line += &format!(" {} {}", meta.len(), hex::encode(Sha256::digest(fs::read(path).unwrap())));
        if meta.nlink() > 1 {
            line += &format!(" = {}", inodes.entry(meta.ino()).or_insert(name));
        }
    }
    lines.push(line);
    if meta.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| describe(root, entry, inodes, lines));
    }
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::listxattr(path, &mut names[..]).unwrap();
    let mut found: Vec<&[u8]> =
        names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    found.sort_unstable();
    let mut text = String::new();
    for name in found.iter().filter(|name| !name.starts_with(b"security.selinux")) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::getxattr(path, *name, &mut value[..]).unwrap();
        text += &format!(" {}={}", name.escape_ascii(), hex::encode(&value[..length]));
    }
    text
}

/// Writes files and makes other things below a folder.
pub struct Builder<'a>(pub &'a Path);

impl Builder<'_> {
    pub fn at(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.0.join(path.as_ref())
    }

    pub fn file(&self, path: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn folder(&self, path: impl AsRef<OsStr>) -> &Self {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    pub fn link(&self, path: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> &Self {
        symlink(target.as_ref(), self.at(path)).unwrap();
        self
    }

    pub fn hard_link(&self, path: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> &Self {
        fs::hard_link(self.at(target), self.at(path)).unwrap();
        self
    }

    pub fn mode(&self, path: impl AsRef<OsStr>, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn xattr(&self, path: impl AsRef<OsStr>, name: &str, value: &[u8]) -> &Self {
        rustix::fs::setxattr(self.at(path), name, value, XattrFlags::empty()).unwrap();
        self
    }

    pub fn time(&self, path: impl AsRef<OsStr>, seconds: i64, nanos: i64) -> &Self {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, self.at(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        self
    }

    /// Gives everything below, and the folder itself, a time that depends on its name only.
    pub fn settle(&self) -> &Self {
        settle(self.0, 1_600_000_000);
        self
    }
}

fn settle(path: &Path, seconds: i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let salt: i64 = entry.file_name().as_bytes().iter().map(|byte| i64::from(*byte)).sum();
            settle(&entry.path(), seconds + salt);
        }
    }
    let time = Timespec { tv_sec: seconds, tv_nsec: seconds % 1_000_000_000 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that no compressor and no accident brings forth twice.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
