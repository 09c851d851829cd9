//! One restore of a folder.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Error, ErrorKind, Extras, LedgerEntry, Links, OldState, PartReader,
    Reference, Result, Secret, StageContext, Staging, Token, Unresolved,
};
use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
use rustix::io::Errno;

use crate::census::{self, CENSUS};
use crate::container::{ABSENT, DROPPED, PLAN, Place, STAGED, ground_of, time_of};
use crate::filter::Filter;
use crate::held::{self, Held, has};
use crate::late;
use crate::load::{Load, sync_all};
use crate::plan::{Planner, Step};
use crate::remove::remove_tree;
use crate::rename::rename_noreplace;
use crate::staged::unresolved_in;
use crate::stamp::Finishing;
use crate::swap::{self, Swap};
use crate::sweep::Wins;
use crate::tally::Tally;

/// A restore, wherever it stands: all of that is on the disk.
pub(crate) struct Restore {
    work: Arc<Work>,
    load: Option<Arc<Load>>,
}

/// What the steps need that are done away from the async runtime.
struct Work {
    place: Place,
    filter: Filter,
    cx: StageContext,
    origin: Origin,
    held: Held,
    tally: Tally,
}

/// What a staging is of.
pub(crate) enum Origin {
    /// What is in an archive.
    Archive(Arc<dyn ArchivedNode>),
    /// The state that an earlier restore kept.
    Previous,
    /// A restore that a crash cut off, of either.
    Crash,
}

impl Restore {
    pub(crate) fn new(place: Place, filter: Filter, cx: StageContext, origin: Origin) -> Self {
        let (held, tally) = (Held::default(), Tally::default());
        Self { work: Arc::new(Work { place, filter, cx, origin, held, tally }), load: None }
    }

    async fn away<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Work) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let work = self.work.clone();
        let done = tokio::task::spawn_blocking(move || step(&work)).await;
        done.map_err(|error| Error::defect("a step of the restore broke off").with_source(error))?
    }
}

#[async_trait]
impl Staging for Restore {
    fn journal(&self) -> Token {
        self.work.place.to_token()
    }

    async fn begin(&mut self) -> Result<()> {
        self.load = self.away(Work::begin).await?.map(Arc::new);
        Ok(())
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        match &self.load {
            Some(load) => load.part(part, from),
            None => Err(Error::defect("a part is loaded into a staging that was not begun")),
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        let load = self.load.clone();
        self.away(move |work| work.prepare(load.as_deref())).await
    }

    fn address(&self) -> Option<Secret> {
        self.work.place.staged().to_str().map(Secret::new)
    }

    async fn commit(&mut self) -> Result<()> {
        self.away(Work::commit).await
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.work.tally.entries()
    }

    async fn rollback(&mut self) -> Result<()> {
        self.load = None;
        self.away(|work| work.rollback().inspect(|()| work.held.let_go())).await
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        self.away(move |work| {
            match old {
                OldState::Drop => work.drop_old()?,
                OldState::Keep => work.keep_old()?,
            }
            work.held.let_go();
            Ok((old == OldState::Keep).then(|| work.place.to_token()))
        })
        .await
    }
}

#[async_trait]
impl Links for Restore {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let container = self.work.container()?;
        let mut staged = self.work.place.staged_side(&container);
        let mut unresolved = Vec::new();
        for reference in references {
            self.work.cx.cancel.check()?;
            if let Some(why) = unresolved_in(&mut staged, reference, &self.work.cx.cancel)? {
                unresolved.push(Unresolved::new(reference.clone(), why));
            }
        }
        Ok(unresolved)
    }
}

impl Work {
    fn container(&self) -> Result<Arc<OwnedFd>> {
        self.find()?.ok_or_else(|| {
            Error::environment("what was staged is gone").with_context("path", self.place.container.display())
        })
    }

    fn find(&self) -> Result<Option<Arc<OwnedFd>>> {
        self.held.find(&self.place.container)
    }

