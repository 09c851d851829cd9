//! Removing a tree: fast, safe to interrupt, never across a mount, never through a link.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    let beneath = Beneath::new(Arc::new(parent_fd));
    Removal { parent, beneath, listing: Listing::default(), files: Vec::new(), emptied: Vec::new() }
        .run(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

/// Removes what is in an open folder, which lies at `path`.
///
/// # Errors
/// As for [`remove_tree`].
pub(crate) fn remove_all_in(folder: &Arc<OwnedFd>, path: &Path) -> Result<()> {
    let beneath = Beneath::new(folder.clone());
    let mut removal = Removal {
        parent: path,
        beneath,
        listing: Listing::default(),
        files: Vec::new(),
        emptied: Vec::new(),
    };
    let folders = removal.empty(b"")?;
    removal.empty_all(folders.into_iter().map(Step::Empty).collect())
}

struct Removal<'a> {
    parent: &'a Path,
    beneath: Beneath,
    listing: Listing,
    /// Files that are to go, by the folders that they are in.
    files: Vec<Doomed>,
    /// Folders that go once those files are gone: each after all that are in it.
    emptied: Vec<Vec<u8>>,
}

/// Files of one folder.
struct Doomed {
    path: Vec<u8>,
    folder: OwnedFd,
    names: Vec<Box<[u8]>>,
}

enum Step {
    Empty(Vec<u8>),
    Remove(Vec<u8>),
}

/// So many files are removed before the folder is listed on: it may have millions.
const FILES_AT_ONCE: usize = if cfg!(debug_assertions) { 10 } else { 10_000 };
/// So many folders are open at once.
const FOLDERS_AT_ONCE: usize = if cfg!(debug_assertions) { 4 } else { 100 };
/// A file system may make each removal wait, for its server or for the disk to discard what was there. So many files
/// are removed at a time; more would only queue up.
const HANDS: usize = 4;
/// A hand takes so many files at a time.
const HANDFUL: usize = 64;

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
        self.empty_all(vec![Step::Empty(top.to_vec())])
    }

    fn empty_all(&mut self, mut steps: Vec<Step>) -> Result<()> {
        while let Some(step) = steps.pop() {
            match step {
                Step::Empty(folder) => {
                    let folders = self.empty(&folder)?;
                    steps.push(Step::Remove(folder));
                    steps.extend(folders.into_iter().map(Step::Empty));
                }
                Step::Remove(folder) => self.emptied.push(folder),
            }
            if self.emptied.len() >= FOLDERS_AT_ONCE {
                self.carry_out()?;
            }
        }
        self.carry_out()
    }

    /// Takes note of all but folders in `folder`, which are to go, and answers those.
    fn empty(&mut self, folder: &[u8]) -> Result<Vec<Vec<u8>>> {
        loop {
            let fd = match self.open(folder) {
                Ok(fd) => fd,
                Err(error) if is_absent(&error) => return Ok(Vec::new()),
                Err(error) => return Err(self.error(folder, error)),
            };
            self.refuse_mount(folder, &fd)?;
            let (names, end) = self.names(&fd).map_err(|error| self.error(folder, error))?;
            let (folders, files): (Names, Names) = names.into_iter().partition(|(_, is_folder)| *is_folder);
            if !files.is_empty() {
                let names = files.into_iter().map(|(name, _)| name).collect();
                self.files.push(Doomed { path: folder.to_vec(), folder: fd, names });
            }
            if self.files.iter().map(|doomed| doomed.names.len()).sum::<usize>() >= FILES_AT_ONCE
                || self.files.len() >= FOLDERS_AT_ONCE
            {
                self.remove_files()?;
            }
            if end == End::Reached {
                return Ok(folders.into_iter().map(|(name, _)| join(folder, &name)).collect());
            }
        }
    }

    fn refuse_mount(&mut self, folder: &[u8], fd: &OwnedFd) -> Result<()> {
        let above = self.beneath.stat(split(folder).0).ok().flatten().map(|stat| stat.st_dev);
        if is_mount(fd, above).map_err(|error| self.error(folder, error))? {
            return Err(Error::environment("something is mounted in what is to be removed")
                .with_context("path", crate::path::under(self.parent, folder).display())
                .with_hint("unmount it, then run `dumprestore recover`"));
        }
        Ok(())
    }

    /// Removes what was taken note of.
    fn carry_out(&mut self) -> Result<()> {
        self.remove_files()?;
        let emptied = std::mem::take(&mut self.emptied);
        emptied.iter().try_for_each(|folder| self.unlink(folder, AtFlags::REMOVEDIR))
    }

    fn remove_files(&mut self) -> Result<()> {
        let doomed = std::mem::take(&mut self.files);
        for (at, name) in unlink_all(&doomed) {
            // Once more, with rights for the folder; and with words for what stands in the way.
            self.unlink(&join(&doomed[at].path, name), AtFlags::empty())?;
        }
        Ok(())
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

/// Removes files, several at a time. Answers those that it could not.
fn unlink_all(doomed: &[Doomed]) -> Vec<(usize, &[u8])> {
    let files = doomed.iter().enumerate();
    let handfuls: Vec<_> =
        files.flat_map(|(at, one)| one.names.chunks(HANDFUL).map(move |names| (at, names))).collect();
    let (next, left) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hand = || {
        while let Some(&(at, names)) = handfuls.get(next.fetch_add(1, Ordering::Relaxed)) {
            for name in names {
                match unlinkat(doomed[at].folder.as_fd(), &**name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(_) => left.lock().unwrap_or_else(PoisonError::into_inner).push((at, &**name)),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (1..handfuls.len().min(HANDS)).for_each(|_| {
            // Where no thread can be had, this one does it all.
            let _hired = std::thread::Builder::new().spawn_scoped(scope, hand);
        });
        hand();
    });
    left.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn nothing_is_left_of_a_tree_with_many_folders_and_large_ones_and_what_links_lead_to_stays() {
        let around = tempfile::tempdir().unwrap();
        let (top, kept) = (around.path().join("top"), around.path().join("kept"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "kept").unwrap();
        for folder in 0..30 {
            let deep = top.join(format!("{}/{folder}/inner", folder % 3));
            fs::create_dir_all(&deep).unwrap();
            (0..folder * 10).for_each(|at| fs::write(deep.join(format!("file-{at}")), "gone").unwrap());
            symlink(&kept, deep.join("link")).unwrap();
            fs::set_permissions(&deep, fs::Permissions::from_mode(0o500)).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "kept");
        remove_tree(&top).unwrap();
    }
}
