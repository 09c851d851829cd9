//! Removing a tree: fast, safe to interrupt, never across a mount, never through a link.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, chmodat, openat, unlinkat};
use rustix::io::Errno;

use crate::beneath::{Beneath, PLACE, is_absent};
use crate::listing::{Listing, open_folder};
use crate::path::{join, split};
use crate::root::{error_at, is_mount};

/// Removes what is at `top` with everything below it. Nothing there is fine.
///
/// # Errors
/// With the path that can't be removed; what could be is gone.
pub(crate) fn remove_tree(top: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (top.parent(), top.file_name()) else {
        return Err(Error::defect("the top of the file system is not removed"));
    };
    let parent_fd = match openat(CWD, parent, PLACE, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error_at(parent, "can't open the folder", b"", error)),
    };
    Removal { parent, beneath: Beneath::new(Arc::new(parent_fd)), listing: Listing::default() }
        .run(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

struct Removal<'a> {
    parent: &'a Path,
    beneath: Beneath,
    listing: Listing,
}

enum Step {
    Empty(Vec<u8>),
    Remove(Vec<u8>),
}

/// So many files are removed before the folder is listed on: it may have millions.
const FILES_AT_ONCE: usize = if cfg!(debug_assertions) { 10 } else { 10_000 };

/// With whether it is a folder.
type Names = Vec<(Box<[u8]>, bool)>;

#[derive(PartialEq, Eq)]
enum End {
    Reached,
    Ahead,
}

/// What ends a listing.
enum Stop {
    Enough,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Removal<'_> {
    fn run(&mut self, top: &[u8]) -> Result<()> {
        match self.beneath.stat(top) {
            Ok(None) => return Ok(()),
            Ok(Some(stat)) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(Some(_)) => return self.unlink(top, AtFlags::empty()),
            Err(error) => return Err(self.error(top, error)),
        }
        let mut steps = vec![Step::Empty(top.to_vec())];
        while let Some(step) = steps.pop() {
            match step {
                Step::Empty(folder) => {
                    let folders = self.empty(&folder)?;
                    steps.push(Step::Remove(folder));
                    steps.extend(folders.into_iter().map(Step::Empty));
                }
                Step::Remove(folder) => self.unlink(&folder, AtFlags::REMOVEDIR)?,
            }
        }
        Ok(())
    }

    /// Removes all but folders from `folder`, and answers those.
    fn empty(&mut self, folder: &[u8]) -> Result<Vec<Vec<u8>>> {
        let fd = match self.open(folder) {
            Ok(fd) => fd,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(self.error(folder, error)),
        };
        let above = self.beneath.stat(split(folder).0).ok().flatten().map(|stat| stat.st_dev);
        if is_mount(&fd, above).map_err(|error| self.error(folder, error))? {
            return Err(Error::environment("something is mounted in what is to be removed")
                .with_context("path", crate::path::under(self.parent, folder).display())
                .with_hint("unmount it, then run `dumprestore recover`"));
        }
        loop {
            let (names, end) = self.names(&fd).map_err(|error| self.error(folder, error))?;
            let mut folders = Vec::new();
            for (name, is_folder) in names {
                let path = join(folder, &name);
                if is_folder { folders.push(path) } else { self.unlink(&path, AtFlags::empty())? }
            }
            if end == End::Reached {
                return Ok(folders);
            }
        }
    }

    /// The names in a folder, from the first on, until there are many files among them.
    fn names(&mut self, fd: &OwnedFd) -> io::Result<(Names, End)> {
        rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(0))?;
        let (mut names, mut files) = (Names::new(), 0);
        let read = self.listing.read(fd, |name, kind| {
            if files == FILES_AT_ONCE {
                return Err(Stop::Enough);
            }
            let is_folder = match kind {
                FileType::Unknown => {
                    let stat =
                        rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                kind => kind == FileType::Directory,
            };
            files += usize::from(!is_folder);
            names.push((name.to_bytes().into(), is_folder));
            Ok(())
        });
        match read {
            Ok(()) => Ok((names, End::Reached)),
            Err(Stop::Enough) => Ok((names, End::Ahead)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// A folder without rights for its owner is given them: it goes anyway.
    fn open(&mut self, folder: &[u8]) -> io::Result<OwnedFd> {
        let (above, name) = self.beneath.parent(folder)?;
        match open_folder(above, name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                chmodat(above, name, Mode::RWXU, AtFlags::empty())?;
                open_folder(above, name)
            }
            opened => opened,
        }
    }

    fn unlink(&mut self, path: &[u8], flags: AtFlags) -> Result<()> {
        match self.try_unlink(path, flags) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let freed = self.free(split(path).0).and_then(|()| self.try_unlink(path, flags));
                freed.map_err(|_| self.error(path, error))
            }
            done => done.map_err(|error| self.error(path, error)),
        }
    }

    fn try_unlink(&mut self, path: &[u8], flags: AtFlags) -> io::Result<()> {
        let removed = self.beneath.parent(path).and_then(|(above, name)| Ok(unlinkat(above, name, flags)?));
        match removed {
            Err(error) if is_absent(&error) => Ok(()),
            removed => removed,
        }
    }

    fn free(&mut self, folder: &[u8]) -> io::Result<()> {
        if folder.is_empty() {
            return Ok(());
        }
        let (above, name) = self.beneath.parent(folder)?;
        Ok(chmodat(above, name, Mode::RWXU, AtFlags::empty())?)
    }

    fn error(&self, path: &[u8], error: io::Error) -> Error {
        error_at(self.parent, "can't remove what was restored over", path, error).with_hint(
            "see `lsattr` for an immutable file; when it can be removed, run `dumprestore recover`",
        )
    }
}
