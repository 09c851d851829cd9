//! Doing a plan, and undoing it: from wherever a crash left it, and as often as one likes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, statat};
use rustix::io::Errno;

use crate::container::{PLAN, Place, Side};
use crate::entry::Entry;
use crate::filter::Filter;
use crate::late::Late;
use crate::plan::Step;
use crate::rename::{has_no_flags, rename_noreplace};
use crate::root::error_at;
use crate::stamp::{Attributes, stamp};
use crate::sweep::Wins;
use crate::tally::Tally;

/// A plan that is on the disk, and both sides of it.
pub(crate) struct Swap<'a> {
    pub(crate) place: &'a Place,
    pub(crate) filter: &'a Filter,
    pub(crate) tally: &'a Tally,
    container: Arc<OwnedFd>,
    pub(crate) live: Side,
    pub(crate) staged: Side,
    steps: Vec<Step>,
    /// What tells extras that are to stay, if they are.
    pub(crate) late: Option<Late>,
}

struct Flip<'s> {
    path: &'s [u8],
    live: Option<u64>,
    staged: Option<u64>,
}

const ASIDE: &str = "aside";

/// Writes a plan down, and through to the disk.
pub(crate) fn write(place: &Place, container: &OwnedFd, steps: &[Step]) -> Result<()> {
    let mut lines = Vec::new();
    for step in steps {
        lines.extend(step.to_line()?);
        lines.push(b'\n');
    }
    let fail = |error: io::Error| place.error("can't write the plan of the swap", error);
    const NEW: &str = "plan.new";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file: std::fs::File =
        openat(container, NEW, flags, Mode::RUSR | Mode::WUSR).map_err(|error| fail(error.into()))?.into();
    file.write_all(&lines).and_then(|()| file.sync_all()).map_err(fail)?;
    // It is there whole, or not at all.
    renameat(container, NEW, container, PLAN).map_err(|error| fail(error.into()))?;
    sync(container).map_err(fail)
}

/// The plan of a container; `None` if it has none yet.
pub(crate) fn read(place: &Place, container: &OwnedFd) -> Result<Option<Vec<Step>>> {
    let fail = |error: io::Error| place.error("can't read the plan of the swap", error);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut lines = Vec::new();
    match openat(container, PLAN, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file).read_to_end(&mut lines).map_err(fail)?,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(fail(error.into())),
    };
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(Step::from_line).collect::<Result<_>>().map(Some)
}

/// Writes a folder down to the disk.
pub(crate) fn sync(folder: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::fsync(openat(folder.as_fd(), ".", flags, Mode::empty())?)?)
}

impl<'a> Swap<'a> {
    pub(crate) fn new(
        place: &'a Place,
        filter: &'a Filter,
        tally: &'a Tally,
        container: Arc<OwnedFd>,
        steps: Vec<Step>,
    ) -> Result<Self> {
        let staged = place.staged_side(&container);
        let (live, late) = (place.live_side()?, Late::of(&steps));
        Ok(Self { place, filter, tally, live, staged, container, steps, late })
    }

