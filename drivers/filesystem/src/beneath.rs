//! Reaching what lies below a folder, without ever passing through a symbolic link.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use crate::path;

/// So many levels are held open at once; deeper trees than that are reached all the same.
const HELD_OPEN: usize = 16;

/// A folder handle that is good for `*at` calls, and not for reading.
pub(crate) const PLACE: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Walks from folder to folder below a root, one component at a time, each opened with `O_NOFOLLOW`: neither `..`
/// nor a link that somebody puts in the way leads out. It keeps the way it came, so that neighbours are near; and
/// it needs no path longer than one name, so that `PATH_MAX` is no limit.
#[derive(Debug)]
pub(crate) struct Beneath {
    root: Arc<OwnedFd>,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    name: Box<[u8]>,
    fd: Option<OwnedFd>,
}

impl Beneath {
    pub(crate) fn new(root: Arc<OwnedFd>) -> Self {
        Self { root, levels: Vec::new() }
    }

    /// Where it begins.
    pub(crate) fn root(&self) -> Arc<OwnedFd> {
        self.root.clone()
    }

    /// Goes to `folder`.
    ///
    /// # Errors
    /// `ENOENT`, or `ENOTDIR` where a component is a symbolic link or a file.
    pub(crate) fn folder(&mut self, folder: &[u8]) -> io::Result<BorrowedFd<'_>> {
        let mut kept = 0;
        for name in path::components(folder) {
            if name == b".." {
                return Err(Errno::NOTDIR.into());
            }
            if self.levels.get(kept).is_none_or(|level| *level.name != *name) {
                self.levels.truncate(kept);
                self.levels.push(Level { name: name.into(), fd: None });
            }
            kept += 1;
        }
        self.levels.truncate(kept);
        self.open_levels()?;
        Ok(self.here())
    }

    fn here(&self) -> BorrowedFd<'_> {
        match self.levels.last() {
            Some(Level { fd: Some(fd), .. }) => fd.as_fd(),
            _ => self.root.as_fd(),
        }
    }

    fn open_levels(&mut self) -> io::Result<()> {
        let first_closed = self.levels.iter().rposition(|level| level.fd.is_some()).map_or(0, |at| at + 1);
        for at in first_closed..self.levels.len() {
            let above = match at.checked_sub(1).and_then(|above| self.levels[above].fd.as_ref()) {
                Some(fd) => fd.as_fd(),
                None => self.root.as_fd(),
            };
            match openat(above, &*self.levels[at].name, PLACE, Mode::empty()) {
                Ok(fd) => self.levels[at].fd = Some(fd),
                Err(error) => {
                    self.levels.truncate(at);
                    return Err(not_a_folder(error).into());
                }
            }
            if let Some(far) = at.checked_sub(HELD_OPEN) {
                self.levels[far].fd = None;
            }
        }
        Ok(())
    }

    /// The folder that `path` is in, and its name there.
    pub(crate) fn parent<'a>(&mut self, path: &'a [u8]) -> io::Result<(BorrowedFd<'_>, &'a OsStr)> {
        let (folder, name) = path::split(path);
        if name == b".." {
            return Err(Errno::NOTDIR.into());
        }
        let name = if name.is_empty() { b"." } else { name };
        Ok((self.folder(folder)?, OsStr::from_bytes(name)))
    }

    /// What is at `path`; `None` if nothing is. A last component that is a link is not followed.
    pub(crate) fn stat(&mut self, path: &[u8]) -> io::Result<Option<Stat>> {
        let found = self.parent(path).and_then(|(folder, name)| {
            statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)
        });
        match found {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A link on the way answers `ELOOP` or `ENOTDIR`, depending on the flags and the kernel.
fn not_a_folder(error: Errno) -> Errno {
    if error == Errno::LOOP { Errno::NOTDIR } else { error }
}

/// Whether an error says that there is nothing of that path: no entry, or no folder where one is needed.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mkdirat, symlinkat};

    fn beneath(folder: &std::path::Path) -> Beneath {
        Beneath::new(Arc::new(openat(CWD, folder, PLACE, Mode::empty()).unwrap()))
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/inner")).unwrap();
        symlinkat("real", CWD, dir.path().join("alias")).unwrap();
        let mut beneath = beneath(dir.path());
        assert!(beneath.stat(b"real/inner").unwrap().is_some());
        assert!(beneath.stat(b"alias/inner").unwrap().is_none());
        assert_eq!(beneath.folder(b"alias").unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn nothing_above_the_root_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let mut beneath = beneath(&dir.path().join("a"));
        assert!(beneath.stat(b"../a/b").unwrap().is_none());
        assert!(beneath.folder(b"b/../..").is_err());
        assert!(beneath.stat(b"b/..").unwrap().is_none());
        for path in ["..", "../x", "a/../..", "/etc", "a//b"] {
            let line = format!(r#"{{"carry":{{"path":"{path}"}}}}"#);
            assert!(crate::plan::Step::from_line(line.as_bytes()).is_err(), "{path}");
        }
        assert!(crate::plan::Step::from_line(br#"{"carry":{"path":"a/b"}}"#).is_ok());
    }

    #[test]
    fn a_tree_far_deeper_than_a_path_may_be_long_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let mut beneath = beneath(dir.path());
        let mut folder = Vec::new();
        let name = [b'n'; 200];
        for _ in 0..100 {
            mkdirat(beneath.folder(&folder).unwrap(), &name[..], Mode::RWXU).unwrap();
            folder = path::join(&folder, &name);
        }
        assert!(beneath.stat(&folder).unwrap().is_some());
        // All the way up again, over levels that were let go.
        while !folder.is_empty() {
            assert!(beneath.stat(&folder).unwrap().is_some());
            folder = path::split(&folder).0.to_vec();
        }
        crate::remove::remove_tree(&dir.path().join(std::str::from_utf8(&name).unwrap())).unwrap();
    }
}
