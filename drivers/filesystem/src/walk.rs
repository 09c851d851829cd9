//! One pass over everything that is ours, in a bounded amount of memory.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dumprestore_driver::{Cancel, Error, Result};
use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;

use crate::beneath::is_absent;
use crate::filter::{Filter, Part};
use crate::listing::{Listing, open_folder};
use crate::path::{join, split};
use crate::root::{Root, is_mount};
use crate::state::{Signature, Stamp, type_of};

/// What a walk goes over.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) root: &'a Root,
    pub(crate) filter: &'a Filter,
    pub(crate) one_file_system: bool,
    pub(crate) cancel: &'a Cancel,
}

/// Something that a walk came by.
pub(crate) struct Found<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) what: What<'a>,
}

pub(crate) enum What<'a> {
    File(&'a Stat),
    /// The stat, the folder that the link is in, and its name there.
    Link(&'a Stat, BorrowedFd<'a>, &'a CStr),
    /// An open folder, and whether it is ours or only on the way to what is.
    Folder(&'a Stat, BorrowedFd<'a>, Part),
    /// Left out as it should be.
    Skipped(&'static str),
    /// Can't be looked at.
    Unreadable(io::Error),
}

/// The folders that were listed, as they were before that.
#[derive(Default)]
pub(crate) struct Folders(BTreeMap<Vec<u8>, (Part, Option<Signature>)>);

/// Goes over everything in scope: a folder before what is in it, in no other order.
///
/// # Errors
/// What `each` answers, a cancelled run, or a root that can't be listed. Trouble below the root is handed to `each`.
pub(crate) fn walk(scope: Scope<'_>, each: &mut dyn FnMut(Found<'_>) -> Result<()>) -> Result<Folders> {
    let mut folders = Folders::default();
    walk_from(scope, vec![(Vec::new(), scope.filter.root())], &mut folders, each)?;
    Ok(folders)
}

/// Lists the folders anew that have changed since they were listed, and goes over those that are new in them.
///
/// # Errors
/// As for [`walk`].
pub(crate) fn walk_changed(
    scope: Scope<'_>,
    folders: &mut Folders,
    each: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<()> {
    let mut beneath = scope.root.beneath();
    let mut changed = Vec::new();
    for (path, (part, known)) in &folders.0 {
        // One that is gone has nothing to list.
        if let Ok(Some(stat)) = beneath.stat(path)
            && type_of(&stat) == FileType::Directory
            && *known != Some(Signature::of(&stat))
        {
            changed.push((path.clone(), *part));
        }
    }
    walk_from(scope, changed, folders, each)
}

fn walk_from(
    scope: Scope<'_>,
    pending: Vec<(Vec<u8>, Part)>,
    folders: &mut Folders,
    each: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<()> {
    let mut walker = Walker { scope, each, pending, folders };
    let mut beneath = scope.root.beneath();
    let mut listing = Listing::default();
    while let Some((path, part)) = walker.pending.pop() {
        scope.cancel.check()?;
        let opened = beneath.parent(&path).and_then(|(above, name)| open_folder(above, name));
        match opened {
            Ok(fd) => walker.folder(&path, part, &fd, &mut listing)?,
            Err(error) if path.is_empty() => {
                return Err(scope.root.error("can't list the folder", b"", error));
            }
            Err(error) => walker.not_opened(&path, error, &mut beneath)?,
        }
    }
    Ok(())
}

struct Walker<'a, 'b> {
    scope: Scope<'a>,
    each: &'b mut dyn FnMut(Found<'_>) -> Result<()>,
    pending: Vec<(Vec<u8>, Part)>,
    folders: &'b mut Folders,
}

/// What stops the listing of one folder: our own trouble, or an I/O error of that folder.
enum Stop {
    Run(Error),
    Folder(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Folder(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Run(error)
    }
}

impl Walker<'_, '_> {
    fn tell(&mut self, path: &[u8], what: What<'_>) -> Result<()> {
        (self.each)(Found { path, what })
    }

    fn folder(&mut self, path: &[u8], part: Part, fd: &OwnedFd, listing: &mut Listing) -> Result<()> {
        let read_at = Stamp::now();
        let stat = match fstat(fd) {
            Ok(stat) => stat,
            Err(error) => return self.tell(path, What::Unreadable(error.into())),
        };
        let state = Signature::of(&stat);
        if self.folders.0.get(path).is_some_and(|(_, known)| *known == Some(state)) {
            return Ok(());
        }
        // One that was changed just now may be changed again under the same stamp.
        let known = self.scope.root.clock.tells_changes_since(read_at, state.ctime).then_some(state);
        self.folders.0.insert(path.to_vec(), (part, known));
        self.tell(path, What::Folder(&stat, fd.as_fd(), part))?;
        if !path.is_empty() && self.scope.one_file_system && self.is_mounted(fd)? {
            return self.tell(path, What::Skipped("another file system is mounted there"));
        }
        let known = self.pending.len();
        let listed = listing.read(fd, |name, kind| self.entry(path, part, fd.as_fd(), name, kind));
        self.pending[known..].reverse();
        match listed {
            Ok(()) => Ok(()),
            Err(Stop::Run(error)) => Err(error),
            Err(Stop::Folder(error)) => self.tell(path, What::Unreadable(error)),
        }
    }

    fn is_mounted(&self, fd: &OwnedFd) -> Result<bool> {
        let dev = self.scope.root.stat()?.st_dev;
        is_mount(fd, Some(dev)).map_err(|error| self.scope.root.error("can't look at a folder", b"", error))
    }

    fn entry(
        &mut self,
        folder: &[u8],
        part: Part,
        fd: BorrowedFd<'_>,
        name: &CStr,
        kind: FileType,
    ) -> Result<(), Stop> {
        let path = join(folder, name.to_bytes());
        if kind == FileType::Directory {
            return Ok(self.queue(path, part)?);
        }
        match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if type_of(&stat) == FileType::Directory => Ok(self.queue(path, part)?),
            Ok(stat) if self.scope.filter.part(&path, false, part) == Part::Ours => {
                Ok(self.leaf(&path, &stat, fd, name)?)
            }
            Ok(_) if self.scope.filter.is_of_a_run(&path) => Ok(self.tell(&path, What::Skipped(OF_A_RUN))?),
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Ok(self.tell(&path, What::Unreadable(error.into()))?),
        }
    }

    fn queue(&mut self, path: Vec<u8>, above: Part) -> Result<()> {
        match self.scope.filter.part(&path, true, above) {
            Part::Foreign if self.scope.filter.is_of_a_run(&path) => {
                self.tell(&path, What::Skipped(OF_A_RUN))
            }
            Part::Foreign => Ok(()),
            part => {
                self.pending.push((path, part));
                Ok(())
            }
        }
    }

    fn leaf(&mut self, path: &[u8], stat: &Stat, fd: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        self.tell(path, kind_of(stat, fd, name))
    }

    /// A folder that was listed, and could not be opened: it vanished, or was replaced, or may not be read.
    fn not_opened(
        &mut self,
        path: &[u8],
        error: io::Error,
        beneath: &mut crate::beneath::Beneath,
    ) -> Result<()> {
        if !is_absent(&error) {
            return self.tell(path, What::Unreadable(error));
        }
        let Ok(folder) = beneath.folder(split(path).0) else { return Ok(()) };
        let Ok(name) = std::ffi::CString::new(split(path).1) else { return Ok(()) };
        match statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if type_of(&stat) != FileType::Directory => {
                match self.scope.filter.part_from_root(path, false) {
                    Part::Ours => self.tell(path, kind_of(&stat, folder, &name)),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

const OF_A_RUN: &str = "it belongs to dumprestore itself";

fn kind_of<'a>(stat: &'a Stat, folder: BorrowedFd<'a>, name: &'a CStr) -> What<'a> {
    match type_of(stat) {
        FileType::RegularFile => What::File(stat),
        FileType::Symlink => What::Link(stat, folder, name),
        FileType::Socket => What::Skipped("it is a socket"),
        FileType::Fifo => What::Skipped("it is a fifo"),
        FileType::CharacterDevice | FileType::BlockDevice => What::Skipped("it is a device"),
        _ => What::Skipped("it is neither a file, nor a folder, nor a link"),
    }
}