    fn begin(&self) -> Result<Option<Load>> {
        let archived = match &self.origin {
            Origin::Archive(archived) => archived,
            Origin::Previous => return self.take_previous().map(|()| None),
            Origin::Crash => return Err(Error::defect("a staging that was resumed is not begun again")),
        };
        let container = self.held.hold(self.place.make()?);
        self.place.set_root_time(self.place.root_time)?;
        Load::begin(&**archived, container, &self.place.staged(), self.filter.clone(), self.cx.cancel.clone())
            .map(Some)
    }

    fn take_previous(&self) -> Result<()> {
        if let Some(previous) = held::open(&self.place.previous)? {
            // By the plan the old tree was swapped out. It was left until now: a container without one, taken up after
            // a crash, would have it made anew, and the old tree swapped in again.
            self.remove_plan(&previous)?;
            self.held.hold(previous);
        }
        match renameat(CWD, &self.place.previous, CWD, &self.place.container) {
            Ok(()) => self.place.set_root_time(self.place.root_time),
            Err(Errno::NOENT) if self.find()?.is_some() => Ok(()),
            Err(Errno::NOENT) => self.place.check_previous(),
            Err(error) => Err(self.place.error("can't take the previous state", error)),
        }
    }

    fn prepare(&self, load: Option<&Load>) -> Result<()> {
        let container = self.container()?;
        match (load, &self.origin) {
            (Some(load), Origin::Archive(archived)) => {
                let staged = self.place.staged();
                let finishing = Finishing::new(container.clone(), &staged, &self.filter, &self.tally);
                finishing.run(&**archived, load.files.load(Ordering::Relaxed), &self.cx.cancel)?;
                load.sync()?;
            }
            _ => sync_all(&container).map_err(|error| self.place.error("can't write to the disk", error))?,
        }
        // What would be in the way of the swap comes up now.
        self.plan(&container).map(drop)
    }

    fn plan(&self, container: &Arc<OwnedFd>) -> Result<Vec<Step>> {
        if !has(container, STAGED) && !has(container, ABSENT) {
            return Err(Error::environment("what was staged is gone")
                .with_context("path", self.place.staged().display()));
        }
        let (live, staged) = (self.place.live_side()?, self.place.staged_side(container));
        let (extras, cancel) = (self.cx.extras, &self.cx.cancel);
        Planner::new(&self.place, &self.filter, extras, cancel, &self.tally, live, staged)?.plan()
    }

    fn commit(&self) -> Result<()> {
        let container = match (self.find()?, &self.origin) {
            (Some(container), _) => container,
            // It was finished before the crash.
            (None, Origin::Crash) => return self.place.check_ground(),
            (None, _) => self.container()?,
        };
        let steps = match swap::read(&self.place, &container)? {
            // The old folder is being removed already: that may be all that is left.
            _ if self.is_being_removed(&container) => return Ok(()),
            Some(steps) => steps,
            None => {
                let steps = self.plan_for_good(&container)?;
                // What a hook has written into the staged folder is as durable as what was loaded, before the old
                // data can be removed.
                sync_all(&container).map_err(|error| self.place.error("can't write to the disk", error))?;
                swap::write(&self.place, &container, &steps)?;
                steps
            }
        };
        self.swap(container, steps)?.forward()
    }

    fn plan_for_good(&self, container: &Arc<OwnedFd>) -> Result<Vec<Step>> {
        if self.cx.extras != Extras::Keep {
            return self.plan(container);
        }
        let moment = || {
            let moment = late::moment(container);
            moment.map_err(|error| self.place.error("can't tell the time of the file system", error))
        };
        // Before what is there is looked at: what comes later is told by it.
        let since = moment()?;
        let mut steps = self.plan(container)?;
        census::take(container, &mut self.place.staged_side(container), &self.cx.cancel)?;
        steps.push(Step::KeepLate { since, counted: moment()? });
        Ok(steps)
    }

