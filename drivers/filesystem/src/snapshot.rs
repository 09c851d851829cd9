//! One dump of a folder.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dumprestore_driver::{
    Cancel, CutContext, CutMode, Dumped, Error, Facts, LedgerEntry, Links, Part, PartStream, PartWriter,
    Reference, Result, Source, Unresolved,
};
use futures_util::{StreamExt, stream};
use rustix::fs::fstat;
use tokio::sync::mpsc;

use crate::captures::{Captures, OtherKind};
use crate::content::{Job, Lane, Reading};
use crate::entry::{Meta, TREE, part_name, part_path};
use crate::filter::{Filter, Part as Share};
use crate::ledger::{Held, Ledger, Weight};
use crate::listed::{self, Item};
use crate::listing::open_folder;
use crate::path::{ancestors, shown};
use crate::root::Root;
use crate::state::{Signature, Stamp};
use crate::walk::{Found, Scope, What, walk, walk_changed};
use crate::xattr;

/// So often a file is read that changes while it is read.
const MOST_TORN: u32 = 5;

/// So often, at most, a pass lists the folders again that changed while it went by.
const MOST_SWEEPS: u32 = 5;

/// The cut, as far as a folder is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) not_before: Stamp,
    pub(crate) locked: bool,
}

/// What all threads of one dump share.
pub(crate) struct Shared {
    pub(crate) root: Root,
    pub(crate) filter: Filter,
    pub(crate) one_file_system: bool,
    pub(crate) cancel: Cancel,
    pub(crate) cut: Mutex<Option<Cut>>,
    memory: Mutex<Captures>,
    ledger: Mutex<Ledger>,
    lanes: Mutex<Vec<Lane>>,
    /// Grows when folders that lanes hold open are to be looked up anew.
    time: AtomicU64,
    listed: Mutex<Option<Arc<Vec<Item>>>>,
    /// Whether the last pass went over everything.
    passed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Captures> {
        locked(&self.memory)
    }

    pub(crate) fn note(&self, path: &[u8], why: impl Into<String>, weight: Weight) {
        locked(&self.ledger).note(path, why.into(), weight);
    }

    /// Looks at what was not read whole: what is not there any more could not be.
    pub(crate) fn judge_unread(&self) {
        locked(&self.ledger).judge(self.root.beneath());
    }

    fn look_anew(&self) {
        self.time.fetch_add(1, Ordering::Relaxed);
        locked(&self.lanes).clear();
    }

    fn lane(&self) -> Lane {
        let time = self.time.load(Ordering::Relaxed);
        match locked(&self.lanes).pop() {
            Some(lane) if lane.time == time => lane,
            _ => Lane::new(self.root.beneath(), time),
        }
    }

    /// One pass: lists what has to be read, and hands each to `yield_part`.
    fn pass(&self, yield_part: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
        let scope = Scope {
            root: &self.root,
            filter: &self.filter,
            one_file_system: self.one_file_system,
            cancel: &self.cancel,
        };
        let mut names = Vec::new();
        let mut folders = walk(scope, &mut |found| match self.see(&found, &mut names) {
            Some(part) => yield_part(part),
            None => Ok(()),
        })?;
        for _ in 0..MOST_SWEEPS {
            // What is found is handed over afterwards: the shorter a sweep, the less can be moved past it.
            let mut parts = Vec::new();
            walk_changed(scope, &mut folders, &mut |found| {
                if !self.has_seen(&found) {
                    parts.extend(self.see(&found, &mut names));
                }
                Ok(())
            })?;
            if parts.is_empty() {
                break;
            }
            parts.into_iter().try_for_each(&mut *yield_part)?;
        }
        Ok(())
    }

    fn has_seen(&self, found: &Found<'_>) -> bool {
        match &found.what {
            What::File(stat) => self.memory().has_seen(found.path, Signature::of(stat).inode()),
            _ => false,
        }
    }

