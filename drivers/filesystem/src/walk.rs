//! One pass over everything that is ours, in a bounded amount of memory.

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
    Folder {
        stat: &'a Stat,
        fd: BorrowedFd<'a>,
        /// Whether it is ours, or only on the way to what is.
        part: Part,
        /// Its state before it is listed, if that would tell of any change since.
        listed: Option<Signature>,
    },
    /// Left out as it should be.
    Skipped(&'static str),
    /// Can't be looked at.
    Unreadable(io::Error),
}

/// The state of a folder before it was listed, as far as that is known.
type Known<'a> = dyn Fn(&[u8]) -> Result<Option<Signature>> + 'a;

/// Goes over everything in scope: a folder before what is in it, in no other order.
///
/// # Errors
/// What `each` answers, a cancelled run, or a root that can't be listed. Trouble below the root is handed to `each`.
pub(crate) fn walk(scope: Scope<'_>, each: &mut dyn FnMut(Found<'_>) -> Result<()>) -> Result<()> {
    walk_from(scope, vec![(Vec::new(), scope.filter.root())], &|_| Ok(None), each)
}

/// Lists `folders` anew, and those below them that are not as they were when they were listed.
///
/// # Errors
/// As for [`walk`].
pub(crate) fn walk_from(
    scope: Scope<'_>,
    folders: Vec<(Vec<u8>, Part)>,
    known: &Known<'_>,
    each: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<()> {
    let mut walker = Walker { scope, each, pending: folders, known };
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
    known: &'b Known<'b>,
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
        if (self.known)(path)? == Some(state) {
            return Ok(());
        }
        // One that was changed just now may be changed again under the same stamp.
        let listed = self.scope.root.clock.tells_changes_since(read_at, state.ctime).then_some(state);
        self.tell(path, What::Folder { stat: &stat, fd: fd.as_fd(), part, listed })?;
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