    /// Whether a crash cut off the removal of the old folder, and with it of what tells of the restore.
    fn is_being_removed(&self, container: &OwnedFd) -> bool {
        let nothing_left = [STAGED, PLAN, ABSENT].iter().all(|name| !has(container, name));
        has(container, DROPPED) || (nothing_left && matches!(self.origin, Origin::Crash))
    }

    fn swap(&self, container: Arc<OwnedFd>, steps: Vec<Step>) -> Result<Swap<'_>> {
        Swap::new(&self.place, &self.filter, &self.tally, container, steps)
    }

    fn rollback(&self) -> Result<()> {
        let Some(container) = self.find().map_err(|error| error.with_kind(ErrorKind::Stuck))? else {
            // It was rolled back before the crash, or has never begun.
            self.place.check_ground()?;
            return self.time_after_crash(self.place.root_time);
        };
        if has(&container, DROPPED) {
            return Err(Error::stuck("the old folder is being removed: the restore was finished")
                .with_context("path", self.place.container.display())
                .with_hint("the restored data are in place; remove that folder to be done"));
        }
        if let Some(steps) = swap::read(&self.place, &container).map_err(|error| self.stuck(error))? {
            let swap = self.swap(container.clone(), steps);
            swap.and_then(Swap::back).map_err(|error| self.stuck(error))?;
        }
        if self.place.from_previous {
            return self.put_previous_back(&container);
        }
        self.remove_container(&container).map_err(|error| error.with_kind(ErrorKind::Stuck))?;
        self.place.set_root_time(self.place.root_time)
    }

    fn stuck(&self, error: Error) -> Error {
        let hint = format!(
            "remove the cause, then run `dumprestore recover`; `{}` has what is not in place, and the plan of it",
            self.place.container.display()
        );
        error.with_kind(ErrorKind::Stuck).with_hint(hint)
    }

    fn put_previous_back(&self, container: &OwnedFd) -> Result<()> {
        self.remove_plan(container)?;
        rename_noreplace(CWD, self.place.container.as_os_str(), CWD, self.place.previous.as_os_str())
            .map_err(|error| self.place.error("can't put the previous state back", error))?;
        self.sync_around()?;
        self.place.set_root_time(self.place.root_time)
    }

    fn remove_plan(&self, container: &OwnedFd) -> Result<()> {
        held::remove_file(container, PLAN)
            .and_then(|()| held::remove_file(container, CENSUS))
            .map_err(|error| self.place.error("can't remove the plan of the swap", error))
    }

    fn remove_container(&self, container: &Arc<OwnedFd>) -> Result<()> {
        // The plan goes with the rest: a tree that was half removed must not be swapped in by it.
        self.remove_plan(container)?;
        held::remove(container, &self.place.container)?;
        self.sync_around()
    }

    /// The last thing that a crash can have cut off.
    fn time_after_crash(&self, time: Option<(i64, u32)>) -> Result<()> {
        match self.origin {
            Origin::Crash => self.place.set_root_time(time),
            _ => Ok(()),
        }
    }

    /// Writes down the folder that the container is in.
    fn sync_around(&self) -> Result<()> {
        let Some(around) = self.place.container.parent() else { return Ok(()) };
        let synced = std::fs::File::open(around).and_then(|folder| folder.sync_all());
        synced.map_err(|error| self.place.error("can't write to the disk", error))
    }

    fn drop_old(&self) -> Result<()> {
        let Some(container) = self.find()? else {
            self.place.check_ground()?;
            return self.time_after_crash(self.place.new_time);
        };
        self.sweep_old(&container)?;
        // From here on there is no way back, and a rollback can tell.
        match renameat(&container, STAGED, &container, DROPPED) {
            Ok(()) => {}
            Err(Errno::NOENT) => {}
            // It was begun before: what is left of it is there already.
            Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            Err(error) => return Err(self.place.error("can't remove the old folder", error)),
        }
        swap::sync(&container).map_err(|error| self.place.error("can't write to the disk", error))?;
        held::remove(&container, &self.place.container)?;
        self.sync_around()?;
        self.place.set_root_time(self.place.new_time)
    }

    /// Whoever holds a folder of the old tree open may have made something in it that is to stay.
    fn sweep_old(&self, container: &Arc<OwnedFd>) -> Result<()> {
        if !has(container, STAGED) {
            return Ok(());
        }
        let steps = swap::read(&self.place, container)?.unwrap_or_default();
        self.swap(container.clone(), steps)?.sweep(Wins::Live)
    }

    /// The container with the old tree in it becomes the previous state, in the place of an older one.
    fn keep_old(&self) -> Result<()> {
        let Some(container) = self.find()? else {
            return match self.place.previous.symlink_metadata() {
                Ok(_) => {
                    self.remove_older()?;
                    self.time_after_crash(self.place.new_time)
                }
                Err(error) => Err(self.place.error("the old folder is gone", error)),
            };
        };
        self.sweep_old(&container)?;
        self.mark_absent(&container)?;
        match rename_noreplace(CWD, self.place.previous.as_os_str(), CWD, self.older().as_os_str()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.place.error("can't put an older previous state away", error)),
        }
        renameat(CWD, &self.place.container, CWD, &self.place.previous)
            .map_err(|error| self.place.error("can't keep the old folder", error))?;
        if !held::is_at(&container, &self.place.previous) {
            return Err(held::not_ours(&self.place.previous));
        }
        self.sync_around()?;
        self.remove_older()?;
        self.place.set_root_time(self.place.new_time)
    }

    /// If there was no folder, that is the state to go back to: it is written down, lest it pass for an accident.
    fn mark_absent(&self, container: &OwnedFd) -> Result<()> {
        let fail = |error: Errno| self.place.error("can't keep the old state", error);
        if has(container, STAGED) {
            return held::remove_file(container, ABSENT).map_err(fail);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(container, ABSENT, flags, Mode::RUSR | Mode::WUSR).map(drop).map_err(fail)
    }

    fn older(&self) -> std::path::PathBuf {
        let mut older = self.place.container.clone().into_os_string();
        older.push("-older");
        older.into()
    }

    fn remove_older(&self) -> Result<()> {
        remove_tree(&self.older())
    }
}