    fn see(&self, found: &Found<'_>, names: &mut Vec<u8>) -> Option<Part> {
        let path = found.path;
        match &found.what {
            What::File(stat) => {
                let state = Signature::of(stat);
                let to_read = self.memory().see_file(path, state, u64::from(stat.st_nlink as u32));
                return if to_read { self.part_of(path, state.size) } else { None };
            }
            What::Link(stat, folder, name) => match rustix::fs::readlinkat(folder, *name, Vec::new()) {
                Ok(target) => {
                    let what = OtherKind::Symlink(target.as_bytes().into());
                    self.memory().see_other(path, Meta::of(stat, None), what);
                }
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {}
                Err(error) => self.note(path, unreadable(&error.into()), Weight::Degrades),
            },
            What::Folder(stat, fd, part) => match xattr::read(fd, names) {
                Ok(xattrs) => {
                    let what = OtherKind::Folder { dev: stat.st_dev, ino: stat.st_ino, part: *part };
                    self.memory().see_other(path, Meta::of(stat, xattrs), what);
                }
                Err(error) => self.note(path, unreadable(&error), Weight::Degrades),
            },
            What::Skipped(why) => self.note(path, *why, Weight::Note),
            What::Unreadable(error) => self.note(path, unreadable(error), Weight::Degrades),
        }
        None
    }

    fn part_of(&self, path: &[u8], size: u64) -> Option<Part> {
        match part_name(path) {
            Ok(name) => Some(Part::new(name).with_size(size)),
            Err(_) => {
                self.note(path, "its path is too long for an archive", Weight::Degrades);
                None
            }
        }
    }

    fn dump_file(&self, path: &[u8], out: &mut PartWriter<'_>) -> Result<Dumped> {
        self.cancel.check()?;
        let torn = self.memory().torn(path);
        let mut lane = self.lane();
        // What is dumped once the parts are listed stands by itself: no digest vouches for it.
        let keep_unsure = torn + 1 >= MOST_TORN && locked(&self.listed).is_none();
        let job = Job { root: &self.root, path, torn, keep_unsure };
        let reading = lane.read(&job, out)?;
        let dumped = match reading {
            Reading::Whole(capture) => {
                self.know_folders(path, &mut lane);
                match capture.is_sure {
                    true => locked(&self.ledger).forget(path),
                    false => self.note(path, CHANGED_EACH_TIME, Weight::NotRead),
                }
                self.memory().keep(path, *capture);
                Dumped::Whole { rows: None }
            }
            Reading::Torn => self.torn(path),
            Reading::Gone => self.gone(path, "it vanished before it was read", Weight::NotRead),
            Reading::Replaced => {
                self.gone(path, "something else took its place before it was read", Weight::NotRead)
            }
            Reading::Unreadable(error) => self.gone(path, &unreadable(&error), Weight::Degrades),
        };
        if lane.time == self.time.load(Ordering::Relaxed) {
            locked(&self.lanes).push(lane);
        }
        Ok(dumped)
    }

    fn torn(&self, path: &[u8]) -> Dumped {
        if self.memory().count_torn(path) < MOST_TORN {
            return Dumped::Torn;
        }
        self.gone(path, CHANGED_EACH_TIME, Weight::NotRead)
    }

    fn gone(&self, path: &[u8], why: &str, weight: Weight) -> Dumped {
        self.note(path, why, weight);
        Dumped::Gone
    }

    /// A file that a pass did not come by may be in folders that it did not come by either.
    fn know_folders(&self, path: &[u8], lane: &mut Lane) {
        for folder in ancestors(path) {
            if self
                .memory()
                .others
                .get(folder)
                .is_some_and(|other| matches!(other.what, OtherKind::Folder { .. }))
            {
                continue;
            }
            let opened = lane.beneath().folder(folder).and_then(|fd| open_folder(fd, "."));
            if let Ok((stat, fd)) = opened.and_then(|fd| Ok((fstat(&fd)?, fd))) {
                let what = OtherKind::Folder { dev: stat.st_dev, ino: stat.st_ino, part: Share::Through };
                let xattrs = xattr::read(&fd, &mut Vec::new()).unwrap_or_default();
                self.memory().know_late_folder(folder, Meta::of(&stat, xattrs), what);
            }
        }
    }

