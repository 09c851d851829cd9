//! Reads a file from front to back.

use std::io::{Read, Write};

use dumprestore_driver::{Error, Result};

use super::elements::{Element, walk_elements};
use super::input::Input;
use super::source::Source;
use super::version::{MAGIC, Version};
use super::walk::walk;
use super::{Entry, Item, Kind, module, weight};

/// A file that is being read. Takes 256 KiB, whatever is in the file, and what the item at hand holds.
pub(crate) struct Reader<R: Read> {
    input: Input<R>,
    version: Version,
    state: State,
    /// What was said of the key to come.
    coming: Coming,
    database: u64,
}

enum State {
    /// An opcode comes next.
    Between,
    /// The value of the key that was given comes next.
    Value(Kind),
    /// The same, of a module's type: nobody but a module understands it.
    Module(Vec<u8>),
    /// All was read, and the checksum is right.
    End,
}

#[derive(Default)]
struct Coming {
    expires: Option<u64>,
    idle: Option<u64>,
    freq: Option<u8>,
}

const SLOT_IMPORT_OR_KEY_META: u8 = 0xf3;
const SLOT_INFO: u8 = 0xf4;
const FUNCTION: u8 = 0xf5;
const FUNCTION_DRAFT: u8 = 0xf6;
const MODULE_AUX: u8 = 0xf7;
const IDLE: u8 = 0xf8;
const FREQ: u8 = 0xf9;
const AUX: u8 = 0xfa;
const RESIZE: u8 = 0xfb;
const EXPIRES_MS: u8 = 0xfc;
const EXPIRES: u8 = 0xfd;
const SELECT: u8 = 0xfe;
const END: u8 = 0xff;
/// A type byte: the value is of a module of a release candidate of Redis 4.0, and there is no telling where it ends.
const MODULE_DRAFT: u8 = 6;

impl<R: Read> Reader<R> {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    ///
    /// If it is no RDB file, or of a version that is not known here.
    pub(crate) fn begin(from: R) -> Result<Self> {
        let mut input = Input::new(from);
        let magic: [u8; MAGIC] = input.passing().take("an RDB file")?;
        let version = Version::of_magic(&magic)?;
        Ok(Self { input, version, state: State::Between, coming: Coming::default(), database: 0 })
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The next item. None once the file is at its end and its checksum is right (or 0: its server wrote none). A value that was not
    /// read is gone past.
    ///
    /// # Errors
    ///
    /// If the file is cut off or damaged, or holds what can't be dumped: what modules keep beside the values, a cluster's slot that
    /// is on the move.
    pub(crate) fn next(&mut self) -> Result<Option<Item>> {
        let kind = match &self.state {
            State::End => return Ok(None),
            State::Between => None,
            State::Value(kind) => Some(*kind),
            State::Module(_) => Some(Kind::Module),
        };
        if let Some(kind) = kind {
            walk(kind, &mut self.input.passing())?;
            self.state = State::Between;
        }
        loop {
            let mut input = self.input.passing();
            let offset = input.offset();
            match input.byte("an item")? {
                EXPIRES_MS => {
                    let time = i64::from_le_bytes(input.take("a time of expiry")?);
                    self.coming.expires =
                        time_of_expiry(time).ok_or_else(|| input.damaged(offset, "a time of expiry"))?;
                }
                EXPIRES => {
                    let time = i64::from(i32::from_le_bytes(input.take("a time of expiry")?));
                    let time = if time == -1 { time } else { time * 1000 };
                    self.coming.expires =
                        time_of_expiry(time).ok_or_else(|| input.damaged(offset, "a time of expiry"))?;
                }
                IDLE => self.coming.idle = Some(input.length("an idle time")?),
                FREQ => self.coming.freq = Some(input.byte("a frequency")?),
                END => return self.end().map(|()| None),
                opcode => return self.item(offset, opcode).map(Some),
            }
        }
    }

    /// Copies the value of the key that was given last, verbatim. Gives its length. A second time there is nothing to copy.
    ///
    /// # Errors
    ///
    /// If the file is cut off or damaged, the value is of a module's type, or can't be written.
    pub(crate) fn copy_value(&mut self, out: &mut dyn Write) -> Result<u64> {
        let Some(kind) = self.take_value()? else { return Ok(0) };
        let mut input = self.input.copying(out);
        walk(kind, &mut input)?;
        input.finish()
    }

    /// Copies the value as [`copy_value`](Self::copy_value) does, and gives each of its elements on the way, of which one at a time is
    /// in memory (what servers keep packed in one string: all of that string).
    pub(crate) fn copy_elements(
        &mut self,
        out: &mut dyn Write,
        each: &mut dyn FnMut(Element<'_>) -> Result<()>,
    ) -> Result<u64> {
        let Some(kind) = self.take_value()? else { return Ok(0) };
        let mut input = self.input.copying(out);
        walk_elements(kind, &mut input, each)?;
        input.finish()
    }

    /// Appends the value of the key that was given last.
    ///
    /// # Errors
    ///
    /// If the file is cut off or damaged, or the value is of a module's type, or longer than `most` bytes.
    pub(crate) fn read_value(&mut self, into: &mut Vec<u8>, most: u64) -> Result<()> {
        self.copy_value(&mut Within { into, left: most, most }).map(drop)
    }

    /// Goes past the value of the key that was given last, and gives what it takes in a server's memory, in bytes.
    ///
    /// # Errors
    ///
    /// If the file is cut off or damaged, or the value is of a module's type.
    pub(crate) fn weigh_value(&mut self) -> Result<u64> {
        let Some(kind) = self.take_value()? else { return Ok(0) };
        weight::of(kind, &mut self.input.passing())
    }

    /// What the file was read from, and what was read of it beyond the end of the file.
    pub(crate) fn into_inner(self) -> (R, Vec<u8>) {
        self.input.into_inner()
    }

    fn take_value(&mut self) -> Result<Option<Kind>> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Value(kind) => Ok(Some(kind)),
            State::Module(key) => Err(module::value(self.input.passing().length("a module")?, &key)),
            other => {
                self.state = other;
                Ok(None)
            }
        }
    }