    /// Does what is not done of the plan.
    pub(crate) fn forward(mut self) -> Result<()> {
        let steps = std::mem::take(&mut self.steps);
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Flip { path, live, staged } => {
                    self.flip(at, &Flip { path, live: *live, staged: *staged }, Wanted::Done)?;
                }
                Step::Carry { path } => self.carry(&steps, path, Wanted::Done)?,
                Step::Stamp { .. } | Step::KeepLate { .. } => {}
            }
        }
        // What was made since the plan was.
        self.sweep(Wins::Swept)?;
        for step in &steps {
            if let Step::Stamp { path, old, new } = step {
                self.stamp(path, new, Direction::In)?;
                self.stamp(path, old, Direction::Out)?;
            }
        }
        self.sync(&steps)
    }

    /// Undoes what is done of the plan.
    pub(crate) fn back(mut self) -> Result<()> {
        let steps = std::mem::take(&mut self.steps);
        for (at, step) in steps.iter().enumerate().rev() {
            match step {
                Step::Flip { path, live, staged } => {
                    self.flip(at, &Flip { path, live: *live, staged: *staged }, Wanted::Undone)?;
                }
                Step::Carry { path } => self.carry(&steps, path, Wanted::Undone)?,
                Step::Stamp { .. } | Step::KeepLate { .. } => {}
            }
        }
        // What was made since the commit.
        let late = self.late.take().map(|late| late.in_new_tree(&self.container)).transpose();
        self.late = late.map_err(|error| self.fail(b"", error))?;
        self.sweep(Wins::Live)?;
        for step in &steps {
            if let Step::Stamp { path, old, new } = step {
                self.stamp(path, old, Direction::In)?;
                self.stamp(path, new, Direction::Out)?;
            }
        }
        self.sync(&steps)
    }

    pub(crate) fn fail(&self, path: &[u8], error: impl Into<io::Error>) -> Error {
        error_at(&self.place.root, "can't swap", path, error)
            .with_hint("remove the cause; `dumprestore recover` then completes or undoes the swap")
    }

    fn flip(&mut self, at: usize, flip: &Flip<'_>, wanted: Wanted) -> Result<()> {
        let path = flip.path;
        self.settle_aside(at, path).map_err(|error| self.fail(path, error))?;
        if self.is_done(flip)? == (wanted == Wanted::Done) {
            return Ok(());
        }
        let look = |side: &mut Side| side.inode(path).map(|inode| inode.is_some());
        let live = look(&mut self.live).map_err(|error| self.fail(path, error))?;
        let staged = look(&mut self.staged).map_err(|error| self.fail(path, error))?;
        self.change_places(at, path, live, staged).map_err(|error| self.fail(path, error))?;
        self.live.look_anew();
        self.staged.look_anew();
        Ok(())
    }

    /// Nobody but us touches the staged side: what was staged is there, or the flip is done. Where the application
    /// may have removed what was swapped in, the old thing back in its place says as much.
    fn is_done(&mut self, flip: &Flip<'_>) -> Result<bool> {
        let staged = self.staged.inode(flip.path).map_err(|error| self.fail(flip.path, error))?;
        let live = self.live.inode(flip.path).map_err(|error| self.fail(flip.path, error))?;
        let is_undone = match (flip.live, flip.staged) {
            (Some(_), Some(_)) => staged == flip.staged || live == flip.live,
            (None, Some(_)) => staged == flip.staged,
            (_, None) => staged.is_none(),
        };
        Ok(!is_undone)
    }

    fn change_places(&mut self, at: usize, path: &[u8], has_live: bool, has_staged: bool) -> io::Result<()> {
        match (has_live, has_staged) {
            (true, true) => match self.rename(path, Direction::Out, RenameFlags::EXCHANGE) {
                Err(error) if has_no_flags(error) => self.by_three(at, path),
                done => Ok(done?),
            },
            (true, false) => Ok(self.move_over(path, Direction::Out)?),
            (false, true) => Ok(self.move_over(path, Direction::In)?),
            (false, false) => Ok(()),
        }
    }

    pub(crate) fn move_over(&mut self, path: &[u8], direction: Direction) -> Result<(), Errno> {
        self.rename(path, direction, RenameFlags::NOREPLACE)
    }

    /// To move a folder, its owner must be allowed to write to it, unless that is root: the right is lent for the
    /// moment.
    fn rename(&mut self, path: &[u8], direction: Direction, flags: RenameFlags) -> Result<(), Errno> {
        match self.rename_as_it_is(path, direction, flags) {
            Err(Errno::ACCESS) => {}
            done => return done,
        }
        let (live, staged) = (self.live.lend_write(path), self.staged.lend_write(path));
        let done = self.rename_as_it_is(path, direction, flags);
        let (live, staged) = if done.is_ok() { (staged, live) } else { (live, staged) };
        self.live.take_write(path, live).and(self.staged.take_write(path, staged))?;
        done
    }

    fn rename_as_it_is(
        &mut self,
        path: &[u8],
        direction: Direction,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let (live_way, staged_way) = (self.live.way(path), self.staged.way(path));
        let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let (live, live_name) = self.live.beneath().parent(&live_way).map_err(errno)?;
        let (staged, staged_name) = self.staged.beneath().parent(&staged_way).map_err(errno)?;
        let (from, from_name, to, to_name) = match direction {
            Direction::Out => (live, live_name, staged, staged_name),
            Direction::In => (staged, staged_name, live, live_name),
        };
        match flags {
            RenameFlags::NOREPLACE => rename_noreplace(from, from_name, to, to_name),
            flags => renameat_with(from, from_name, to, to_name, flags),
        }
    }

    /// For file systems that have no exchange (NFS, older ZFS): by three renames.
    fn by_three(&mut self, at: usize, path: &[u8]) -> io::Result<()> {
        let aside = format!("{ASIDE}-{at}");
        let live_way = self.live.way(path);
        let (folder, name) = self.live.beneath().parent(&live_way)?;
        renameat(folder, name, &*self.container, &aside)?;
        self.move_over(path, Direction::In)?;
        let staged_way = self.staged.way(path);
        let (folder, name) = self.staged.beneath().parent(&staged_way)?;
        Ok(renameat(&*self.container, &aside, folder, name)?)
    }

    /// Takes up an exchange by three renames where a crash left it.
    fn settle_aside(&mut self, at: usize, path: &[u8]) -> io::Result<()> {
        let aside = format!("{ASIDE}-{at}");
        match statat(&self.container, &aside, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            looked => looked?,
        };
        // Before the second rename, back to the start; after it, on to the end.
        let side = if self.staged.inode(path)?.is_some() { &mut self.live } else { &mut self.staged };
        let way = side.way(path);
        let (folder, name) = side.beneath().parent(&way)?;
        Ok(rename_noreplace(&*self.container, aside.as_ref(), folder, name)?)
    }

    /// What is to stay goes from the old tree to the new one, or back. If something is there already, the
    /// application has made it anew since: the original takes its place, and both stay.
    fn carry(&mut self, steps: &[Step], path: &[u8], wanted: Wanted) -> Result<()> {
        // Before its flip is done, it is in the live tree, where it belongs.
        if !self.is_flipped(steps, path)? {
            return Ok(());
        }
        let direction = if wanted == Wanted::Done { Direction::In } else { Direction::Out };
        let folder = crate::path::split(path).0;
        let times = [self.live.stat(folder), self.staged.stat(folder)];
        let moved = self.move_original(path, direction);
        if moved.is_ok() {
            let sides = [&mut self.live, &mut self.staged];
            for (side, time) in sides.into_iter().zip(times) {
                side.give_time(folder, time)
                    .map_err(|error| error_at(&self.place.root, "can't swap", path, error))?;
            }
        }
        match moved {
            // It is gone; or the folder that it was in is, on the other side: then the sweep finds it.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(self.fail(path, error)),
        }
    }

    fn move_original(&mut self, path: &[u8], direction: Direction) -> Result<(), Errno> {
        const MOST_TRIES: usize = 100;
        for _try in 0..MOST_TRIES {
            match self.move_over(path, direction) {
                Err(Errno::EXIST | Errno::NOTEMPTY) => self.set_aside(path, direction)?,
                done => return done,
            }
        }
        Err(Errno::EXIST)
    }

    fn is_flipped(&mut self, steps: &[Step], path: &[u8]) -> Result<bool> {
        match steps.iter().find(|step| step.flips(path)) {
            Some(Step::Flip { path, live, staged }) => {
                self.is_done(&Flip { path, live: *live, staged: *staged })
            }
            _ => Ok(false),
        }
    }

    /// A folder that stays: what came into it, or went out, has moved its time.
    fn stamp(&mut self, path: &[u8], entry: &Entry, to: Direction) -> Result<()> {
        let side = if to == Direction::In { &mut self.live } else { &mut self.staged };
        let way = side.way(path);
        let done = side.beneath().parent(&way).and_then(|(folder, name)| {
            let now = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            stamp(folder, name, &now, &entry.meta, Attributes::Exactly, &mut Vec::new())
        });
        // What is lacking was told when it was staged, or is as it was before.
        done.map(drop).map_err(|error| self.fail(path, error))
    }

    /// Writes the renames down to the disk.
    fn sync(&mut self, steps: &[Step]) -> Result<()> {
        let mut last: Option<Vec<u8>> = None;
        for step in steps {
            let (Step::Flip { path, .. } | Step::Carry { path }) = step else { continue };
            let folder = crate::path::split(path).0.to_vec();
            if path.is_empty() || last.as_ref() != Some(&folder) {
                let synced = self.live.sync_parent(path).and_then(|()| self.staged.sync_parent(path));
                match synced {
                    Err(error) if !crate::beneath::is_absent(&error) => return Err(self.fail(path, error)),
                    _ => last = Some(folder),
                }
            }
        }
        sync(&self.container).map_err(|error| self.fail(b"", error))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Done,
    Undone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the live side to the staged one.
    Out,
    In,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Swap as How;
    use std::fs;

    /// A live folder with `old` in it, and a staged one with `new`.
    fn place(around: &std::path::Path) -> (Place, Arc<OwnedFd>, Vec<Step>) {
        let root = around.join("live");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("old"), "old").unwrap();
        let place = Place::choose(root, "run", How::Folder).unwrap();
        let container = Arc::new(place.make().unwrap());
        fs::create_dir(place.staged()).unwrap();
        fs::write(place.staged().join("new"), "new").unwrap();
        let inode =
            |path: &std::path::Path| Some(std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap()));
        let (live, staged) = (inode(&place.root), inode(&place.staged()));
        let steps = vec![Step::Flip { path: Vec::new(), live, staged }];
        (place, container, steps)
    }

    fn swap<'a>(place: &'a Place, container: &Arc<OwnedFd>, steps: &[Step]) -> Swap<'a> {
        let filter = Box::leak(Box::new(Filter::new(&[], &[]).unwrap()));
        let tally = Box::leak(Box::default());
        Swap::new(place, filter, tally, container.clone(), steps.to_vec()).unwrap()
    }

    #[test]
    fn three_renames_do_what_an_exchange_does_and_a_crash_between_any_two_is_settled() {
        for renames in 0..=3 {
            for back in [false, true] {
                let around = tempfile::tempdir().unwrap();
                let (place, container, steps) = place(around.path());
                let aside = place.container.join("aside-0");
                let all = [(&place.root, &aside), (&place.staged(), &place.root), (&aside, &place.staged())];
                all.iter().take(renames).for_each(|(from, to)| fs::rename(from, to).unwrap());
                for _twice in 0..2 {
                    let swap = swap(&place, &container, &steps);
                    if back {
                        swap.back().unwrap()
                    } else {
                        swap.forward().unwrap()
                    }
                    assert_eq!(place.root.join("old").exists(), back, "after {renames} renames");
                    assert_eq!(place.root.join("new").exists(), !back, "after {renames} renames");
                    assert!(!aside.exists());
                }
            }
        }
    }

    #[test]
    fn an_exchange_by_three_renames_is_one() {
        let around = tempfile::tempdir().unwrap();
        let (place, container, steps) = place(around.path());
        swap(&place, &container, &steps).by_three(0, b"").unwrap();
        assert!(place.root.join("new").exists() && place.staged().join("old").exists());
        swap(&place, &container, &steps).back().unwrap();
        assert!(place.root.join("old").exists() && place.staged().join("new").exists());
    }

    #[test]
    fn what_the_application_makes_anew_before_the_carry_does_not_cost_the_original() {
        let around = tempfile::tempdir().unwrap();
        let (place, container, mut steps) = place(around.path());
        fs::write(place.root.join("log"), "original").unwrap();
        steps.push(Step::Carry { path: b"log".to_vec() });
        swap(&place, &container, &steps).by_three(0, b"").unwrap();
        fs::write(place.root.join("log"), "newcomer").unwrap();
        let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap();
        for _twice in 0..2 {
            swap(&place, &container, &steps).forward().unwrap();
            assert_eq!(read(place.root.join("log")), "original");
            assert_eq!(read(place.root.join(".log.dumprestore-newer-1")), "newcomer");
            assert!(!place.staged().join("log").exists());
        }
    }

    #[test]
    fn what_is_excluded_and_made_after_the_plan_is_taken_along() {
        let around = tempfile::tempdir().unwrap();
        let (place, container, steps) = place(around.path());
        fs::create_dir_all(place.root.join("only/there")).unwrap();
        fs::write(place.root.join("only/there/late.log"), "late").unwrap();
        fs::create_dir(place.staged().join("kept")).unwrap();
        fs::create_dir(place.root.join("kept")).unwrap();
        fs::write(place.root.join("kept/late.log"), "late").unwrap();
        let filter = Filter::new(&[], &["*.log".to_owned()]).unwrap();
        Swap::new(&place, &filter, &Tally::default(), container, steps).unwrap().forward().unwrap();
        assert!(place.root.join("new").exists());
        for late in ["only/there/late.log", "kept/late.log"] {
            assert_eq!(fs::read_to_string(place.root.join(late)).unwrap(), "late", "{late}");
            assert!(!place.staged().join(late).exists(), "{late}");
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let around = tempfile::tempdir().unwrap();
        let (place, container, mut steps) = place(around.path());
        let line = br#"{"path":".","type":"folder","mode":"0755","uid":0,"gid":0,"mtime":[0,0]}"#;
        let entry = Entry::from_line(line).unwrap();
        steps.push(Step::Carry { path: b"a\xff\n/b".to_vec() });
        steps.push(Step::Stamp { path: b"c".to_vec(), old: entry.clone(), new: entry });
        assert!(read(&place, &container).unwrap().is_none());
        write(&place, &container, &steps).unwrap();
        assert_eq!(read(&place, &container).unwrap().unwrap(), steps);
    }
}