    fn dump_tree(&self, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let items = locked(&self.listed).clone();
        let items =
            items.ok_or_else(|| Error::defect(format!("`{TREE}` is dumped before the parts were listed")))?;
        listed::write(self, &items, out)?;
        Ok(Dumped::Whole { rows: Some(items.len() as u64) })
    }
}

const CHANGED_EACH_TIME: &str = "it changed each time it was read";

fn unreadable(error: &std::io::Error) -> String {
    format!("it can't be read: {error}")
}

/// A dump of one folder.
pub(crate) struct Snapshot(Arc<Shared>);

impl Snapshot {
    pub(crate) fn new(root: Root, filter: Filter, one_file_system: bool, cancel: Cancel) -> Self {
        Self(Arc::new(Shared {
            root,
            filter,
            one_file_system,
            cancel,
            cut: Mutex::default(),
            memory: Mutex::default(),
            ledger: Mutex::default(),
            lanes: Mutex::default(),
            time: AtomicU64::new(0),
            listed: Mutex::default(),
            passed: AtomicBool::new(false),
        }))
    }
}

#[async_trait]
impl Links for Snapshot {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        self.0.look_anew();
        self.0.resolve(references)
    }
}

#[async_trait]
impl Source for Snapshot {
    async fn capture(&mut self) -> Result<PartStream> {
        let shared = self.0.clone();
        shared.look_anew();
        shared.passed.store(false, Ordering::Release);
        shared.memory().begin_pass();
        *locked(&shared.ledger) = Ledger::default();
        let (sender, receiver) = mpsc::channel(256);
        tokio::task::spawn_blocking(move || {
            let stopped = |_| Error::cancelled();
            match shared.pass(&mut |part| sender.blocking_send(Ok(part)).map_err(stopped)) {
                Ok(()) => shared.passed.store(true, Ordering::Release),
                Err(error) => {
                    // Nobody listens any more if the run was stopped.
                    let _ = sender.blocking_send(Err(error));
                }
            }
        });
        Ok(stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|part| (part, receiver))
        })
        .fuse()
        .boxed())
    }

    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        let locked_cut = cut.mode == CutMode::Locked;
        *locked(&self.0.cut) = Some(Cut { not_before: cut.not_before.into(), locked: locked_cut });
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        if let Some(cut) = locked(&self.0.cut).as_mut() {
            cut.locked = false;
        }
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        *locked(&self.0.cut) = None;
        *locked(&self.0.listed) = None;
        self.0.memory().forget_choices();
        Ok(())
    }

    fn facts(&self) -> Facts {
        let path = shown(std::os::unix::ffi::OsStrExt::as_bytes(self.0.root.path.as_os_str()));
        Facts::from([
            ("path".to_owned(), path),
            ("one_file_system".to_owned(), self.0.one_file_system.to_string()),
        ])
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let shared = self.0.clone();
        if !shared.passed.load(Ordering::Acquire) {
            return Err(Error::defect("the parts are listed without a pass over the whole folder"));
        }
        let listed = tokio::task::spawn_blocking(move || listed::list(&shared)).await;
        let items =
            listed.map_err(|error| Error::defect("the list of parts broke off").with_source(error))??;
        let items = Arc::new(items);
        *locked(&self.0.listed) = Some(items.clone());
        let parts = listed::parts(self.0.clone(), items)?;
        Ok(stream::iter(parts).boxed())
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        match part_path(&part.name) {
            Some(path) => self.0.dump_file(&path, out),
            None if part.name.as_str() == TREE => self.0.dump_tree(out),
            None => Err(Error::defect(format!("there is no part `{}`", part.name))),
        }
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        // What was dumped after the parts were listed may be new in it.
        self.0.judge_unread();
        let memory = self.0.memory();
        locked(&self.0.ledger).entries(|path| match memory.files.get(path) {
            _ if memory.chosen(path).is_some() => Held::Certified,
            Some(file) if memory.is_wanted(path, file) && memory.pick(path).is_some() => Held::Earlier,
            _ => Held::Nothing,
        })
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await?;
        self.0.look_anew();
        *self.0.memory() = Captures::default();
        Ok(())
    }
}
