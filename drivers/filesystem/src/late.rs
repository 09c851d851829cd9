//! Extras that came into a tree after its swap was planned.
//!
//! Where extras stay, the plan carries those that were there. The application goes on meanwhile, and what it makes in
//! the tree that is being swapped out is in neither the plan nor the archive. It is told by its time of change, which
//! nobody can set: whatever the archive has was staged before, and whatever was live before was planned for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, statat};

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
    /// The inodes that flips move: a rename by us is no change by the application.
    flipped: BTreeMap<Vec<u8>, [Option<u64>; 2]>,
    /// The folders that things are carried out of, and into: that changes them as well.
    carried_in: BTreeSet<Vec<u8>>,
}

impl Late {
    /// Of a plan by which extras stay.
    pub(crate) fn of(steps: &[Step]) -> Option<Self> {
        let since = steps.iter().find_map(|step| match step {
            Step::KeepLate { since } => Some(*since),
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
        Some(Self { since, flipped, carried_in })
    }

    /// Whether the application may have brought this to `path` since.
    pub(crate) fn may_be(&self, path: &[u8], stat: &Stat) -> bool {
        let is_ours = self.flipped.get(path).is_some_and(|inodes| inodes.contains(&Some(stat.st_ino)))
            || (type_of(stat) == FileType::Directory && self.carried_in.contains(path));
        Stamp::ctime(stat) >= self.since && !is_ours
    }

    /// The same of `name` in an open folder. What can't be looked at, may be.
    pub(crate) fn may_be_in(&self, folder: &OwnedFd, name: &CStr, path: &[u8]) -> bool {
        statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_or(true, |stat| self.may_be(path, &stat))
    }
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
