//! What a dump knows of each object: what the last pass saw, what was captured of it, and which capture was chosen.

use std::collections::HashMap;
use std::path::PathBuf;

use dumprestore_driver::{CaptureId, Digest, Result};
use dumprestore_scratch::{Scratch, Table};
use serde::{Deserialize, Serialize};

use crate::asof::AsOf;
use crate::line::Headers;
use crate::state::State;

/// One reading of one object that is in the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Capture {
    pub(crate) id: CaptureId,
    pub(crate) digest: Digest,
    /// The state that was read. Its size is that of what was read.
    pub(crate) state: State,
    #[serde(with = "AsJson")]
    pub(crate) headers: Headers,
}

/// What is left out where it is empty can be read back from names only.
struct AsJson;

impl AsJson {
    fn serialize<S: serde::Serializer>(headers: &Headers, to: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(headers).map_err(serde::ser::Error::custom)?.serialize(to)
    }

    fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Headers, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// What is known of the object of one key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The pass that saw it last; 0 if none did.
    pub(crate) pass: u32,
    /// As that pass saw it.
    pub(crate) seen: Option<State>,
    /// A pass that saw it deleted, and the version that says so.
    pub(crate) deletion: Option<(u32, String)>,
    /// What is to be read of it next.
    pub(crate) expected: Option<State>,
    /// The newest last.
    pub(crate) captures: Vec<Capture>,
    /// What references were resolved to, and at which cut.
    chosen: Option<(u32, u64)>,
    /// What a listing after the pin told, and at which cut.
    looked: Option<(u32, Look)>,
}

/// What is there after the pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Look {
    /// This is there now; and whether it surely was so at the cut.
    Now { state: State, as_of_the_cut: bool },
    /// Versions are kept: one of these was there at the cut.
    AsOf(AsOf),
    /// Nothing.
    Gone,
    /// It can't be told, for that reason.
    Refused(String),
}

/// So many objects that are torn are told apart. Of any further one it is not waited that it comes to rest.
const MOST_TORN: usize = 20_000;

/// All of it. What may be as many as there are objects lies in a table; nothing else may grow with them.
pub(crate) struct Memory {
    /// Counts from 1.
    pub(crate) pass: u32,
    /// Counts the cuts that something was chosen for.
    cut: u32,
    /// The cut after which everything was looked at.
    looked_at_all: u32,
    /// Whether the bucket keeps versions: all of it is dumped as of the cut then.
    keeps_versions: bool,
    /// How many objects the last pass saw.
    pub(crate) count: u64,
    scratch: Scratch,
    records: Table<Record>,
    /// Readings that were torn in this pass, by key.
    torn: HashMap<String, u32>,
}

impl Memory {
    /// Nothing yet; what becomes too much for memory goes to `scratch`.
    pub(crate) fn new(scratch: PathBuf, keeps_versions: bool) -> Self {
        Self {
            pass: 0,
            keeps_versions,
            cut: 1,
            looked_at_all: 0,
            count: 0,
            scratch: Scratch::new(scratch),
            records: Table::new("objects"),
            torn: HashMap::new(),
        }
    }

    pub(crate) fn begin_pass(&mut self) {
        self.pass += 1;
        self.count = 0;
        self.torn.clear();
        self.forget_cut();
    }

    /// What was chosen and looked at holds for one cut.
    pub(crate) fn forget_cut(&mut self) {
        self.cut += 1;
    }

    /// # Errors
    /// As everything here: if the scratch file can't be used.
    pub(crate) fn record(&self, key: &str) -> Result<Option<Record>> {
        self.records.get(&self.scratch, key.as_bytes())
    }

    fn entry(&mut self, key: &str) -> Result<&mut Record> {
        self.records.entry(&mut self.scratch, key.as_bytes(), Record::default)
    }

    /// Notes an object that a pass came by, and answers whether it has to be read.
    pub(crate) fn see(&mut self, key: &str, state: State) -> Result<bool> {
        let pass = self.pass;
        self.count += 1;
        let record = self.entry(key)?;
        record.pass = pass;
        record.expected = Some(state.clone());
        let is_known = record.captures.iter().any(|capture| capture.state.is(&state));
        record.seen = Some(state);
        Ok(!is_known)
    }

    /// Notes that a pass saw an object deleted.
    pub(crate) fn see_deleted(&mut self, key: &str, version: String) -> Result<()> {
        let pass = self.pass;
        self.entry(key)?.deletion = Some((pass, version));
        Ok(())
    }

