//! The last touch to a staged folder: links, owners, modes, attributes and times.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Cancel, Error, Result};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat,
    linkat, statat, symlinkat, utimensat,
};

use rustix::io::Errno;

use crate::beneath::Beneath;
use crate::container::STAGED;
use crate::entry::{Entry, FileContent, Kind, Meta, TREE};
use crate::filter::{Filter, Part};
use crate::listing::open_quietly;
use crate::path::{is_below, join, shown};
use crate::root::error_at;
use crate::state::type_of;
use crate::tally::{Lacking, Tally};
use crate::tree::Tree;
use crate::xattr;

const SET_ID: u32 = 0o6000;

/// Gives what is at `name` in `folder` this owner, mode, time and attributes. Not for symbolic links.
///
/// Who is not root can't give files away: owner and group then stay, as far as they can't be set, and a program
/// that is not its recorded owner's does not keep a set-id bit. Answers what could not be set.
pub(crate) fn stamp(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    now: &Stat,
    meta: &Meta,
    attributes: Attributes,
    names: &mut Vec<u8>,
) -> io::Result<Lacking> {
    let owned = own(folder, name, now, meta, AtFlags::empty())?;
    let mut lacking = Lacking { owner: !owned, attributes: false };
    if attributes == Attributes::Exactly || meta.xattrs.is_some() {
        let file = open_quietly(folder, name, OFlags::NONBLOCK)?;
        lacking.attributes = !xattr::write(&file, meta.xattrs.as_deref(), names)?;
    }
    let is_file = type_of(now) == FileType::RegularFile;
    let mode = if is_file && !owned { meta.mode & !SET_ID } else { meta.mode };
    if mode != now.st_mode & 0o7777 || meta.xattrs.is_some() || mode & SET_ID != 0 {
        chmodat(folder, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    set_time(folder, name, meta, AtFlags::empty()).map(|()| lacking)
}

/// Whether attributes that are there, and not recorded, are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attributes {
    /// For what was just made: it has none.
    Add,
    Exactly,
}

/// Whether it has its recorded owner and group now.
fn own(folder: BorrowedFd<'_>, name: &OsStr, now: &Stat, meta: &Meta, flags: AtFlags) -> io::Result<bool> {
    if (now.st_uid, now.st_gid) == (meta.uid, meta.gid) {
        return Ok(true);
    }
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    if xattr::is_root() {
        match chownat(folder, name, Some(uid), Some(gid), flags) {
            // Root of a container may have no such right, or no such user.
            Err(Errno::PERM | Errno::INVAL) => {}
            done => return Ok(done.map(|()| true)?),
        }
    }
    let given = now.st_gid == meta.gid || chownat(folder, name, None, Some(gid), flags).is_ok();
    Ok(given && now.st_uid == meta.uid)
}

fn set_time(folder: BorrowedFd<'_>, name: &OsStr, meta: &Meta, flags: AtFlags) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: meta.mtime.seconds, tv_nsec: meta.mtime.nanos.into() },
    };
    Ok(utimensat(folder, name, &times, flags)?)
}

/// Goes through the tree a second time, when all files are loaded: checks that each is there, makes links, and
/// stamps everything, a folder after all that is in it.
pub(crate) struct Finishing<'a> {
    beneath: Beneath,
    staged: &'a Path,
    filter: &'a Filter,
    tally: &'a Tally,
    /// Folders that are not left yet.
    open: Vec<Entry>,
    names: Vec<u8>,
    files: u64,
}

impl<'a> Finishing<'a> {
    pub(crate) fn new(
        container: Arc<OwnedFd>,
        staged: &'a Path,
        filter: &'a Filter,
        tally: &'a Tally,
    ) -> Self {
        let beneath = Beneath::new(container);
        Self { beneath, staged, filter, tally, open: Vec::new(), names: Vec::new(), files: 0 }
    }