    fn item(&mut self, offset: u64, opcode: u8) -> Result<Item> {
        let mut input = self.input.passing();
        let mut string = |expected| -> Result<Vec<u8>> {
            let mut string = Vec::new();
            input.string(&mut string, expected)?;
            Ok(string)
        };
        match opcode {
            AUX => {
                let (name, value) = (string("the name of a remark")?, string("a remark")?);
                return Ok(Item::Aux { name, value });
            }
            FUNCTION => return Ok(Item::Function(string("a library of functions")?)),
            SELECT => {
                self.database = input.length("a database")?;
                return Ok(Item::Select(self.database));
            }
            RESIZE => {
                input.length("a number of keys")?;
                input.length("a number of keys that expire")?;
            }
            SLOT_INFO => {
                input.length("a slot")?;
                input.length("a number of keys")?;
                input.length("a number of keys that expire")?;
            }
            MODULE_AUX => return Err(module::beside(input.length("a module")?)),
            FUNCTION_DRAFT => {
                return Err(Error::unsupported(
                    "the RDB file holds functions of a release candidate of Redis 7.0",
                ));
            }
            SLOT_IMPORT_OR_KEY_META if self.version.valkey => return Err(importing()),
            SLOT_IMPORT_OR_KEY_META => return Err(module::with_a_key()),
            _ => return self.key(offset, opcode),
        }
        Ok(Item::Other)
    }

    fn key(&mut self, offset: u64, byte: u8) -> Result<Item> {
        let mut input = self.input.passing();
        let kind =
            if byte == Kind::Module.byte() { Some(Kind::Module) } else { Kind::of(byte, self.version) };
        let mut key = Vec::new();
        if kind.is_some() || byte == MODULE_DRAFT {
            input.string(&mut key, "a key")?;
        }
        let Some(kind) = kind else {
            return Err(match byte {
                MODULE_DRAFT => module::value(input.length("a module")?, &key),
                _ => input
                    .damaged(offset, "an opcode or a type")
                    .with_context("instead", byte)
                    .with_context("version", self.version),
            });
        };
        self.state = if kind == Kind::Module { State::Module(key.clone()) } else { State::Value(kind) };
        let Coming { expires, idle, freq } = std::mem::take(&mut self.coming);
        Ok(Item::Key(Entry { database: self.database, kind, key, expires, idle, freq }))
    }

    fn end(&mut self) -> Result<()> {
        if self.version.checked() {
            let sum = self.input.checksum();
            let mut input = self.input.passing();
            let claimed = u64::from_le_bytes(input.take("a checksum")?);
            if claimed != 0 && claimed != sum {
                let offset = input.offset() - 8;
                return Err(Error::archive(format!(
                    "the RDB file is damaged: the checksum at byte {offset} is {claimed:016x}, and of what was read {sum:016x}"
                )));
            }
        }
        self.state = State::End;
        Ok(())
    }
}

/// -1 stands for never; nothing else before 1970 can be.
fn time_of_expiry(time: i64) -> Option<Option<u64>> {
    if time == -1 { Some(None) } else { u64::try_from(time).ok().map(Some) }
}

fn importing() -> Error {
    Error::unsupported("a slot of the cluster is on its way to this server: its keys are here and not here")
        .with_hint("dump once the migration is done")
}

/// Takes no more than is allowed.
struct Within<'a> {
    into: &'a mut Vec<u8>,
    left: u64,
    most: u64,
}

impl Write for Within<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(
                    Error::unsupported(format!("the value is longer than {} bytes", self.most)).into()
                );
            }
        }
        self.into.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
