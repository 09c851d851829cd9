//! Extended attributes, POSIX ACLs among them (`system.posix_acl_*`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// Names and values.
pub(crate) type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The kernel's limit for a list, and for a value.
const LONGEST: usize = 64 * 1024;

/// Made by the kernel for one file on one file system: worthless on another, and not to be written.
const NOT_KEPT: [&[u8]; 2] = [b"security.ima", b"security.evm"];

pub(crate) fn is_kept(name: &[u8]) -> bool {
    let kept = [&b"user."[..], b"trusted.", b"security.", b"system.posix_acl_"];
    kept.iter().any(|prefix| name.starts_with(prefix)) && !NOT_KEPT.contains(&name)
        // Overlay file systems keep their own books there.
        && !name.starts_with(b"trusted.overlay.")
}

/// The attributes of an open file or folder; none where the file system has none. `names` is a buffer to use again.
pub(crate) fn read(file: impl AsFd, names: &mut Vec<u8>) -> io::Result<Option<Box<Xattrs>>> {
    names.clear();
    names.resize(1024, 0);
    let length = loop {
        match flistxattr(file.as_fd(), &mut names[..]) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(None),
            Ok(length) => break length,
            Err(Errno::RANGE) if names.len() < LONGEST => names.resize(LONGEST, 0),
            Err(error) => return Err(error.into()),
        }
    };
    let mut found = Xattrs::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        if let Some(value) = value(file.as_fd(), name)? {
            found.insert(name.into(), value);
        }
    }
    Ok(if found.is_empty() { None } else { Some(Box::new(found)) })
}

fn value(file: impl AsFd, name: &[u8]) -> io::Result<Option<Box<[u8]>>> {
    let mut buffer = vec![0; 256];
    loop {
        match fgetxattr(file.as_fd(), name, &mut buffer[..]) {
            Ok(length) => return Ok(Some(buffer[..length].into())),
            Err(Errno::RANGE) if buffer.len() < LONGEST => buffer.resize(LONGEST, 0),
            // Removed since it was listed.
            Err(Errno::NODATA) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives an open file or folder these attributes and no others.
///
/// Those that take a right which even root may lack, in a container, are left out then: a `security.` or `trusted.`
/// attribute is no reason to refuse a restore. Answers whether all are there.
pub(crate) fn write(file: impl AsFd, wanted: Option<&Xattrs>, names: &mut Vec<u8>) -> io::Result<bool> {
    let present = read(file.as_fd(), names)?;
    for name in present.iter().flat_map(|present| present.keys()) {
        if !wanted.is_some_and(|wanted| wanted.contains_key(name)) && !name.starts_with(b"security.") {
            fremovexattr(file.as_fd(), &**name)?;
        }
    }
    let mut all = true;
    for (name, value) in wanted.into_iter().flatten() {
        if present.as_ref().and_then(|present| present.get(name)) == Some(value) {
            continue;
        }
        match fsetxattr(file.as_fd(), &**name, value, XattrFlags::empty()) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) if is_for_root(name) => all = false,
            done => done?,
        }
    }
    Ok(all)
}

fn is_for_root(name: &[u8]) -> bool {
    name.starts_with(b"security.") || name.starts_with(b"trusted.")
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
