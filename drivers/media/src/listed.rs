//! What goes into the archive, once the references are certified: the parts, and the list that tells of them.
//!
//! Both are made by going through what is known, in the order of the keys. What has no capture by then (of a versioned
//! bucket, what was overwritten or deleted since the pass, as of the cut) is read in between, and the list comes last.

use std::io::Write;

use dumprestore_driver::{Dumped, Error, Part, PartName, PartWriter, Result, Weight};
use tokio::sync::mpsc;

use crate::asof::AsOf;
use crate::config::Mode;
use crate::key::{can_be_asked_for, part_name};
use crate::line::{LISTING, ObjectLine};
use crate::memory::{Capture, Look, Record};
use crate::shared::{Shared, locked};
use crate::state::State;

/// The list is handed over in pieces of about that size.
const PIECE: usize = 128 << 10;

impl Shared {
    /// Finds out what is to be listed.
    pub(crate) async fn prepare_list(&self) -> Result<()> {
        self.look_for_restores().await?;
        if self.site.mode == Mode::Versions {
            return Ok(());
        }
        if !self.keeps_versions {
            return self.judge_unread().await;
        }
        let (cut, window) = self.cut().await?;
        if !self.memory().has_looked_at_all() {
            self.look_at_all(cut, window).await?;
        }
        // What was there at the cut and was not read yet is read now. The rest was not there.
        for key in locked(&self.ledger).not_read() {
            locked(&self.ledger).judge(&key, true);
        }
        Ok(())
    }

    /// Names all parts, the list last.
    pub(crate) async fn list(&self, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
        if self.site.mode == Mode::Copy {
            self.list_objects(parts).await?;
        }
        let list = Part::new(PartName::new(LISTING)?);
        parts.send(Ok(list)).await.map_err(|_| Error::cancelled())
    }

    async fn list_objects(&self, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
        let mut after = None;
        loop {
            self.cancel.check()?;
            let some = self.memory().some_after(after.as_deref())?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, record) in &some {
                if let Some(part) = self.part_of(key, record)? {
                    parts.send(Ok(part)).await.map_err(|_| Error::cancelled())?;
                }
            }
        }
    }

    fn part_of(&self, key: &str, record: &Record) -> Result<Option<Part>> {
        let mut memory = self.memory();
        if !memory.is_wanted(record) {
            return Ok(None);
        }
        if let Some(capture) = memory.pick(record) {
            let part = Part::new(part_name(key)?).with_size(capture.state.size).with_captured(capture.id);
            return Ok(Some(part));
        }
        let Some(Look::AsOf(AsOf { data, .. })) = memory.look(Some(record)) else {
            // It could not be read: the ledger says why.
            return Ok(None);
        };
        let Some(version) = data.first().filter(|_| can_be_asked_for(key)) else { return Ok(None) };
        memory.expect(key, version.clone())?;
        drop(memory);
        self.ahead.fetch(key, version);
        Ok(Some(Part::new(part_name(key)?).with_size(version.size)))
    }

    pub(crate) async fn dump_listing(&self, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let mut list = List { out, piece: Vec::with_capacity(PIECE + 4096), rows: 0 };
        match self.site.mode {
            Mode::Copy => self.write_copies(&mut list).await?,
            Mode::Versions => {
                let (cut, window) = self.cut().await?;
                self.each_as_of(cut, window, |key, found| self.write_version(&mut list, key, found)).await?;
            }
        }
        list.hand_over()?;
        Ok(Dumped::Whole { rows: Some(list.rows) })
    }

    async fn write_copies(&self, list: &mut List<'_, '_>) -> Result<()> {
        let mut after = None;
        loop {
            self.cancel.check()?;
            let some = self.memory().some_after(after.as_deref())?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, record) in &some {
                if let Some(line) = self.line_of(key, record).await? {
                    self.note_bare(&line);
                    list.write(&line)?;
                }
            }
        }
    }

    async fn line_of(&self, key: &str, record: &Record) -> Result<Option<ObjectLine>> {
        let is_wanted = self.memory().is_wanted(record);
        if !is_wanted {
            return Ok(None);
        }
        if let Some(capture) = self.memory().pick(record) {
            return line_of(key, capture).map(Some);
        }
        // It is read late, perhaps by another lane, right now.
        self.in_flight.landed(key).await;
        let now = self.memory().record(key)?.unwrap_or_default();
        if let Some(capture) = self.memory().pick(&now) {
            return line_of(key, capture).map(Some);
        }
        match now.expected.filter(|expected| self.keeps_versions && expected.fixed().is_some()) {
            Some(expected) => self.line_ahead(key, &expected).await,
            // It could not be read: the ledger says why.
            None => Ok(None),
        }
    }

    /// Of an object that a lane has yet to read. That lane may be waiting until we have done, so it can't be waited for; but
    /// a version is always the same, so what is read here is what will be read there.
    async fn line_ahead(&self, key: &str, version: &State) -> Result<Option<ObjectLine>> {
        match self.reader.describe(key, version).await? {
            Some((read, digest)) => {
                self.in_flight.tell(key);
                let state = State { version: version.version.clone(), ..read.state };
                let part = Some(part_name(key)?);
                Ok(Some(ObjectLine { part, sha256: Some(digest), headers: read.headers, ..line(key, state) }))
            }
            None => Ok(None),
        }
    }

    fn write_version(&self, list: &mut List<'_, '_>, key: &str, found: AsOf) -> Result<()> {
        let memory = self.memory();
        // What a reference was resolved to before others.
        let found = match memory.record(key)?.and_then(|record| memory.look(Some(&record))) {
            Some(Look::AsOf(looked)) => looked,
            _ => found,
        };
        drop(memory);
        let Some(state) = found.data.into_iter().next() else { return Ok(()) };
        if state.version.is_none() {
            self.note(key, "the store does not say which version it is", Weight::Degrades);
            return Ok(());
        }
        list.write(&line(key, state))
    }
}

struct List<'a, 'b> {
    out: &'a mut PartWriter<'b>,
    piece: Vec<u8>,
    rows: u64,
}

impl List<'_, '_> {
    fn write(&mut self, line: &ObjectLine) -> Result<()> {
        self.piece.extend_from_slice(&line.to_line()?);
        self.rows += 1;
        if self.piece.len() >= PIECE { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<()> {
        let written = self.out.write_all(&self.piece);
        self.piece.clear();
        written.map_err(|error| Error::io("can't dump the list of the objects", error))
    }
}

fn line(key: &str, state: State) -> ObjectLine {
    ObjectLine {
        key: key.to_owned(),
        part: None,
        size: state.size,
        modified: state.time(),
        etag: state.etag,
        version: state.version,
        sha256: None,
        headers: Default::default(),
    }
}

fn line_of(key: &str, capture: &Capture) -> Result<ObjectLine> {
    Ok(ObjectLine {
        part: Some(part_name(key)?),
        sha256: Some(capture.digest),
        headers: capture.headers.clone(),
        ..line(key, capture.state.clone())
    })
}
