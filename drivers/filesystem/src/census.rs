//! The inodes of all that was staged, on the disk: whatever else is in that tree at a rollback, the application made.
//!
//! The file holds numbers of eight bytes, little-endian: how many there are to a run, then the runs, each of them in
//! order. So neither who writes it nor who looks a number up has more than one run in memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use dumprestore_driver::{Cancel, Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use crate::container::Side;
use crate::listing::Listing;
use crate::path::join;
use crate::state::type_of;
use crate::sweep::open_anyway;

/// Within a container, beside the plan.
pub(crate) const CENSUS: &str = "staged.inodes";

/// So many inodes are put in order at once. Few while it is tested, so that the tests see several runs.
const RUN: usize = if cfg!(debug_assertions) { 5 } else { 1 << 20 };
const WORD: u64 = 8;

/// Writes down the inodes of a staged tree.
///
/// # Errors
/// An I/O error, or that the restore is cancelled.
pub(crate) fn take(container: &OwnedFd, staged: &mut Side, cancel: &Cancel) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(container, CENSUS, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from);
    let mut taking =
        made.map(|file| Taking { to: BufWriter::new(file.into()), run: Vec::new() }).map_err(failed)?;
    taking.to.write_all(&(RUN as u64).to_le_bytes()).map_err(failed)?;
    let root = staged.stat(b"").map_err(failed)?;
    let mut pending = Vec::from_iter(root.map(|_| Vec::new()));
    root.map_or(Ok(()), |root| taking.note(root.st_ino)).map_err(failed)?;
    let mut listing = Listing::default();
    while let Some(folder) = pending.pop() {
        cancel.check()?;
        taking.folder(staged, &folder, &mut listing, &mut pending).map_err(failed)?;
    }
    taking.end().map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::io("can't write down what was staged", error)
}

struct Taking {
    to: BufWriter<File>,
    run: Vec<u64>,
}

impl Taking {
    fn folder(
        &mut self,
        staged: &mut Side,
        folder: &[u8],
        listing: &mut Listing,
        pending: &mut Vec<Vec<u8>>,
    ) -> io::Result<()> {
        let fd = open_anyway(staged, folder)?;
        listing.read(&fd, |name, _| {
            let stat = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
            if type_of(&stat) == rustix::fs::FileType::Directory {
                pending.push(join(folder, name.to_bytes()));
            }
            self.note(stat.st_ino)
        })
    }

    fn note(&mut self, inode: u64) -> io::Result<()> {
        self.run.push(inode);
        if self.run.len() == RUN { self.write_run() } else { Ok(()) }
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        self.run.drain(..).try_for_each(|inode| self.to.write_all(&inode.to_le_bytes()))
    }

    /// The folder that it is in is written down with the plan.
    fn end(mut self) -> io::Result<()> {
        self.write_run()?;
        self.to.flush()?;
        self.to.get_ref().sync_all()
    }
}

/// A census that was taken.
#[derive(Debug)]
pub(crate) struct Census {
    file: File,
    /// How many inodes are in a run.
    run: u64,
    /// How many there are.
    all: u64,
}

impl Census {
    /// # Errors
    /// If it can't be read; also if there is none.
    pub(crate) fn open(container: impl AsFd) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = openat(container, CENSUS, flags, Mode::empty())?.into();
        let words = file.metadata()?.len() / WORD;
        let mut census = Self { file, run: 0, all: words.saturating_sub(1) };
        census.run = census.word(0)?;
        match census.run {
            0 => Err(io::Error::other("what was written down of a restore is damaged")),
            _ => Ok(census),
        }
    }

    /// Whether something of that inode was staged.
    pub(crate) fn has(&self, inode: u64) -> io::Result<bool> {
        let mut start = 0;
        while start < self.all {
            let end = self.all.min(start.saturating_add(self.run));
            if self.has_between(start, end, inode)? {
                return Ok(true);
            }
            start = end;
        }
        Ok(false)
    }

    fn has_between(&self, mut start: u64, mut end: u64, inode: u64) -> io::Result<bool> {
        while start < end {
            let middle = start + (end - start) / 2;
            match self.word(middle + 1)?.cmp(&inode) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => start = middle + 1,
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        Ok(false)
    }

    fn word(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; WORD as usize];
        self.file.read_exact_at(&mut bytes, at * WORD)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Census {
        pub(crate) fn of(inodes: &[u64]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = File::create(folder.path().join(CENSUS)).unwrap();
            let mut taking = Taking { to: BufWriter::new(file), run: Vec::new() };
            taking.to.write_all(&(RUN as u64).to_le_bytes()).unwrap();
            inodes.iter().for_each(|inode| taking.note(*inode).unwrap());
            taking.end().unwrap();
            Self::open(File::open(folder.path()).unwrap()).unwrap()
        }
    }

    #[test]
    fn what_was_staged_is_found_in_any_run_and_nothing_else_is() {
        for count in [0, 1, RUN as u64, RUN as u64 + 1, 7 * RUN as u64 - 2] {
            // In no order, and with every other number left out.
            let inodes: Vec<_> = (0..count).map(|at| (at * 7919 % 10_007) * 2).collect();
            let census = Census::of(&inodes);
            for inode in &inodes {
                assert!(census.has(*inode).unwrap(), "{inode} of {count}");
                assert!(!census.has(*inode + 1).unwrap(), "{inode} + 1 of {count}");
            }
            assert!(!census.has(u64::MAX).unwrap());
        }
    }

    #[test]
    fn an_empty_file_is_no_census() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Census::open(File::open(folder.path()).unwrap()).is_err());
        std::fs::write(folder.path().join(CENSUS), "").unwrap();
        assert!(Census::open(File::open(folder.path()).unwrap()).is_err());
    }
}
