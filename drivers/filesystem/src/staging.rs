//! One restore of a folder.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Error, ErrorKind, Links, OldState, PartReader, Reference, Result, Secret,
    StageContext, Staging, Token, Unresolved,
};
use rustix::fs::{CWD, renameat};
use rustix::io::Errno;

use crate::container::{ABSENT, DROPPED, PLAN, Place, STAGED, time_of};
use crate::filter::Filter;
use crate::load::{Load, sync_all};
use crate::plan::{Planner, Step};
use crate::remove::remove_tree;
use crate::rename::rename_noreplace;
use crate::staged::unresolved_in;
use crate::stamp::Finishing;
use crate::swap::{self, Swap};
use crate::sweep::Wins;

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
        Self { work: Arc::new(Work { place, filter, cx, origin }), load: None }
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

    async fn rollback(&mut self) -> Result<()> {
        self.load = None;
        self.away(Work::rollback).await
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        self.away(move |work| match old {
            OldState::Drop => work.drop_old().map(|()| None),
            OldState::Keep => work.keep_old().map(|()| Some(work.place.to_token())),
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
        let container = self.place.open_container()?;
        container.map(Arc::new).ok_or_else(|| {
            Error::environment("what was staged is gone").with_context("path", self.place.container.display())
        })
    }

    fn begin(&self) -> Result<Option<Load>> {
        let archived = match &self.origin {
            Origin::Archive(archived) => archived,
            Origin::Previous => return self.take_previous().map(|()| None),
            Origin::Crash => return Err(Error::defect("a staging that was resumed is not begun again")),
        };
        let container = Arc::new(self.place.make()?);
        self.place.set_root_time(self.place.root_time)?;
        Load::begin(&**archived, container, &self.place.staged(), self.filter.clone(), self.cx.cancel.clone())
            .map(Some)
    }

    fn take_previous(&self) -> Result<()> {
        // By the plan the old tree was swapped out. It was left until now: a container without one, taken up after a
        // crash, would have it made anew, and the old tree swapped in again.
        match std::fs::remove_file(self.place.previous.join(PLAN)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(self.place.error("can't remove the plan of the swap", error));
            }
            _ => {}
        }
        match renameat(CWD, &self.place.previous, CWD, &self.place.container) {
            Ok(()) => self.place.set_root_time(self.place.root_time),
            Err(Errno::NOENT) if self.place.open_container()?.is_some() => Ok(()),
            Err(Errno::NOENT) => Err(Error::environment("the previous state is gone")
                .with_context("path", self.place.previous.display())
                .with_hint("restore from an archive")),
            Err(error) => Err(self.place.error("can't take the previous state", error)),
        }
    }

    fn prepare(&self, load: Option<&Load>) -> Result<()> {
        let container = self.container()?;
        match (load, &self.origin) {
            (Some(load), Origin::Archive(archived)) => {
                let staged = self.place.staged();
                let finishing = Finishing::new(container.clone(), &staged, &self.filter);
                finishing.run(&**archived, load.files.load(Ordering::Relaxed), &self.cx.cancel)?;
                load.sync()?;
            }
            _ => sync_all(&container).map_err(|error| self.place.error("can't write to the disk", error))?,
        }
        // What would be in the way of the swap comes up now.
        self.plan(&container).map(drop)
    }

    fn plan(&self, container: &Arc<OwnedFd>) -> Result<Vec<Step>> {
        if !self.place.has(STAGED) && !self.place.has(ABSENT) {
            return Err(Error::environment("what was staged is gone")
                .with_context("path", self.place.staged().display()));
        }
        let (live, staged) = (self.place.live_side()?, self.place.staged_side(container));
        Planner::new(&self.place, &self.filter, self.cx.extras, &self.cx.cancel, live, staged)?.plan()
    }

    fn commit(&self) -> Result<()> {
        let container = match (self.place.open_container()?, &self.origin) {
            (Some(container), _) => Arc::new(container),
            // It was finished before the crash.
            (None, Origin::Crash) => return Ok(()),
            (None, _) => self.container()?,
        };
        let steps = match swap::read(&self.place)? {
            // The old folder is being removed already: that may be all that is left.
            _ if self.is_being_removed() => return Ok(()),
            Some(steps) => steps,
            None => {
                let steps = self.plan(&container)?;
                // What a hook has written into the staged folder is as durable as what was loaded, before the old
                // data can be removed.
                sync_all(&container).map_err(|error| self.place.error("can't write to the disk", error))?;
                swap::write(&self.place, &container, &steps)?;
                steps
            }
        };
        Swap::new(&self.place, &self.filter, container, steps)?.forward()
    }

    /// Whether a crash cut off the removal of the old folder, and with it of what tells of the restore.
    fn is_being_removed(&self) -> bool {
        let nothing_left = [STAGED, PLAN, ABSENT].iter().all(|name| !self.place.has(name));
        self.place.has(DROPPED) || (nothing_left && matches!(self.origin, Origin::Crash))
    }

    fn rollback(&self) -> Result<()> {
        let Some(container) = self.place.open_container()? else {
            return self.time_after_crash(self.place.root_time);
        };
        if self.place.has(DROPPED) {
            return Err(Error::stuck("the old folder is being removed: the restore was finished")
                .with_context("path", self.place.container.display())
                .with_hint("the restored data are in place; remove that folder to be done"));
        }
        if let Some(steps) = swap::read(&self.place).map_err(|error| self.stuck(error))? {
            Swap::new(&self.place, &self.filter, Arc::new(container), steps)
                .and_then(Swap::back)
                .map_err(|error| self.stuck(error))?;
        }
        if self.place.from_previous {
            return self.put_previous_back();
        }
        self.remove_container()?;
        self.place.set_root_time(self.place.root_time)
    }

    fn stuck(&self, error: Error) -> Error {
        let hint = format!(
            "remove the cause, then run `dumprestore recover`; `{}` has what is not in place, and the plan of it",
            self.place.container.display()
        );
        error.with_kind(ErrorKind::Stuck).with_hint(hint)
    }

    fn put_previous_back(&self) -> Result<()> {
        remove_file(&self.place, PLAN)?;
        rename_noreplace(CWD, self.place.container.as_os_str(), CWD, self.place.previous.as_os_str())
            .map_err(|error| self.place.error("can't put the previous state back", error))?;
        self.sync_around()?;
        self.place.set_root_time(self.place.root_time)
    }

    fn remove_container(&self) -> Result<()> {
        // The plan goes with the rest: a tree that was half removed must not be swapped in by it.
        remove_file(&self.place, PLAN)?;
        remove_tree(&self.place.container)?;
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
        if self.place.open_container()?.is_none() {
            return self.time_after_crash(self.place.new_time);
        }
        self.sweep_old()?;
        // From here on there is no way back, and a rollback can tell.
        match renameat(CWD, self.place.staged(), CWD, self.place.container.join(DROPPED)) {
            Ok(()) => {}
            Err(Errno::NOENT) => {}
            // It was begun before: what is left of it is there already.
            Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            Err(error) => return Err(self.place.error("can't remove the old folder", error)),
        }
        self.sync_container()?;
        remove_tree(&self.place.container)?;
        self.sync_around()?;
        self.place.set_root_time(self.place.new_time)
    }

    /// Whoever holds a folder of the old tree open may have made something in it that is to stay.
    fn sweep_old(&self) -> Result<()> {
        if !self.place.has(STAGED) {
            return Ok(());
        }
        Swap::new(&self.place, &self.filter, self.container()?, Vec::new())?.sweep(Wins::Live)
    }

    fn sync_container(&self) -> Result<()> {
        match self.place.open_container()? {
            Some(container) => {
                swap::sync(&container).map_err(|error| self.place.error("can't write to the disk", error))
            }
            None => Ok(()),
        }
    }

    /// The container with the old tree in it becomes the previous state, in the place of an older one.
    fn keep_old(&self) -> Result<()> {
        if self.place.open_container()?.is_none() {
            return match self.place.previous.symlink_metadata() {
                Ok(_) => {
                    self.remove_older()?;
                    self.time_after_crash(self.place.new_time)
                }
                Err(error) => Err(self.place.error("the old folder is gone", error)),
            };
        }
        self.sweep_old()?;
        self.mark_absent()?;
        match rename_noreplace(CWD, self.place.previous.as_os_str(), CWD, self.older().as_os_str()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.place.error("can't put an older previous state away", error)),
        }
        renameat(CWD, &self.place.container, CWD, &self.place.previous)
            .map_err(|error| self.place.error("can't keep the old folder", error))?;
        self.sync_around()?;
        self.remove_older()?;
        self.place.set_root_time(self.place.new_time)
    }

    /// If there was no folder, that is the state to go back to: it is written down, lest it pass for an accident.
    fn mark_absent(&self) -> Result<()> {
        if self.place.has(STAGED) {
            return remove_file(&self.place, ABSENT);
        }
        let marked = std::fs::write(self.place.container.join(ABSENT), b"");
        marked.map_err(|error| self.place.error("can't keep the old state", error))
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

fn remove_file(place: &Place, name: &str) -> Result<()> {
    match std::fs::remove_file(place.container.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(place.error("can't remove the plan of the swap", error))
        }
        _ => Ok(()),
    }
}

/// Where a token says that a previous state lies, as the place of its restore in the run of that name.
pub(crate) fn place_of_previous(kept: &Token, run: &str) -> Result<Place> {
    let kept = Place::from_token(kept)?;
    let container = kept.previous.with_file_name(container_name(&kept.previous, run));
    let (root_time, new_time) = match kept.inside {
        true => (time_of(&kept.root), time_of(&kept.previous.join(STAGED))),
        false => (None, None),
    };
    Ok(Place { container, from_previous: true, root_time, new_time, ..kept })
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
    if place.previous.symlink_metadata().is_err() {
        return Ok(());
    }
    match renameat(CWD, place.previous.join(STAGED), CWD, place.previous.join(DROPPED)) {
        Ok(()) | Err(Errno::NOENT | Errno::EXIST | Errno::NOTEMPTY) => {}
        Err(error) => return Err(place.error("can't discard the previous state", error)),
    }
    let time = if place.inside { time_of(&place.root) } else { None };
    remove_tree(&place.previous)?;
    place.set_root_time(time)
}
