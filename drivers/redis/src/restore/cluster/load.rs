//! Reads keys of an archive into the primaries that have their slots.

use std::collections::VecDeque;
use std::io::Write as _;

use dumprestore_driver::{ArchivedPart, Error, PartReader, Result};

use super::super::archived::{Archived, read_on};
use super::super::followers::Pace;
use super::super::lifetime::{Fate, Lifetime};
use super::super::line::{Line, not_understood};
use super::super::lines::Lines;
use super::super::load::{has_fading_fields, payload_of};
use super::super::place::Names;
use super::super::room::Guard;
use super::super::send::send;
use super::super::{Loaded, Restore, permitted};
use super::{ONLY, wait_for_replicas};
use crate::connect::{Reply, slot, tag};
use crate::rdb::{Entry, Item, Reader, payload, weight};

/// As many keys, and bytes, are on their way to one primary before its answers are read.
const MOST_KEYS: usize = 1000;
const MOST_BYTES: u64 = 1 << 20;
/// A value is read into memory of this size again and again; what one took beyond it is given back.
const USUAL_VALUE: usize = 1 << 20;
/// So often it is looked whether the run goes on.
const KEYS: u64 = 500;

impl Restore {
    pub(in super::super) fn load_cluster(
        &self,
        part: &ArchivedPart,
        from: &mut PartReader<'_>,
    ) -> Result<()> {
        let mut reader = Reader::begin(from)?;
        let version = reader.version();
        let mut loader = Loader::begin(self)?;
        let (mut payload, mut read) = (Vec::new(), 0);
        while let Some(item) = reader.next()? {
            match item {
                Item::Key(entry) => {
                    loader.restore.expect_named(&loader.databases, &entry)?;
                    read += 1;
                    if read % KEYS == 0 {
                        self.cancel.check()?;
                    }
                    let Some(fate) = loader.fate(&entry) else { continue };
                    payload_of(&mut reader, &entry, version, loader.most_per_value, &mut payload)?;
                    loader.key(&entry, fate, &payload)?;
                    if payload.capacity() > USUAL_VALUE {
                        payload = Vec::new();
                    }
                }
                Item::Function(library) => loader.loaded.functions.push(library),
                _ => {}
            }
        }
        read_on(reader)?;
        loader.settle_all()?;
        if part.rows.is_some_and(|rows| rows != read) {
            return Err(Error::archive("the archive holds another number of keys than were dumped")
                .with_context("part", &part.name)
                .with_context("keys", read));
        }
        self.take(loader.loaded);
        Ok(())
    }
}

/// Loads one part.
struct Loader<'a> {
    restore: &'a Restore,
    lines: Lines,
    /// What is on its way, and the room that is left, by connection.
    ways: Vec<Way>,
    lifetime: Lifetime,
    most_per_value: u64,
    /// Those that the archive says it has keys of.
    databases: Vec<u64>,
    before: String,
    scratch: Vec<u8>,
    loaded: Loaded,
}

/// To one primary.
struct Way {
    guard: Guard,
    /// Bytes of each key that was not answered yet.
    sent: VecDeque<u64>,
    bytes: u64,
    pace: Pace,
}

impl<'a> Loader<'a> {
    fn begin(restore: &'a Restore) -> Result<Self> {
        let node = restore.archived.as_ref();
        let node = node.ok_or_else(|| Error::defect("something is loaded into a restore of no archive"))?;
        let mut lines = restore.lines()?;
        restore.expect_same(&mut lines)?;
        restore.note_evicted_by_all(&mut lines)?;
        let mut most_per_value = u64::MAX;
        for line in lines.all() {
            line.select(ONLY)?;
            most_per_value = most_per_value.min(permitted::most_per_value(line)?);
        }
        let mut guards = restore.lines()?.into_lines().into_iter();
        let way = |line| {
            Ok(Way { guard: Guard::new(line)?, sent: VecDeque::new(), bytes: 0, pace: Pace::default() })
        };
        let ways = guards.by_ref().map(way).collect::<Result<_>>()?;
        let Archived { cut, databases, .. } = Archived::of(&**node)?;
        let lifetime = Lifetime::begin(lines.first()?, restore.setup.expiry, cut)?;
        let before = Names::of(&restore.entry.run).new;
        Ok(Self {
            restore,
            lines,
            ways,
            lifetime,
            most_per_value,
            databases,
            before,
            scratch: Vec::new(),
            loaded: Loaded::default(),
        })
    }