/// Where a token says that a previous state lies, as the place of its restore in the run of that name.
///
/// # Errors
/// If it is not there.
pub(crate) fn place_of_previous(kept: &Token, run: &str) -> Result<Place> {
    let kept = Place::from_token(kept)?;
    kept.check_previous()?;
    let container = kept.previous.with_file_name(container_name(&kept.previous, run));
    let (root_time, new_time) = match kept.inside {
        true => (time_of(&kept.root), time_of(&kept.previous.join(STAGED))),
        false => (None, None),
    };
    let ground = ground_of(&container);
    Ok(Place { container, from_previous: true, root_time, new_time, ground, ..kept })
}

fn container_name(previous: &Path, run: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let name = previous.file_name().unwrap_or_default().as_bytes();
    let stem = name.strip_suffix(b"previous").unwrap_or(name);
    let mut made = stem.to_vec();
    made.extend(run.bytes());
    std::ffi::OsString::from_vec(made)
}

/// Removes a previous state. Its tree goes first under another name: half of it must not be restored.
pub(crate) fn discard(kept: &Token) -> Result<()> {
    let place = Place::from_token(kept)?;
    let Some(previous) = held::open(&place.previous)?.map(Arc::new) else { return place.check_ground() };
    match renameat(&previous, STAGED, &previous, DROPPED) {
        Ok(()) | Err(Errno::NOENT | Errno::EXIST | Errno::NOTEMPTY) => {}
        Err(error) => return Err(place.error("can't discard the previous state", error)),
    }
    let time = if place.inside { time_of(&place.root) } else { None };
    held::remove(&previous, &place.previous)?;
    place.set_root_time(time)
}