    /// Says what is to be read of an object next.
    pub(crate) fn expect(&mut self, key: &str, state: State) -> Result<()> {
        self.entry(key)?.expected = Some(state);
        Ok(())
    }

    /// Says that an object that was to be read is not in the archive.
    pub(crate) fn expect_nothing(&mut self, key: &str) -> Result<()> {
        self.entry(key)?.expected = None;
        Ok(())
    }

    /// Keeps a capture. One of the same state is replaced, and so is one of the same content, unless it is in use.
    pub(crate) fn keep(&mut self, key: &str, capture: Capture) -> Result<()> {
        self.torn.remove(key);
        let cut = self.cut;
        let record = self.entry(key)?;
        let in_use = record.chosen.filter(|chosen| chosen.0 == cut).map(|chosen| chosen.1);
        record.captures.retain(|old| old.digest != capture.digest || Some(old.id.0) == in_use);
        record.captures.reserve_exact(1);
        record.captures.push(capture);
        Ok(())
    }

    /// Counts a torn reading, and answers how many there were in this pass.
    pub(crate) fn count_torn(&mut self, key: &str) -> u32 {
        if self.torn.len() >= MOST_TORN && !self.torn.contains_key(key) {
            return u32::MAX;
        }
        let count = self.torn.entry(key.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Makes a capture the content of its object, unless another one is already. Answers whether it is.
    pub(crate) fn choose(&mut self, key: &str, id: CaptureId) -> Result<bool> {
        let cut = self.cut;
        let record = self.entry(key)?;
        if let Some((_, chosen)) = record.chosen.filter(|chosen| chosen.0 == cut) {
            return Ok(chosen == id.0);
        }
        record.chosen = Some((cut, id.0));
        Ok(true)
    }

    /// The capture that references were resolved to at this cut.
    pub(crate) fn chosen(&self, record: &Record) -> Option<CaptureId> {
        record.chosen.filter(|chosen| chosen.0 == self.cut).map(|chosen| CaptureId(chosen.1))
    }

    pub(crate) fn note_look(&mut self, key: &str, look: Look) -> Result<()> {
        let cut = self.cut;
        self.entry(key)?.looked = Some((cut, look));
        Ok(())
    }

    pub(crate) fn note_looked_at_all(&mut self) {
        self.looked_at_all = self.cut;
    }

    /// Whether everything was looked at since the pin: what was not seen then is not there.
    pub(crate) fn has_looked_at_all(&self) -> bool {
        self.looked_at_all == self.cut
    }

    /// What is there since the pin, if it was looked at.
    pub(crate) fn look(&self, record: Option<&Record>) -> Option<Look> {
        match record.and_then(|record| self.looked(record)) {
            Some(look) => Some(look.clone()),
            None => self.has_looked_at_all().then_some(Look::Gone),
        }
    }

    fn looked<'a>(&self, record: &'a Record) -> Option<&'a Look> {
        record.looked.as_ref().filter(|looked| looked.0 == self.cut).map(|looked| &looked.1)
    }

    /// Whether the object is of this dump: there in the last pass (or, where versions are kept, at the cut), or referred
    /// to.
    pub(crate) fn is_wanted(&self, record: &Record) -> bool {
        if self.chosen(record).is_some() {
            return true;
        }
        match self.keeps_versions {
            true => matches!(self.looked(record), Some(Look::AsOf(found)) if !found.data.is_empty()),
            false => record.pass == self.pass,
        }
    }

    /// The capture that becomes the content of the object: that which references were resolved to, else that of the version
    /// at the cut, else the newest. `None` if it has still to be read.
    pub(crate) fn pick<'a>(&self, record: &'a Record) -> Option<&'a Capture> {
        if let Some(chosen) = self.chosen(record) {
            return record.captures.iter().find(|capture| capture.id == chosen);
        }
        match self.looked(record) {
            Some(Look::AsOf(found)) => {
                let version = found.data.first()?;
                record.captures.iter().rfind(|capture| capture.state.is(version))
            }
            _ => record.captures.last(),
        }
    }

    /// Some objects after that key, in the order of their keys.
    pub(crate) fn some_after(&mut self, after: Option<&str>) -> Result<Vec<(String, Record)>> {
        const AT_ONCE: usize = 500;
        let found = self.records.some_after(&mut self.scratch, after.map(str::as_bytes), AT_ONCE)?;
        let key = |key: Box<[u8]>| String::from_utf8_lossy(&key).into_owned();
        Ok(found.into_iter().map(|(bytes, record)| (key(bytes), record)).collect())
    }
}