    /// What becomes of a key. `None`: it is not made.
    fn fate(&mut self, entry: &Entry) -> Option<Fate> {
        let pairs = &self.restore.entry.pairs;
        pairs.iter().find(|pair| pair.archived == Some(entry.database))?;
        if !self.restore.setup.has_key(&entry.key) {
            self.loaded.left_out += 1;
            return None;
        }
        match self.lifetime.of(entry) {
            Fate::Expired => {
                self.loaded.expired += 1;
                None
            }
            fate => Some(fate),
        }
    }

    fn key(&mut self, entry: &Entry, fate: Fate, payload: &[u8]) -> Result<()> {
        let bytes = (payload.len() + entry.key.len()) as u64;
        let at = self.lines.index_of(&entry.key);
        let line = self.lines.at(at)?;
        let way = self.ways.get_mut(at).ok_or_else(not_understood)?;
        way.make_room(line, entry, payload)?;
        if way.sent.len() >= MOST_KEYS || way.bytes + bytes > MOST_BYTES {
            // The other half stays on its way.
            way.settle(line, way.sent.len() / 2)?;
        }
        let before = format!("{}{{{}}}", self.before, tag(slot(&entry.key)));
        send(line, &mut self.scratch, &before, entry, fate, payload)?;
        way.sent.push_back(bytes);
        way.bytes += bytes;
        if way.pace.spend(bytes) {
            way.settle(line, 0)?;
            way.pace.keep(line)?;
        }
        let made = self.loaded.counts.entry(ONLY).or_default();
        match fate {
            Fate::Expires(_) => made.count.expiring += 1,
            _ => made.count.lasting += 1,
        }
        if fate == Fate::Lasts && has_fading_fields(entry.kind) {
            made.fading += 1;
        }
        Ok(())
    }

    fn settle_all(&mut self) -> Result<()> {
        for (line, way) in self.lines.all().zip(&mut self.ways) {
            way.settle(line, 0)?;
        }
        wait_for_replicas(&mut self.lines)
    }
}

impl Way {
    /// Before a key is made: that nothing has to go for it.
    fn make_room(&mut self, line: &mut Line, entry: &Entry, made: &[u8]) -> Result<()> {
        if !self.guard.has_limit() {
            return Ok(());
        }
        let value = made.get(1..).unwrap_or_default();
        let value = value.get(..value.len().saturating_sub(payload::FOOTER)).unwrap_or_default();
        // What was sent is in memory beside what is made of it.
        let sent = (made.len() + entry.key.len()) as u64;
        let weight = weight::weight(entry.kind, value)?
            .saturating_add(weight::of_key(&entry.key))
            .saturating_add(sent.saturating_mul(2));
        if !self.guard.fits(weight) {
            self.settle(line, 0)?;
            self.guard.ask(weight)?;
        }
        self.guard.spend(weight);
        Ok(())
    }

    /// Reads answers, until no more than so many keys are on their way.
    fn settle(&mut self, line: &mut Line, most: usize) -> Result<()> {
        line.wire.flush().map_err(|error| line.wire.lost(error))?;
        while self.sent.len() > most {
            if !line.takes(b"+OK\r\n")?
                && let Reply::Error(text) = line.wire.reply()?
            {
                return Err(line.wire.refused(&text, "RESTORE"));
            }
            self.bytes = self.bytes.saturating_sub(self.sent.pop_front().unwrap_or_default());
        }
        Ok(())
    }
}