    /// # Errors
    /// If an entry has no content, or a part that was loaded no entry.
    pub(crate) fn run(mut self, archived: &dyn ArchivedNode, loaded: u64, cancel: &Cancel) -> Result<()> {
        for entry in Tree::of(archived)? {
            cancel.check()?;
            let entry = entry?;
            self.leave_folders(Some(&entry.path))?;
            self.entry(entry)?;
        }
        self.leave_folders(None)?;
        if self.files != loaded {
            return Err(Error::archive(format!(
                "`{TREE}` lists {} files with content, and {loaded} were loaded",
                self.files
            )));
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<()> {
        if self.filter.part_from_root(&entry.path, entry.kind == Kind::Folder) == Part::Foreign {
            return Ok(());
        }
        match &entry.kind {
            Kind::Folder => {
                self.open.push(entry);
                Ok(())
            }
            Kind::File(content) => self.file(&entry, content),
            Kind::Symlink(target) => self.symlink(&entry, target),
            Kind::HardLink(target) => self.hard_link(&entry, target),
        }
    }

    fn leave_folders(&mut self, next: Option<&[u8]>) -> Result<()> {
        while let Some(folder) =
            self.open.pop_if(|folder| !next.is_some_and(|next| is_below(next, &folder.path)))
        {
            let stat = self.staged_stat(&folder.path)?;
            let stat = stat.filter(|stat| type_of(stat) == FileType::Directory);
            let stat = stat.ok_or_else(|| lost(&folder.path))?;
            self.stamp(&folder, &stat)?;
        }
        Ok(())
    }

    fn staged_stat(&mut self, path: &[u8]) -> Result<Option<Stat>> {
        let found = self.beneath.stat(&way(path));
        found.map_err(|error| error_at(self.staged, "can't look at what was loaded", path, error))
    }

    fn file(&mut self, entry: &Entry, content: &FileContent) -> Result<()> {
        match self.staged_stat(&entry.path)?.filter(|stat| type_of(stat) == FileType::RegularFile) {
            // The dump says in its ledger that it vanished before it could be read.
            None if content.late => Ok(()),
            None => Err(lost(&entry.path)),
            Some(stat) if stat.st_size as u64 != content.size && !content.late => Err(Error::archive(
                format!("a file has {} bytes, and should have {}", stat.st_size, content.size),
            )
            .with_context("path", shown(&entry.path))),
            Some(stat) => {
                self.files += 1;
                self.stamp(entry, &stat)
            }
        }
    }

    fn stamp(&mut self, entry: &Entry, stat: &Stat) -> Result<()> {
        let way = way(&entry.path);
        let done = self.beneath.parent(&way).and_then(|(folder, name)| {
            stamp(folder, name, stat, &entry.meta, Attributes::Add, &mut self.names)
        });
        let lacking = done.map_err(|error| self.cannot_stamp(&entry.path, error))?;
        self.tally.note_lacking(&entry.path, lacking);
        Ok(())
    }

    fn cannot_stamp(&self, path: &[u8], error: io::Error) -> Error {
        let no_attributes = error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error());
        let made = error_at(self.staged, "can't set owner, mode, attributes or time", path, error);
        if no_attributes {
            return made
                .with_hint("the file system keeps no such attributes or ACLs: restore to one that does");
        }
        made
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<()> {
        let way = way(&entry.path);
        let made = self.beneath.parent(&way).and_then(|(folder, name)| {
            symlinkat(target, folder, name)?;
            let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let owned = own(folder, name, &stat, &entry.meta, AtFlags::SYMLINK_NOFOLLOW)?;
            set_time(folder, name, &entry.meta, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(Lacking { owner: !owned, attributes: false })
        });
        let lacking =
            made.map_err(|error| error_at(self.staged, "can't make a symbolic link", &entry.path, error))?;
        self.tally.note_lacking(&entry.path, lacking);
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, target: &[u8]) -> Result<()> {
        let is_file = self.staged_stat(target)?.is_some_and(|stat| type_of(&stat) == FileType::RegularFile);
        if !is_file {
            return Err(Error::archive("a hard link leads to nothing that was restored")
                .with_context("path", shown(&entry.path))
                .with_context("to", shown(target))
                .with_hint("if `exclude` leaves out the other name, leave out this one as well"));
        }
        let (from, to) = (way(target), way(&entry.path));
        // Two places at once: the second way has a handle of its own.
        let mut second = Beneath::new(self.beneath.root());
        let made = self.beneath.parent(&from).and_then(|(from_folder, from_name)| {
            let (folder, name) = second.parent(&to)?;
            Ok(linkat(from_folder, from_name, folder, name, AtFlags::empty())?)
        });
        made.map_err(|error| error_at(self.staged, "can't make a hard link", &entry.path, error))
    }
}

fn way(path: &[u8]) -> Vec<u8> {
    join(STAGED.as_bytes(), path)
}

fn lost(path: &[u8]) -> Error {
    Error::archive(format!("`{TREE}` lists what the archive has no content for"))
        .with_context("path", shown(path))
}

/// Metadata of an open folder.
pub(crate) fn meta_of_folder(fd: &OwnedFd) -> io::Result<Meta> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(Meta::of(&stat, xattr::read(fd.as_fd(), &mut Vec::new())?))
}

/// Makes a folder like another one, unless there is one. Answers what could not be given to it.
pub(crate) fn make_like(beneath: &mut Beneath, way: &[u8], meta: &Meta) -> io::Result<Lacking> {
    let (folder, name) = beneath.parent(way)?;
    match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
        Err(rustix::io::Errno::EXIST) => return Ok(Lacking::default()),
        made => made?,
    }
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    stamp(folder, name, &stat, meta, Attributes::Add, &mut Vec::new())
}
