//! The folder that a node is about.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, StatxAttributes, StatxFlags, fstat, openat, statx};

use crate::beneath::Beneath;
use crate::path::{shown, under};
use crate::state::Clock;
use crate::writers::Backing;

/// A folder, open, and reached by no name but its own.
#[derive(Debug)]
pub(crate) struct Root {
    /// With all links resolved.
    pub(crate) path: PathBuf,
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) clock: Clock,
    pub(crate) backing: Backing,
    pub(crate) dev: u64,
}

impl Root {
    /// Opens the folder at `path`; `None` if there is nothing. The root itself may be a link to a folder.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::io("can't reach the folder", error).with_context("path", path.display()));
            }
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, &real, flags, Mode::empty()) {
            Ok(fd) => {
                let backing = Backing::of(&fd);
                let dev = fstat(&fd).map_err(|error| {
                    Error::io("can't look at the folder", error.into()).with_context("path", real.display())
                })?;
                let (fd, clock, dev) = (Arc::new(fd), backing.clock(), dev.st_dev);
                Ok(Some(Self { path: real, fd, clock, backing, dev }))
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(rustix::io::Errno::NOTDIR) => Err(Error::config("`path` is a file, not a folder")
                .with_context("path", real.display())
                .with_hint("name the folder that it is in, and the file under `include`")),
            Err(error) => {
                Err(Error::io("can't open the folder", error.into()).with_context("path", real.display()))
            }
        }
    }

    /// As [`Root::open`], where there must be one.
    pub(crate) fn open_existing(path: &Path) -> Result<Self> {
        Self::open(path)?.ok_or_else(|| {
            Error::environment("there is no such folder")
                .with_context("path", path.display())
                .with_hint("make the folder, or correct `path`")
        })
    }

    pub(crate) fn beneath(&self) -> Beneath {
        Beneath::new(self.fd.clone())
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        fstat(&self.fd).map_err(|error| self.error("can't look at the folder", b"", error))
    }

    /// An I/O error at `path` below this folder.
    pub(crate) fn error(&self, what: &str, path: &[u8], error: impl Into<io::Error>) -> Error {
        error_at(&self.path, what, path, error)
    }
}

/// An I/O error while doing `what` at `path` below `root`. One of our own that travelled inside keeps its words.
pub(crate) fn error_at(root: &Path, what: &str, path: &[u8], error: impl Into<io::Error>) -> Error {
    let made = Error::io(what, error.into());
    match made.kind() {
        ErrorKind::Environment if made.context().is_empty() => made.with_context(
            "path",
            shown(std::os::unix::ffi::OsStrExt::as_bytes(under(root, path).as_os_str())),
        ),
        _ => made,
    }
}

/// The real path of what is, or will be, at `path`: links resolved as far as it exists.
pub(crate) fn real_path(path: &Path) -> Result<PathBuf> {
    let cannot = |error| Error::io("can't resolve the path", error).with_context("path", path.display());
    match path.canonicalize() {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(Error::environment("the path is a symbolic link to nothing")
                    .with_context("path", path.display())
                    .with_hint("make the folder that the link names, or remove the link"));
            }
            match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
                    Ok(real_path(parent)?.join(name))
                }
                _ => Err(cannot(error)),
            }
        }
        Err(error) => Err(cannot(error)),
    }
}

/// Whether a folder handle is the top of a mount. Bind mounts within one file system count: their device number
/// is that of what is around them, and still nothing can be renamed across.
pub(crate) fn is_mount(folder: impl AsFd, above_dev: Option<u64>) -> io::Result<bool> {
    match statx(folder.as_fd(), "", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE) {
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
        }
        // Before Linux 5.8, or where `statx` is filtered away.
        _ => Ok(above_dev.is_some_and(|dev| fstat(folder).is_ok_and(|stat| stat.st_dev != dev))),
    }
}

/// Where something is mounted below `root`, as relative paths.
///
/// # Errors
/// If the kernel's table can't be read: nothing is moved that could take a mount along unseen.
pub(crate) fn mounts_below(root: &Path) -> Result<Vec<Vec<u8>>> {
    let table = std::fs::read("/proc/self/mountinfo").map_err(|error| {
        Error::io("can't read what is mounted where", error)
            .with_context("path", "/proc/self/mountinfo")
            .with_hint("mount `/proc`")
    })?;
    let root = std::os::unix::ffi::OsStrExt::as_bytes(root.as_os_str());
    let root = root.strip_suffix(b"/").unwrap_or(root);
    let points =
        table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let below = points.filter_map(|point| {
        let point = without_escapes(point);
        Some(point.strip_prefix(root)?.strip_prefix(b"/")?.to_vec())
    });
    Ok(below.filter(|path| !path.is_empty()).collect())
}

/// The table writes blanks, tabs, line ends and backslashes as `\ooo`.
fn without_escapes(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_are_found() {
        assert_eq!(without_escapes(b"/mnt/a\\040b\\134c"), b"/mnt/a b\\c");
        assert_eq!(without_escapes(b"/mnt/a\\9"), b"/mnt/a\\9");
    }

    #[test]
    fn proc_is_mounted_below_the_top() {
        assert!(mounts_below(Path::new("/")).unwrap().contains(&b"proc".to_vec()));
        assert!(mounts_below(Path::new("/pro")).unwrap().is_empty());
    }
}
