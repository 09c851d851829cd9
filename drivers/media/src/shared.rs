//! What all threads of one dump share: the passes, and the reading of single objects.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dumprestore_driver::{
    Cancel, Dumped, Error, Held, Ledger, LedgerEntry, OpenContext, Part, PartWriter, Result, Weight,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use crate::ahead::Ahead;
use crate::clock::{Clock, Window};
use crate::config::Mode;
use crate::inflight::InFlight;
use crate::key::{can_be_asked_for, part_name, shown};
use crate::line::ObjectLine;
use crate::listing::{Found, is_misread, objects, versions};
use crate::memory::{Capture, Memory};
use crate::ours::OURS;
use crate::reading::{Read, Reader, Reading};
use crate::restore::under_way;
use crate::site::Site;
use crate::state::State;
use crate::underway::Underway;

/// So often an object is read that changes while it is read.
const MOST_TORN: u32 = 5;

/// The cut, as far as a store is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) not_before: SystemTime,
    pub(crate) locked: bool,
    /// On the store's clock, once it was asked for.
    pub(crate) window: Option<Option<Window>>,
}

pub(crate) struct Shared {
    pub(crate) site: Site,
    /// Whether what is overwritten and deleted is kept.
    pub(crate) keeps_versions: bool,
    /// Which restore had replaced objects at the beginning, and was not over.
    restored: Option<(String, bool)>,
    pub(crate) reader: Reader,
    pub(crate) ahead: Ahead,
    pub(crate) cancel: Cancel,
    cut: Mutex<Option<Cut>>,
    /// The store's clock, as of the last pass.
    clock: Mutex<Option<Clock>>,
    /// When the last pass began, on that clock.
    began: Mutex<Option<Window>>,
    pub(crate) underway: Mutex<Option<Underway>>,
    pub(crate) in_flight: InFlight,
    memory: Mutex<Memory>,
    pub(crate) ledger: Mutex<Ledger<str>>,
    /// What is in the archive without all that belongs to it, whatever else is to be said of it.
    bare: Mutex<Ledger<str>>,
    scratch: PathBuf,
    /// Whether the last pass went over everything.
    pub(crate) passed: AtomicBool,
    /// Whether the parts were listed.
    pub(crate) listed: AtomicBool,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const UNNAMEABLE: &str = "its key is `/`, or has `.` or `..` between slashes: no request can name it";
const CHANGED_EACH_TIME: &str = "it changed each time it was read";
const VANISHED: &str = "it vanished before it was read";
const REMOVED: &str = "the version that was there at the cut was removed for good before it was read";

impl Shared {
    pub(crate) fn new(
        site: Site,
        cx: OpenContext,
        keeps_versions: bool,
        restored: Option<(String, bool)>,
    ) -> Self {
        let reader = Reader::new(site.bucket.clone());
        let OpenContext { cancel, scratch, ours, our_places, .. } = cx;
        let site = site.without(&our_places, &ours);
        Self {
            keeps_versions,
            restored,
            ahead: Ahead::new(reader.clone()),
            reader,
            site,
            cancel,
            cut: Mutex::default(),
            clock: Mutex::default(),
            began: Mutex::default(),
            underway: Mutex::default(),
            in_flight: InFlight::default(),
            memory: Mutex::new(Memory::new(scratch.clone(), keeps_versions)),
            ledger: Mutex::default(),
            bare: Mutex::default(),
            scratch,
            passed: AtomicBool::new(false),
            listed: AtomicBool::new(false),
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        locked(&self.memory)
    }

    pub(crate) fn note(&self, key: &str, why: impl Into<String>, weight: Weight) {
        locked(&self.ledger).note(key, why, weight);
    }

    pub(crate) fn set_cut(&self, cut: Option<Cut>) {
        *locked(&self.cut) = cut;
    }

    /// Writers go on: whatever they do from now on is after the cut.
    pub(crate) async fn unlock_cut(&self) {
        if let Some(cut) = locked(&self.cut).as_mut() {
            cut.locked = false;
        }
    }

    /// The cut, on the store's clock as well.
    ///
    /// # Errors
    /// If nothing is pinned.
    pub(crate) async fn cut(&self) -> Result<(Cut, Option<Window>)> {
        let unpinned = || Error::defect("references are resolved on what is not pinned");
        let cut = (*locked(&self.cut)).ok_or_else(unpinned)?;
        if let Some(window) = cut.window {
            return Ok((cut, window));
        }
        let until = SystemTime::now();
        let then = *locked(&self.clock);
        let now = Clock::ask(&self.site.bucket).await;
        let clock = then.zip(now).and_then(|(then, now)| then.and(now));
        let window = clock.and_then(|clock| Window::of(clock, cut.not_before, until));
        if let Some(cut) = locked(&self.cut).as_mut() {
            cut.window = Some(window);
        }
        Ok((cut, window))
    }

    /// When the last pass began.
    pub(crate) fn began(&self) -> Option<Window> {
        *locked(&self.began)
    }

    /// Whether what was written in that second was written before the last pass began.
    pub(crate) fn is_before_pass(&self, second: i64) -> bool {
        self.began().is_some_and(|began| began.is_before(second))
    }

    pub(crate) async fn begin_pass(&self) {
        self.passed.store(false, Ordering::Release);
        self.listed.store(false, Ordering::Release);
        self.ahead.forget();
        self.memory().begin_pass();
        *locked(&self.ledger) = Ledger::default();
        let clock = Clock::ask(&self.site.bucket).await;
        let now = SystemTime::now();
        *locked(&self.clock) = clock;
        *locked(&self.began) = clock.and_then(|clock| Window::of(clock, now, now));
    }

    /// One pass: lists what has to be read. Of versions alone nothing is read; it only notes what is being uploaded.
    pub(crate) async fn pass(&self, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
        if self.site.mode == Mode::Versions {
            let began = *locked(&self.began);
            let underway = Underway::list(&self.site.bucket, began).await;
            *locked(&self.underway) = underway;
            return Ok(());
        }
        if self.keeps_versions {
            return self.pass_over_versions(parts).await;
        }
        let mut found = objects(&self.site.bucket);
        while let Some(Found { key, state }) = found.try_next().await? {
            self.see(key, state, parts).await?;
        }
        Ok(())
    }

    /// The newest of each key: which one it is tells, later, what came after this pass.
    async fn pass_over_versions(&self, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
        let mut entries = versions(&self.site.bucket);
        let mut last = String::new();
        while let Some((key, version)) = entries.try_next().await? {
            if key == last {
                continue;
            }
            last.clone_from(&key);
            if !version.deleted {
                self.see(key, version.state, parts).await?;
                continue;
            }
            self.cancel.check()?;
            // Of what was deleted a while ago, the time tells enough.
            let is_old = version.state.second().is_some_and(|second| self.is_before_pass(second));
            if let Some(id) = version.state.version.filter(|_| !is_old && self.site.filter.takes(&key)) {
                self.memory().see_deleted(&key, id)?;
            }
        }
        Ok(())
    }

    async fn see(&self, key: String, state: State, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
        self.cancel.check()?;
        if !self.site.filter.takes(&key) {
            return Ok(());
        }
        if !can_be_asked_for(&key) {
            self.note(&key, UNNAMEABLE, Weight::Degrades);
            return Ok(());
        }
        let is_new = self.memory().see(&key, state.clone())?;
        if is_new {
            let part = Part::new(part_name(&key)?).with_size(state.size);
            self.ahead.fetch(&key, &state);
            parts.send(Ok(part)).await.map_err(|_| Error::cancelled())?;
        }
        Ok(())
    }

    pub(crate) async fn dump_object(&self, key: &str, out: &mut PartWriter<'_>) -> Result<Dumped> {
        self.cancel.check()?;
        let _flight = self.in_flight.begin(key);
        let record = self.memory().record(key)?;
        let expected = record.and_then(|record| record.expected);
        let expected = expected.ok_or_else(|| {
            Error::defect("an object is dumped that was never seen").with_context("key", key)
        })?;
        match self.read(key, &expected, out).await? {
            Reading::Whole(read) => self.keep(key, &expected, read, out),
            Reading::Changed if expected.fixed().is_some() => {
                self.gone(key, "the store gave out another version than it was asked for", Weight::Degrades)
            }
            Reading::Changed => self.changed(key).await,
            Reading::Gone if expected.fixed().is_some() && self.listed.load(Ordering::Acquire) => {
                self.gone(key, REMOVED, Weight::Degrades)
            }
            Reading::Gone => self.gone(key, VANISHED, Weight::NotRead),
            Reading::Refused(why) => self.gone(key, &why, Weight::Degrades),
        }
    }

    async fn read(&self, key: &str, expected: &State, out: &mut PartWriter<'_>) -> Result<Reading<Read>> {
        let Some(small) = self.ahead.take(key, expected).await else {
            return self.reader.read(key, expected, out).await;
        };
        Ok(match small? {
            Reading::Whole((read, content)) => {
                std::io::Write::write_all(out, &content)
                    .map_err(|error| Error::io("can't write an object into the archive", error))?;
                Reading::Whole(read)
            }
            other => other.of_nothing(),
        })
    }

    fn keep(&self, key: &str, expected: &State, read: Read, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let receipt = out.finish()?;
        let state = State {
            size: receipt.size,
            etag: read.state.etag.or_else(|| expected.etag.clone()),
            version: read.state.version.or_else(|| expected.version.clone()),
            modified: read.state.modified.or(expected.modified),
        };
        let capture = Capture { id: receipt.capture, digest: receipt.digest, state, headers: read.headers };
        self.memory().keep(key, capture)?;
        locked(&self.ledger).forget(key);
        Ok(Dumped::Whole { rows: None })
    }

    /// It is another by now: which one?
    async fn changed(&self, key: &str) -> Result<Dumped> {
        match self.reader.look(key).await? {
            Reading::Whole(now) => {
                let mut memory = self.memory();
                memory.expect(key, now.state)?;
                if memory.count_torn(key) < MOST_TORN {
                    return Ok(Dumped::Torn);
                }
                drop(memory);
                self.gone(key, CHANGED_EACH_TIME, Weight::NotRead)
            }
            Reading::Gone => self.gone(key, VANISHED, Weight::NotRead),
            Reading::Refused(why) => self.gone(key, &why, Weight::Degrades),
            Reading::Changed => Ok(Dumped::Torn),
        }
    }

    fn gone(&self, key: &str, why: &str, weight: Weight) -> Result<Dumped> {
        if self.in_flight.is_told(key) {
            return Err(Error::environment(format!(
                "an object can't be dumped that the list tells of already: {why}"
            ))
            .with_context("key", shown(key))
            .with_hint("dump again"));
        }
        self.note(key, why, weight);
        if self.listed.load(Ordering::Acquire) {
            self.memory().expect_nothing(key)?;
        }
        Ok(Dumped::Gone)
    }

    /// Whatever has been seen, a restore may have replaced some of it and not the rest.
    pub(crate) async fn look_for_restores(&self) -> Result<()> {
        let now = under_way(&self.site.bucket).await?;
        if now.is_some() && now != self.restored {
            let why = "a restore replaced the objects during the dump: some may be from before it, and some from after it";
            locked(&self.bare).note(OURS, why, Weight::Degrades);
        }
        Ok(())
    }

    /// Looks at what was not read whole: what is not there any more could not be.
    pub(crate) async fn judge_unread(&self) -> Result<()> {
        let unread = locked(&self.ledger).not_read();
        let looks = unread.into_iter().map(|key| {
            let look = async move {
                let is_gone = matches!(self.reader.look(&key).await?, Reading::Gone);
                let is_gone = is_gone && !is_misread(&self.site.bucket, &key).await?;
                Ok::<_, Error>((key, is_gone))
            };
            look.boxed()
        });
        let mut looks = stream::iter(looks).buffer_unordered(self.site.bucket.concurrency());
        while let Some((key, is_gone)) = looks.try_next().await? {
            locked(&self.ledger).judge(&key, is_gone);
        }
        Ok(())
    }

    pub(crate) fn ledger_entries(&self) -> Vec<LedgerEntry> {
        let memory = self.memory();
        let held = |key: &str| {
            let Ok(Some(record)) = memory.record(key) else { return Held::Nothing };
            match (memory.chosen(&record), memory.is_wanted(&record) && memory.pick(&record).is_some()) {
                (Some(_), _) => Held::AsOfTheCut,
                (_, true) if self.keeps_versions => Held::AsOfTheCut,
                (_, true) => Held::Earlier,
                _ => Held::Nothing,
            }
        };
        let mut entries = locked(&self.ledger).entries(held, shown);
        entries.extend(locked(&self.bare).entries(|_| Held::Nothing, shown));
        entries
    }

    /// Says of an object that is listed what the list lacks.
    pub(crate) fn note_bare(&self, line: &ObjectLine) {
        let unreadable = &line.headers.unreadable;
        if !unreadable.is_empty() {
            let why = format!(
                "it is in the archive without these headers, which are no ASCII: {}",
                unreadable.join(", ")
            );
            locked(&self.bare).note(&line.key, why, Weight::Degrades);
        }
    }

    pub(crate) fn forget_all(&self) {
        self.ahead.forget();
        *self.memory() = Memory::new(self.scratch.clone(), self.keeps_versions);
    }
}
