//! The folder that a restore is staged in, held open.
//!
//! Where it lies in the live folder, whoever may write there can put something else in its place. So it is looked at
//! once, when it is opened, and all that is in it is reached from there.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Error, Result};
use rustix::fs::{AtFlags, CWD, Mode, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::beneath::PLACE;
use crate::remove::remove_all_in;
use crate::root::error_at;
use crate::writers::Backing;

/// A container as it was found, for as long as the restore lasts.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Option<Arc<OwnedFd>>>);

impl Held {
    /// The container that is held, or else the one at `at`; `None` if there is none.
    pub(crate) fn find(&self, at: &Path) -> Result<Option<Arc<OwnedFd>>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = open(at)?.map(Arc::new);
        }
        Ok(held.clone())
    }

    pub(crate) fn hold(&self, container: OwnedFd) -> Arc<OwnedFd> {
        let container = Arc::new(container);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(container.clone());
        container
    }

    /// What is there from now on is another one.
    pub(crate) fn let_go(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Opens a container; `None` if there is none.
///
/// # Errors
/// If something else lies there, or if somebody else could change what is in it.
pub(crate) fn open(at: &Path) -> Result<Option<OwnedFd>> {
    match openat(CWD, at, PLACE, Mode::empty()) {
        Ok(fd) => check(at, &fd).map(|()| Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) if statat(CWD, at, AtFlags::SYMLINK_NOFOLLOW).is_err() => Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => Err(not_ours(at)),
        Err(error) => Err(error_at(at, "can't open what was staged", b"", error)),
    }
}

/// A container is its maker's alone, wherever the file system keeps such things.
pub(crate) fn check(at: &Path, container: &OwnedFd) -> Result<()> {
    let stat = fstat(container).map_err(|error| error_at(at, "can't look at what was staged", b"", error))?;
    let is_private = stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    match is_private || Backing::of(container) == Backing::Unknown {
        true => Ok(()),
        false => Err(not_ours(at)),
    }
}

pub(crate) fn not_ours(at: &Path) -> Error {
    Error::environment("where a restore was staged, there is something that others can change")
        .with_context("path", at.display())
        .with_hint(
            "if another user began the restore, go on as that user; if not, somebody has put it there: look \
             what it is, and move it away",
        )
}

pub(crate) fn has(container: &OwnedFd, name: &str) -> bool {
    statat(container, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

pub(crate) fn remove_file(container: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(container, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a container with all that is in it. What lies at `at` instead of it stays.
pub(crate) fn remove(container: &Arc<OwnedFd>, at: &Path) -> Result<()> {
    remove_all_in(container, at)?;
    if !is_at(container, at) {
        return match statat(CWD, at, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            _ => Err(not_ours(at)),
        };
    }
    match unlinkat(CWD, at, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error_at(at, "can't remove the place of a restore", b"", io::Error::from(error))),
    }
}

/// Whether it is this container that lies there.
pub(crate) fn is_at(container: &OwnedFd, at: &Path) -> bool {
    let there = statat(CWD, at, AtFlags::SYMLINK_NOFOLLOW);
    let here = fstat(container);
    here.is_ok_and(|here| there.is_ok_and(|there| (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)))
}
