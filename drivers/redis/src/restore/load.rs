//! Reads keys of an archive into the places for new ones.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::PoisonError;

use dumprestore_driver::{ArchivedPart, Error, PartReader, Result};

use super::archived::{Archived, read_on};
use super::followers::Pace;
use super::lifetime::{Fate, Lifetime};
use super::line::{Count, Line, not_understood};
use super::mark::{Fields, MARK};
use super::room::Guard;
use super::send::send;
use super::{Loaded, Made, Restore, permitted};
use crate::connect::Reply;
use crate::rdb::{Entry, Item, Kind, Reader, Version, payload, weight};

/// As many keys, and bytes, as one transaction has.
const MOST_KEYS: usize = 500;
const MOST_BYTES: u64 = 512 << 10;
/// As many transactions are under way before the answers of the first one are read.
const UNDER_WAY: usize = 3;
/// A value is read into memory of this size again and again; what one took beyond it is given back.
const USUAL_VALUE: usize = 1 << 20;

impl Restore {
    pub(super) fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let mut loader = Loader::begin(self)?;
        let mut reader = Reader::begin(from)?;
        loader.version = Some(reader.version());
        while let Some(item) = reader.next()? {
            match item {
                Item::Key(entry) => loader.key(&entry, &mut reader)?,
                Item::Function(library) => loader.loaded.functions.push(library),
                _ => {}
            }
        }
        read_on(reader)?;
        loader.end_transaction()?;
        loader.settle(0)?;
        if part.rows.is_some_and(|rows| rows != loader.read) {
            return Err(Error::archive("the archive holds another number of keys than were dumped")
                .with_context("part", &part.name)
                .with_context("keys", loader.read));
        }
        self.take(loader.loaded);
        Ok(())
    }

    /// Refuses a key of a database that the archive does not name: nothing says what is to become of it.
    pub(super) fn expect_named(&self, databases: &[u64], entry: &Entry) -> Result<()> {
        match databases.contains(&entry.database) {
            true => Ok(()),
            false => Err(Error::archive("the archive holds keys of a database that it does not name")
                .with_context("database", entry.database)),
        }
    }

    pub(super) fn take(&self, loaded: Loaded) {
        let mut all = self.shared.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        for (live, made) in loaded.counts {
            let sum = all.counts.entry(live).or_default();
            sum.count.lasting += made.count.lasting;
            sum.count.expiring += made.count.expiring;
            sum.fading += made.fading;
        }
        all.expired += loaded.expired;
        all.left_out += loaded.left_out;
        // Each primary of a cluster has dumped its own, which are mostly the same.
        for library in loaded.functions {
            if !all.functions.contains(&library) {
                all.functions.push(library);
            }
        }
    }
}

/// Loads one part.
struct Loader<'a> {
    restore: &'a Restore,
    line: Line,
    guard: Guard,
    lifetime: Lifetime,
    most_per_value: u64,
    /// Those that the archive says it has keys of.
    databases: Vec<u64>,
    pace: Pace,
    version: Option<Version>,
    payload: Vec<u8>,
    scratch: Vec<u8>,
    /// The transaction that is being sent.
    open: Option<Transaction>,
    under_way: VecDeque<Transaction>,
    loaded: Loaded,
    /// Keys that were read.
    read: u64,
}

/// Keys that are made at once, with their number.
struct Transaction {
    live: u64,
    spare: u64,
    /// Of each key, whether it does.
    expiring: Vec<bool>,
    bytes: u64,
    made: Made,
}

impl<'a> Loader<'a> {
    fn begin(restore: &'a Restore) -> Result<Self> {
        let node = restore.archived.as_ref();
        let node = node.ok_or_else(|| Error::defect("something is loaded into a restore of no archive"))?;
        let Archived { cut, databases, .. } = Archived::of(&**node)?;
        let mut line = restore.line()?;
        restore.note_evicted(&mut line)?;
        Ok(Self {
            restore,
            guard: Guard::new(restore.line()?)?,
            lifetime: Lifetime::begin(&mut line, restore.setup.expiry, cut)?,
            most_per_value: permitted::most_per_value(&mut line)?,
            line,
            databases,
            pace: Pace::default(),
            version: None,
            payload: Vec::new(),
            scratch: Vec::new(),
            open: None,
            under_way: VecDeque::new(),
            loaded: Loaded::default(),
            read: 0,
        })
    }

