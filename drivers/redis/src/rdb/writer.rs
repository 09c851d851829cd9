//! Writes a file that a server loads.

use std::io::{self, Write};

use dumprestore_driver::{Error, Result};

use super::checksum::Checksum;
use super::source::append_length;
use super::{Entry, Version};

/// What is gathered before it goes on.
const BUFFER: usize = 64 << 10;

/// A file that is being written. What comes first to a server (remarks, functions) is to be written first.
pub(crate) struct Writer<W: Write> {
    out: W,
    gathered: Vec<u8>,
    sum: Checksum,
    version: Version,
    database: Option<u64>,
    keys: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the first bytes of a file.
    pub(crate) fn begin(out: W, version: Version) -> Result<Self> {
        let mut gathered = Vec::with_capacity(BUFFER);
        gathered.extend_from_slice(version.magic().as_bytes());
        Ok(Self { out, gathered, sum: Checksum::new(), version, database: None, keys: 0 })
    }

    /// Says something of the file. Servers go past what they don't know.
    pub(crate) fn aux(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        self.gathered.push(0xfa);
        self.string(name)?;
        self.string(value)
    }

    /// A library of functions: its source code.
    pub(crate) fn function(&mut self, code: &[u8]) -> Result<()> {
        self.gathered.push(0xf5);
        self.string(code)
    }

    /// The keys that follow are in that database.
    pub(crate) fn select(&mut self, database: u64) -> Result<()> {
        if self.database != Some(database) {
            self.gathered.push(0xfe);
            append_length(&mut self.gathered, database);
            self.database = Some(database);
        }
        self.flush_if_full()
    }

    /// A key, into the database that it names. Its value is to be written next, as it stood in a file or payload, to
    /// [`value`](Self::value).
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.select(entry.database)?;
        if let Some(expires) = entry.expires {
            self.gathered.push(0xfc);
            self.gathered.extend_from_slice(&expires.to_le_bytes());
        }
        if let Some(idle) = entry.idle {
            self.gathered.push(0xf8);
            append_length(&mut self.gathered, idle);
        }
        if let Some(freq) = entry.freq {
            self.gathered.extend_from_slice(&[0xf9, freq]);
        }
        self.gathered.push(entry.kind.byte());
        self.keys += 1;
        self.string(&entry.key)
    }

    /// Where the value of the key that was written last goes.
    pub(crate) fn value(&mut self) -> impl Write + '_ {
        Value(self)
    }

    /// Writes the end. Gives how many keys were written. What it was written to is not flushed.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.gathered.push(0xff);
        self.flush().map_err(failed)?;
        if self.version.checked() {
            self.out.write_all(&self.sum.value().to_le_bytes()).map_err(failed)?;
        }
        Ok(self.keys)
    }

    fn string(&mut self, string: &[u8]) -> Result<()> {
        append_length(&mut self.gathered, string.len() as u64);
        self.put(string).map_err(failed)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() < BUFFER / 4 {
            self.gathered.extend_from_slice(bytes);
            return if self.gathered.len() >= BUFFER { self.flush() } else { Ok(()) };
        }
        self.flush()?;
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.gathered.len() >= BUFFER { self.flush().map_err(failed) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sum.update(&self.gathered);
        self.out.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("can't write the RDB file", error)
}

struct Value<'a, W: Write>(&'a mut Writer<W>);

impl<W: Write> Write for Value<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes)?;
        Ok(bytes.len())
    }

    /// Nothing is to be seen before the end of the file.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
