//! What is not ours never goes with a tree that is about to be removed: it is looked for there, and moved over.
//!
//! The plan names what was there when it was made. The application goes on meanwhile: it may make an excluded file
//! or an extra before the flip, which then lies in the old tree; or after the commit, in the new one, which a rollback removes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use dumprestore_driver::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, chmodat, fchmod, fstat, unlinkat};
use rustix::io::Errno;

use crate::beneath::is_absent;
use crate::container::{Side, beside};
use crate::filter::Part;
use crate::listing::Listing;
use crate::path::{ancestors, join, split};
use crate::rename::rename_noreplace;
use crate::root::is_mount;
use crate::stamp::{make_like, meta_of_folder};
use crate::state::{is_special, type_of};
use crate::swap::{Direction, Swap};
use crate::tally::Told;

/// So often it is looked whether something came in meanwhile.
const MOST_ROUNDS: usize = 5;
/// So many names are tried for one thing.
const MOST_NAMES: u32 = 10_000;

/// Who keeps its name, if the same thing is on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wins {
    /// What is swept out of the tree that goes.
    Swept,
    /// What is in the live tree.
    Live,
}

impl Swap<'_> {
    /// Moves what is not ours from the tree in the container to the live one.
    ///
    /// # Errors
    /// If something of it remains: the tree must then not be removed.
    pub(crate) fn sweep(&mut self, wins: Wins) -> Result<()> {
        self.live.look_anew();
        self.staged.look_anew();
        let mut touched = std::collections::BTreeSet::new();
        for _round in 0..MOST_ROUNDS {
            let foreign = self.foreign()?;
            if foreign.is_empty() {
                return self.write_down(&touched);
            }
            for path in foreign {
                let folder = self.sweep_one(&path, wins).map_err(|error| self.fail(&path, error))?;
                touched.insert(folder);
            }
        }
        Err(Error::environment("things that are to stay keep coming into a folder that is to be removed")
            .with_context("path", self.place.staged().display())
            .with_hint("stop the application, then run `dumprestore recover`"))
    }

    /// What is not ours in the tree in the container; a folder as a whole.
    fn foreign(&mut self) -> Result<Vec<Vec<u8>>> {
        let (mut found, mut listing) = (Vec::new(), Listing::default());
        let mut pending = vec![(Vec::new(), self.filter.root())];
        while let Some((folder, above)) = pending.pop() {
            let listed = self.foreign_in(&folder, above, &mut listing, &mut found, &mut pending);
            match listed {
                Err(error) if !is_absent(&error) => return Err(self.fail(&folder, error)),
                _ => {}
            }
        }
        Ok(found)
    }

    fn foreign_in(
        &mut self,
        folder: &[u8],
        above: Part,
        listing: &mut Listing,
        found: &mut Vec<Vec<u8>>,
        pending: &mut Vec<(Vec<u8>, Part)>,
    ) -> io::Result<()> {
        let around = self.staged.stat(split(folder).0)?.map(|stat| stat.st_dev);
        let fd = open_anyway(&mut self.staged, folder)?;
        if !folder.is_empty() && is_mount(&fd, around)? {
            // What is mounted there is not removed either.
            return Ok(());
        }
        let (mut names, late) = (Vec::new(), self.late.as_ref());
        listing.read(&fd, |name, kind| {
            let path = join(folder, name.to_bytes());
            // A folder may have millions of what surely goes.
            let is_plain = matches!(kind, FileType::RegularFile | FileType::Symlink);
            if !is_plain
                || self.filter.part(&path, false, above) == Part::Foreign
                || late.map_or(Ok(false), |late| late.may_be(&fd, name, &path))?
            {
                names.push((path, kind));
            }
            Ok::<(), io::Error>(())
        })?;
        for (path, kind) in names {
            let kind = match kind {
                FileType::Unknown => match self.staged.stat(&path)? {
                    Some(stat) => type_of(&stat),
                    None => continue,
                },
                kind => kind,
            };
            let is_folder = kind == FileType::Directory;
            match self.filter.part(&path, is_folder, above) {
                Part::Foreign => found.push(path),
                _ if is_special(kind) => found.push(path),
                Part::Ours if self.is_late_extra(&path)? => found.push(path),
                part if is_folder => pending.push((path, part)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the application made it since the swap was planned, and the other side has no such thing.
    fn is_late_extra(&mut self, path: &[u8]) -> io::Result<bool> {
        let Some(late) = &self.late else { return Ok(false) };
        let way = self.staged.way(path);
        let (folder, name) = self.staged.beneath().parent(&way)?;
        if !late.may_be(folder, name, path)? {
            return Ok(false);
        }
        match self.live.stat(path) {
            Err(error) if is_absent(&error) => Ok(true),
            found => Ok(found?.is_none()),
        }
    }

    /// Moves one thing over, and answers the folder that it is in now.
    fn sweep_one(&mut self, path: &[u8], wins: Wins) -> io::Result<Vec<u8>> {
        let folder = self.way_in(path)?;
        if folder != split(path).0 {
            return self.move_beside(path, &folder).map(|()| folder);
        }
        match self.move_over(path, Direction::In) {
            Err(Errno::EXIST | Errno::NOTEMPTY) if wins == Wins::Live => self.move_beside(path, &folder)?,
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                self.set_aside(path, Direction::In)?;
                self.move_over(path, Direction::In)?;
            }
            // It went by itself.
            Err(Errno::NOENT) if self.staged.inode(path)?.is_none() => {}
            done => done?,
        }
        Ok(folder)
    }

    /// The live folder that `path` is to be in. What is missing of it is made as it is in the tree that goes; where
    /// something else is in its place, it is the folder above that.
    fn way_in(&mut self, path: &[u8]) -> io::Result<Vec<u8>> {
        let mut there = Vec::new();
        for folder in [&b""[..]].into_iter().chain(ancestors(path)) {
            match self.live.stat(folder)?.map(|stat| type_of(&stat)) {
                Some(FileType::Directory) => {}
                None => {
                    let meta = meta_of_folder(&open_anyway(&mut self.staged, folder)?)?;
                    let way = self.live.way(folder);
                    let lacking = make_like(self.live.beneath(), &way, &meta)?;
                    self.tally.note_lacking(folder, lacking);
                }
                Some(_) => return Ok(there),
            }
            there = folder.to_vec();
        }
        Ok(there)
    }

    /// Moves `path` from the tree that goes into `folder` of the live one, under a name of its own.
    fn move_beside(&mut self, path: &[u8], folder: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(split(path).1);
        for number in 1..=MOST_NAMES {
            let from = self.staged.way(path);
            let aside = join(folder, &name_aside(name, number));
            let to = self.live.way(&aside);
            let (from_folder, from_name) = self.staged.beneath().parent(&from)?;
            let (to_folder, to_name) = self.live.beneath().parent(&to)?;
            match rename_noreplace(from_folder, from_name, to_folder, to_name) {
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                done => {
                    done?;
                    self.tally.note(Told::SetAside, &aside);
                    return Ok(());
                }
            }
        }
        Err(Errno::EXIST.into())
    }

    /// What the application has made anew makes way for the original, and stays beside it.
    pub(crate) fn set_aside(&mut self, path: &[u8], direction: Direction) -> Result<(), Errno> {
        let side = if direction == Direction::In { &mut self.live } else { &mut self.staged };
        let way = side.way(path);
        let found = side.beneath().parent(&way);
        let (folder, name) = found.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if unlinkat(folder, name, AtFlags::REMOVEDIR).is_ok() {
            // An empty folder.
            return Ok(());
        }
        for number in 1..=MOST_NAMES {
            let aside = OsString::from_vec(name_aside(name, number));
            match rename_noreplace(folder, name, folder, &aside) {
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(Errno::NOENT) => return Ok(()),
                done => {
                    done?;
                    let aside = join(split(path).0, aside.as_bytes());
                    self.tally.note(Told::SetAside, &aside);
                    return Ok(());
                }
            }
        }
        Err(Errno::EXIST)
    }

    fn write_down(&mut self, folders: &std::collections::BTreeSet<Vec<u8>>) -> Result<()> {
        for folder in folders {
            let synced = self.live.sync_parent(&join(folder, b"x"));
            synced.map_err(|error| self.fail(folder, error))?;
        }
        Ok(())
    }
}

/// A name that is never dumped and never swept away: `.NAME.dumprestore-newer-1`.
fn name_aside(name: &OsStr, number: u32) -> Vec<u8> {
    beside(name, &format!("newer-{number}")).into_vec()
}

/// A folder without rights for its owner is lent them for the opening: what is in it is not to be lost.
pub(crate) fn open_anyway(side: &mut Side, folder: &[u8]) -> io::Result<OwnedFd> {
    let opened = side.open_folder(folder);
    if !opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        return opened;
    }
    let Some(stat) = side.stat(folder)? else { return opened };
    let way = side.way(folder);
    let (above, name) = side.beneath().parent(&way)?;
    chmodat(above, name, Mode::RWXU, AtFlags::empty())?;
    let opened = crate::listing::open_folder(above, name)?;
    debug_assert!(fstat(&opened).is_ok_and(|now| now.st_ino == stat.st_ino));
    fchmod(&opened, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(opened)
}