    fn key<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        self.read += 1;
        self.restore.expect_named(&self.databases, entry)?;
        let pairs = &self.restore.entry.pairs;
        let Some(pair) = pairs.iter().find(|pair| pair.archived == Some(entry.database)) else {
            return Ok(());
        };
        // What the patterns leave out is left as it is.
        if !self.restore.setup.has_key(&entry.key) {
            self.loaded.left_out += 1;
            return Ok(());
        }
        let (live, place) = (pair.live, self.restore.place(pair)?);
        let fate = self.lifetime.of(entry);
        if fate == Fate::Expired {
            self.loaded.expired += 1;
            return Ok(());
        }
        let version = self.version.ok_or_else(not_understood)?;
        payload_of(reader, entry, version, self.most_per_value, &mut self.payload)?;
        let bytes = (self.payload.len() + entry.key.len()) as u64;
        self.make_room(entry, bytes)?;
        let full = |open: &Transaction| {
            open.live != live
                || open.expiring.len() >= MOST_KEYS
                || open.bytes + bytes > self.guard.most(MOST_BYTES)
        };
        if self.open.as_ref().is_some_and(full) {
            self.end_transaction()?;
        }
        if self.open.is_none() {
            self.restore.cancel.check()?;
            self.line.wire.command(&[b"MULTI"])?;
            self.line.wire.command(&[b"SELECT", place.index.to_string().as_bytes()])?;
            self.open = Some(Transaction {
                live,
                spare: place.index,
                expiring: Vec::new(),
                bytes: 0,
                made: Made::default(),
            });
        }
        send(&mut self.line, &mut self.scratch, &place.before, entry, fate, &self.payload)?;
        if let Some(open) = &mut self.open {
            open.count(entry.kind, fate, bytes);
        }
        if self.payload.capacity() > USUAL_VALUE {
            self.payload = Vec::new();
        }
        if self.pace.spend(bytes) {
            self.end_transaction()?;
            self.settle(0)?;
            self.pace.keep(&mut self.line)?;
        }
        Ok(())
    }

    /// Before a key is made of so many bytes: that nothing has to go for it.
    fn make_room(&mut self, entry: &Entry, bytes: u64) -> Result<()> {
        if !self.guard.has_limit() {
            return Ok(());
        }
        let value = self.payload.get(1..).unwrap_or_default();
        let value = value.get(..value.len().saturating_sub(payload::FOOTER)).unwrap_or_default();
        // What was sent is in memory beside what is made of it.
        let weight = weight::weight(entry.kind, value)?
            .saturating_add(weight::of_key(&entry.key))
            .saturating_add(bytes.saturating_mul(2));
        if !self.guard.fits(weight) {
            self.end_transaction()?;
            self.settle(0)?;
            self.restore.refuse_evicted(&mut self.line)?;
            self.guard.ask(weight)?;
        }
        self.guard.spend(weight);
        Ok(())
    }

    /// Sends what ends a transaction. So many may be under way then.
    fn end_transaction(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let fields = Fields::of(&self.restore.entry.run, open.live);
        let wire = &mut self.line.wire;
        for (field, number) in
            [(fields.lasting(), open.made.count.lasting), (fields.expiring(), open.made.count.expiring)]
        {
            wire.command(&[b"HINCRBY", MARK.as_bytes(), field.as_bytes(), number.to_string().as_bytes()])?;
        }
        wire.command(&[b"EXEC"])?;
        std::io::Write::flush(wire).map_err(|error| wire.lost(error))?;
        self.under_way.push_back(open);
        self.settle(UNDER_WAY)
    }

    /// Reads answers, until no more than so many transactions are under way.
    fn settle(&mut self, most: usize) -> Result<()> {
        while self.under_way.len() > most {
            let Some(sent) = self.under_way.pop_front() else { break };
            self.answers(&sent)?;
            let made = self.loaded.counts.entry(sent.live).or_default();
            made.count.lasting += sent.made.count.lasting;
            made.count.expiring += sent.made.count.expiring;
            made.fading += sent.made.fading;
        }
        Ok(())
    }

    /// Reads the answers of a transaction, all of them, and fails with the first refusal.
    fn answers(&mut self, sent: &Transaction) -> Result<()> {
        let line = &mut self.line;
        let mut refused = None;
        // `MULTI`, `SELECT`, the keys, and their numbers.
        for _ in 0..sent.expiring.len() + 4 {
            if !line.takes(b"+QUEUED\r\n")?
                && let Reply::Error(text) = line.wire.reply()?
            {
                refused.get_or_insert(text);
            }
        }
        let executed = line.wire.line()?;
        if let Some(text) = refused {
            return Err(line.wire.refused(&text, "RESTORE"));
        }
        if let Some(text) = executed.strip_prefix(b"-") {
            return Err(line.wire.refused(&String::from_utf8_lossy(text), "EXEC"));
        }
        if executed != format!("*{}", sent.expiring.len() + 3).as_bytes() {
            return Err(not_understood());
        }
        let mut refusals = Vec::new();
        for at in 0..sent.expiring.len() + 3 {
            if !line.takes(b"+OK\r\n")?
                && let Reply::Error(text) = line.wire.reply()?
            {
                refusals.push((at, text));
            }
        }
        if refusals.is_empty() { Ok(()) } else { Err(self.refused(sent, &refusals)?) }
    }

    /// What the refusal of some keys means. They are counted as ours no more.
    fn refused(&self, sent: &Transaction, refusals: &[(usize, String)]) -> Result<Error> {
        let (mut lasting, mut expiring) = (0i64, 0i64);
        for (at, _) in refusals {
            // The first answer is that of `SELECT`.
            match at.checked_sub(1).and_then(|at| sent.expiring.get(at)) {
                Some(true) => expiring -= 1,
                Some(false) => lasting -= 1,
                None => {}
            }
        }
        // These keys are not ours, if they are there at all.
        let fields = Fields::of(&self.restore.entry.run, sent.live);
        let correct = |field: String, by: i64| {
            let mut cmd = redis::cmd("HINCRBY");
            cmd.arg(MARK).arg(field).arg(by);
            cmd
        };
        let mut line = self.restore.steadfast_line()?;
        line.select(sent.spare)?;
        line.ask_all(&[correct(fields.lasting(), lasting), correct(fields.expiring(), expiring)])?;
        let text = refusals.first().map(|(_, text)| text.as_str()).unwrap_or_default();
        Ok(match text.starts_with("BUSYKEY") {
            true => Error::environment("somebody else writes into the database in which new keys are made")
                .with_context("database", sent.spare)
                .with_hint("find out who uses it, and restore again once it is empty"),
            false => self.line.wire.refused(text, "RESTORE"),
        })
    }
}

