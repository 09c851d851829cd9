//! One dump of a folder.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dumprestore_driver::{
    Cancel, CutContext, CutMode, Dumped, Error, Facts, Held, Ledger, LedgerEntry, Links, OpenContext, Part,
    PartStream, PartWriter, Reference, Result, Source, Unresolved, Weight,
};
use futures_util::{StreamExt, stream};
use rustix::fs::{FileType, Stat, fstat};
use tokio::sync::mpsc;

use crate::beneath::Beneath;
use crate::captures::{Captures, Other, OtherKind, Path};
use crate::content::{Job, Lane, Reading};
use crate::entry::{Meta, TREE, part_name, part_path};
use crate::filter::{Filter, Part as Share};
use crate::listed::{self, Listed};
use crate::listing::open_folder;
use crate::path::{ancestors, shown};
use crate::root::Root;
use crate::state::{Signature, Stamp, is_special, type_of};
use crate::walk::{Found, Scope, What, walk, walk_from};
use crate::xattr;

/// So often a file is read that changes while it is read.
const MOST_TORN: u32 = 5;

/// So often, at most, a pass lists the folders again that changed while it went by.
const MOST_SWEEPS: u32 = 5;

/// So many files that a sweep finds are handed over when it is over.
const MOST_AFTERWARDS: usize = 10_000;

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
    scratch: PathBuf,
    ledger: Mutex<Ledger<[u8]>>,
    lanes: Mutex<Vec<Lane>>,
    /// Grows when folders that lanes hold open are to be looked up anew.
    time: AtomicU64,
    listed: Mutex<Option<Arc<Listed>>>,
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
        locked(&self.ledger).note(path, why, weight);
    }

    /// Looks at what was not read whole: what is not there any more could not be.
    pub(crate) fn judge_unread(&self) {
        let (mut beneath, mut ledger) = (self.root.beneath(), locked(&self.ledger));
        for path in ledger.not_read() {
            let found = beneath.stat(&path);
            let is_gone = found.is_ok_and(|stat| stat.is_none_or(|stat| is_special(type_of(&stat))));
            ledger.judge(&path, is_gone);
        }
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
        walk(scope, &mut |found| match self.see(&found, &mut names)? {
            Some(part) => yield_part(part),
            None => Ok(()),
        })?;
        for _ in 0..MOST_SWEEPS {
            if self.sweep(scope, &mut names, yield_part)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Lists the folders again that have changed since they were listed. Answers how many files were new in them.
    fn sweep(
        &self,
        scope: Scope<'_>,
        names: &mut Vec<u8>,
        yield_part: &mut dyn FnMut(Part) -> Result<()>,
    ) -> Result<usize> {
        let mut beneath = self.root.beneath();
        let (mut parts, mut new, mut last) = (Vec::new(), 0, None::<Path>);
        loop {
            let some = self.memory().others_after(last.as_deref())?;
            let Some((path, _)) = some.last() else { break };
            last = Some(path.clone());
            let pass = self.memory().pass;
            let changed = some.into_iter().filter(|(_, other)| other.pass == pass);
            let changed = changed.filter_map(|(path, other)| has_changed(&mut beneath, path, other.what));
            let known = |path: &[u8]| self.listed_as(path);
            walk_from(scope, changed.collect(), &known, &mut |found| {
                if !self.has_seen(&found)? {
                    parts.extend(self.see(&found, names)?);
                }
                Ok(())
            })?;
            // What is found is handed over afterwards: the shorter a sweep, the less can be moved past it.
            if parts.len() > MOST_AFTERWARDS {
                new += parts.len();
                parts.drain(..).try_for_each(&mut *yield_part)?;
            }
        }
        new += parts.len();
        parts.into_iter().try_for_each(yield_part)?;
        Ok(new)
    }

    /// The state of a folder before this pass listed it.
    fn listed_as(&self, path: &[u8]) -> Result<Option<Signature>> {
        let memory = self.memory();
        Ok(match memory.other(path)? {
            Some(Other { pass, what: OtherKind::Folder { listed, .. }, .. }) if pass == memory.pass => listed,
            _ => None,
        })
    }

    fn has_seen(&self, found: &Found<'_>) -> Result<bool> {
        match &found.what {
            What::File(stat) => self.memory().has_seen(found.path, Signature::of(stat).inode()),
            _ => Ok(false),
        }
    }

    fn see(&self, found: &Found<'_>, names: &mut Vec<u8>) -> Result<Option<Part>> {
        let path = found.path;
        match &found.what {
            What::File(stat) => {
                let state = Signature::of(stat);
                let to_read = self.memory().see_file(path, state, u64::from(stat.st_nlink as u32))?;
                return Ok(if to_read { self.part_of(path, state.size) } else { None });
            }
            What::Link(stat, folder, name) => match rustix::fs::readlinkat(folder, *name, Vec::new()) {
                Ok(target) => {
                    let what = OtherKind::Symlink(target.into_bytes());
                    self.memory().see_other(path, Meta::of(stat, None), what)?;
                }
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {}
                Err(error) => self.note(path, unreadable(&error.into()), Weight::Degrades),
            },
            What::Folder { stat, fd, part, listed } => match xattr::read(fd, names) {
                Ok(xattrs) => {
                    let inode = (stat.st_dev, stat.st_ino);
                    let what = OtherKind::Folder { inode, part: *part, listed: *listed };
                    self.memory().see_other(path, Meta::of(stat, xattrs), what)?;
                }
                Err(error) => self.note(path, unreadable(&error), Weight::Degrades),
            },
            What::Skipped(why) => self.note(path, *why, Weight::Note),
            What::Unreadable(error) => self.note(path, unreadable(error), Weight::Degrades),
        }
        Ok(None)
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
                self.know_folders(path, &mut lane)?;
                match capture.is_sure {
                    true => locked(&self.ledger).forget(path),
                    false => self.note(path, CHANGED_EACH_TIME, Weight::NotRead),
                }
                self.memory().keep(path, *capture)?;
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
    fn know_folders(&self, path: &[u8], lane: &mut Lane) -> Result<()> {
        for folder in ancestors(path) {
            if self.memory().other(folder)?.is_some_and(|other| other.what.is_folder()) {
                continue;
            }
            // One that is gone by now is told of when it is listed.
            let Ok((stat, xattrs)) = look_at_folder(lane, folder) else { continue };
            if let Err(error) = &xattrs {
                self.note(folder, format!("its attributes can't be read: {error}"), Weight::Degrades);
            }
            let inode = (stat.st_dev, stat.st_ino);
            let what = OtherKind::Folder { inode, part: Share::Through, listed: None };
            self.memory().know_late_folder(folder, Meta::of(&stat, xattrs.unwrap_or_default()), what)?;
        }
        Ok(())
    }

    fn dump_tree(&self, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let listed = locked(&self.listed).clone();
        let listed = listed
            .ok_or_else(|| Error::defect(format!("`{TREE}` is dumped before the parts were listed")))?;
        listed::write(self, &listed, out)?;
        Ok(Dumped::Whole { rows: Some(listed.rows) })
    }
}

const CHANGED_EACH_TIME: &str = "it changed each time it was read";

/// A folder that is to be listed again. One that is gone has nothing to list.
fn has_changed(beneath: &mut Beneath, path: Path, what: OtherKind) -> Option<(Path, Share)> {
    let OtherKind::Folder { part, listed, .. } = what else { return None };
    let stat = beneath.stat(&path).ok()??;
    let changed = type_of(&stat) == FileType::Directory && listed != Some(Signature::of(&stat));
    changed.then_some((path, part))
}

type Attributes = std::io::Result<Option<Box<xattr::Xattrs>>>;

/// Its state, and its attributes: they may be kept from who may not read the folder.
fn look_at_folder(lane: &mut Lane, folder: &[u8]) -> std::io::Result<(Stat, Attributes)> {
    let place = lane.beneath().folder(folder)?;
    let stat = fstat(place)?;
    Ok((stat, open_folder(place, ".").and_then(|fd| xattr::read(&fd, &mut Vec::new()))))
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it can't be read: {error}")
}

/// A dump of one folder.
pub(crate) struct Snapshot(Arc<Shared>);

impl Snapshot {
    pub(crate) fn new(root: Root, filter: Filter, one_file_system: bool, cx: OpenContext) -> Self {
        let OpenContext { cancel, scratch, .. } = cx;
        Self(Arc::new(Shared {
            root,
            filter,
            one_file_system,
            cancel,
            cut: Mutex::default(),
            memory: Mutex::new(Captures::new(scratch.clone())),
            scratch,
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
        let listed =
            listed.map_err(|error| Error::defect("the list of parts broke off").with_source(error))??;
        let listed = Arc::new(listed);
        *locked(&self.0.listed) = Some(listed.clone());
        let parts = listed::parts(listed)?;
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
        let held = |path: &[u8]| match (memory.chosen(path), memory.holds(path)) {
            (Ok(Some(_)), _) => Held::AsOfTheCut,
            (_, Ok(true)) => Held::Earlier,
            // If it can't be told, the worse is assumed.
            _ => Held::Nothing,
        };
        locked(&self.0.ledger).entries(held, shown)
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await?;
        self.0.look_anew();
        *self.0.memory() = Captures::new(self.0.scratch.clone());
        Ok(())
    }
}
