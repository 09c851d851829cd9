//! Extras that came into a tree after its swap was planned.
//!
//! Where extras stay, the plan carries those that were there. The application goes on meanwhile, and what it makes is
//! in neither the plan nor the archive. How that is told depends on the tree that is to go:
//!
//! - In the *old* tree, by its time of change, which nobody can set: what was live before was planned for.
//! - In the *new* tree, which a rollback takes away, by its inode: the census has those of all that was staged. The
//!   time of change would not do: the flips, and whatever the application does to what was restored, move that too.
//!   Nor would the time of birth: a file that is moved in may be older than the restore.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags, fstat, openat, statat, statx};
use rustix::io::Errno;

use crate::census::Census;
use crate::held::remove_file;
use crate::path::split;
use crate::plan::Step;
use crate::state::{Stamp, type_of};

/// How long it is waited at the most until the file system's clock has moved on: some count in steps of two seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_millis(2);

/// What tells late extras.
#[derive(Debug)]
pub(crate) struct Late {
    since: Stamp,
    /// When the census had been taken.
    counted: Stamp,
    /// Of what was staged, if it is the new tree that goes.
    census: Option<Census>,
    /// The inodes that flips move: a rename by us is no change by the application.
    flipped: BTreeMap<Vec<u8>, [Option<u64>; 2]>,
    /// The folders that things are carried out of, and into: that changes them as well.
    carried_in: BTreeSet<Vec<u8>>,
}

impl Late {
    /// Of a plan by which extras stay; in the old tree.
    pub(crate) fn of(steps: &[Step]) -> Option<Self> {
        let (since, counted) = steps.iter().find_map(|step| match step {
            Step::KeepLate { since, counted } => Some((*since, *counted)),
            _ => None,
        })?;
        let (mut flipped, mut carried_in) = (BTreeMap::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Flip { path, live, staged } => {
                    flipped.insert(path.clone(), [*live, *staged]);
                }
                Step::Carry { path } => {
                    carried_in.insert(split(path).0.to_vec());
                }
                Step::Stamp { .. } | Step::KeepLate { .. } => {}
            }
        }
        Some(Self { since, counted, census: None, flipped, carried_in })
    }

    /// The same in the new tree.
    ///
    /// # Errors
    /// If the census of it can't be read.
    pub(crate) fn in_new_tree(self, container: impl AsFd) -> io::Result<Self> {
        Ok(Self { census: Some(Census::open(container)?), ..self })
    }

    /// Whether the application may have brought `name` to `folder` since; `path` is where that is in the tree.
    pub(crate) fn may_be<N>(&self, folder: impl AsFd, name: N, path: &[u8]) -> io::Result<bool>
    where
        N: rustix::path::Arg + Copy,
    {
        let stat = match statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            looked => looked?,
        };
        match &self.census {
            None => Ok(self.has_changed(path, &stat)),
            Some(census) => self.was_not_staged(census, &stat, || born(folder.as_fd(), name)),
        }
    }

    fn has_changed(&self, path: &[u8], stat: &Stat) -> bool {
        let is_ours = self.flipped.get(path).is_some_and(|inodes| inodes.contains(&Some(stat.st_ino)))
            || (type_of(stat) == FileType::Directory && self.carried_in.contains(path));
        Stamp::ctime(stat) >= self.since && !is_ours
    }

    fn was_not_staged(
        &self,
        census: &Census,
        stat: &Stat,
        born: impl FnOnce() -> Option<Stamp>,
    ) -> io::Result<bool> {
        let is_folder = type_of(stat) == FileType::Directory;
        // However old it is: it may have come with a folder that was moved in.
        if !census.has(stat.st_ino)? {
            return Ok(true);
        }
        // What the application makes after it has removed something of ours may be given that one's inode.
        Ok(match born() {
            _ if Stamp::ctime(stat) < self.counted => false,
            Some(born) => born >= self.counted,
            // Rather too much stays than too little.
            None => !is_folder && !self.is_flipped(stat.st_ino),
        })
    }

    fn is_flipped(&self, inode: u64) -> bool {
        self.flipped.values().flatten().any(|flipped| *flipped == Some(inode))
    }
}

/// When a file was made; `None` where the file system does not keep that.
fn born<N: rustix::path::Arg>(folder: impl AsFd, name: N) -> Option<Stamp> {
    let found = statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME).ok()?;
    let is_known = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    is_known.then_some(Stamp { seconds: found.stx_btime.tv_sec, nanos: found.stx_btime.tv_nsec })
}

/// Now, on the clock of the file system: later than whatever was made before, and no later than what is made after.
pub(crate) fn moment(container: &OwnedFd) -> io::Result<Stamp> {
    let (first, begun) = (stamp_of_now(container)?, std::time::Instant::now());
    loop {
        std::thread::sleep(WAIT);
        let now = stamp_of_now(container)?;
        if now > first || begun.elapsed() > LONGEST_WAIT {
            return Ok(now);
        }
    }
}

fn stamp_of_now(container: &OwnedFd) -> io::Result<Stamp> {
    const CLOCK: &str = "clock";
    remove_file(container, CLOCK)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = fstat(openat(container, CLOCK, flags, Mode::RUSR | Mode::WUSR)?)?;
    remove_file(container, CLOCK)?;
    Ok(Stamp::ctime(&made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_time_of_birth_only_what_is_surely_ours_goes() {
        let dir = tempfile::tempdir().unwrap();
        let folder: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let make = |name: &str| std::fs::write(dir.path().join(name), name).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        ["flipped", "staged"].into_iter().for_each(make);
        let stat = |name: &str| statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let census = Census::of(&["folder", "flipped", "staged"].map(|name| stat(name).st_ino));
        let since = moment(&folder).unwrap();
        let steps = [
            Step::Flip { path: b"flipped".to_vec(), live: None, staged: Some(stat("flipped").st_ino) },
            Step::KeepLate { since, counted: moment(&folder).unwrap() },
        ];
        let late = Late::of(&steps).unwrap();
        let is_late = |name: &str| late.was_not_staged(&census, &stat(name), || None).unwrap();
        assert!(!is_late("folder") && !is_late("flipped") && !is_late("staged"));
        make("new");
        for name in ["flipped", "staged"] {
            std::fs::hard_link(dir.path().join(name), dir.path().join(format!("{name}-too"))).unwrap();
        }
        make("folder/new");
        assert!(is_late("new") && is_late("folder/new") && !is_late("folder"));
        assert!(!is_late("flipped") && !is_late("flipped-too"));
        // It may be another file, which was given the inode.
        assert!(is_late("staged"));
    }
}