/// Reads a value as `RESTORE` takes it.
pub(super) fn payload_of<R: Read>(
    reader: &mut Reader<R>,
    entry: &Entry,
    version: Version,
    most: u64,
    into: &mut Vec<u8>,
) -> Result<()> {
    into.clear();
    into.push(entry.kind.byte());
    let read = reader.read_value(into, most);
    read.map_err(|error| error.with_context("key", entry.key.escape_ascii()))?;
    let footer = payload::footer(version, entry.kind, into.get(1..).unwrap_or_default());
    into.extend_from_slice(&footer);
    Ok(())
}

impl Transaction {
    fn count(&mut self, kind: Kind, fate: Fate, bytes: u64) {
        self.expiring.push(matches!(fate, Fate::Expires(_)));
        self.bytes += bytes;
        let Count { lasting, expiring } = &mut self.made.count;
        match fate {
            Fate::Expires(_) => *expiring += 1,
            _ => *lasting += 1,
        }
        if fate == Fate::Lasts && has_fading_fields(kind) {
            self.made.fading += 1;
        }
    }
}

/// Whether fields of such a value expire by themselves: with its last field goes the key.
pub(super) fn has_fading_fields(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::HashExpiring
            | Kind::HashListpackExpiring
            | Kind::HashExpiringDraft
            | Kind::HashListpackExpiringDraft
            | Kind::HashExpiringValkey
    )
}
