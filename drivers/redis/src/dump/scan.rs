//! A dump key by key: each key is as it is when its turn comes, and the whole is of no one instant.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use dumprestore_driver::{Cancel, Error, Facts, OpenContext, Result};
use redis::Value;

use super::choice::Choice;
use super::copy::begin;
use super::names::Names;
use super::shard::Shard;
use super::spare::spare;
use super::told::{CUT_AT, Tally};
use crate::config::Meant;
use crate::connect::{Reply, Server, Session, Wire};
use crate::rdb::{Entry, Kind, Writer, payload};

/// In bytes: as much as the keys that are asked for at once are to have, by what those before had.
const AT_ONCE: u64 = 1 << 20;
/// No more keys than that at once.
const MOST: u64 = 1000;
/// A value is copied in pieces of that size.
const PIECE: usize = 64 << 10;

/// What was dumped, and what is told of it.
pub(super) struct Scanned {
    pub(super) facts: Facts,
    pub(super) tally: Tally,
    pub(super) spare: BTreeSet<u64>,
}

/// Reads all keys that are meant.
///
/// # Errors
/// If the server refuses, the part can't be written, or the run is to stop.
pub(super) fn dump(shard: &Shard, cx: &OpenContext, out: &mut (dyn Write + Send)) -> Result<Scanned> {
    let (setup, cancel) = (&shard.setup, &cx.cancel);
    let mut wire = Wire::open(&setup.target, cancel)?;
    let mut session = Session::open_for(wire.target(), cancel)?;
    let server = Server::of(&mut session)?;
    let mut tally = Tally::default();
    let (seconds, micros): (u64, u64) = session.query(&redis::cmd("TIME"))?;
    let now = seconds * 1000 + micros / 1000;
    let mut writer = begin(server.rdb, &remarks(&server, seconds), out)?;
    if setup.functions && server.is_since(7, 0) {
        for code in functions(&mut session)? {
            writer.function(&code)?;
            tally.functions.insert(code);
        }
    }
    let spare = spare(&mut session, shard, &server)?;
    let choice = Choice { setup, spare: &spare, shard };
    let databases = match &setup.databases {
        Meant::These(list) => list.clone(),
        Meant::All => server.info.keyspace().into_iter().map(|(index, _)| index).collect(),
    };
    for database in databases {
        if !server.cluster {
            wire.ask(&[b"SELECT", database.to_string().as_bytes()])?;
        }
        let mut reading = Reading { wire: &mut wire, server: &server, database, cancel };
        let mut names = reading.names(&choice, cx)?;
        reading.read(&mut names, &mut writer, &mut tally)?;
    }
    writer.finish()?;
    let facts = Facts::from([
        ("mode".to_owned(), "scan".to_owned()),
        ("server_version".to_owned(), server.title()),
        ("rdb_version".to_owned(), server.rdb.to_string()),
        (CUT_AT.to_owned(), now.to_string()),
    ]);
    Ok(Scanned { facts, tally, spare })
}

fn remarks(server: &Server, seconds: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (major, minor, patch) = server.version;
    let name = if server.valkey { "valkey-ver" } else { "redis-ver" };
    let version = format!("{major}.{minor}.{patch}");
    vec![
        (name.as_bytes().to_vec(), version.into_bytes()),
        (b"ctime".to_vec(), seconds.to_string().into_bytes()),
    ]
}

/// The source code of all libraries.
fn functions(session: &mut Session) -> Result<Vec<Vec<u8>>> {
    let listed: Vec<Vec<Value>> = session.query(redis::cmd("FUNCTION").arg("LIST").arg("WITHCODE"))?;
    let code = |library: Vec<Value>| {
        let named = library.iter().position(|value| *value == Value::BulkString(b"library_code".to_vec()));
        match named.and_then(|at| library.get(at + 1)) {
            Some(Value::BulkString(code)) => Ok(code.clone()),
            _ => Err(odd("FUNCTION LIST")),
        }
    };
    listed.into_iter().map(code).collect()
}

/// Reads one database.
struct Reading<'a> {
    wire: &'a mut Wire,
    server: &'a Server,
    database: u64,
    cancel: &'a Cancel,
}

impl Reading<'_> {
    fn names(&mut self, choice: &Choice<'_>, cx: &OpenContext) -> Result<Names> {
        let database = self.database;
        Names::list(self.wire, &cx.scratch, self.cancel, |key| choice.has(database, key))
    }

    fn read(
        &mut self,
        names: &mut Names,
        writer: &mut Writer<&mut (dyn Write + Send)>,
        tally: &mut Tally,
    ) -> Result<()> {
        let mut most = 16;
        loop {
            self.cancel.check()?;
            let keys = names.some(usize::try_from(most).unwrap_or(1))?;
            let Some(count) = std::num::NonZeroU64::new(keys.len() as u64) else { return Ok(()) };
            for key in &keys {
                self.ask(key)?;
            }
            let mut bytes = 0;
            for key in keys {
                bytes += self.take(key, writer, tally)?;
            }
            let each = (bytes / count).max(1);
            most = (AT_ONCE / each).clamp(1, most * 2).min(MOST);
        }
    }

    /// Asks for a key, with its time of expiry as of the same moment.
    fn ask(&mut self, key: &[u8]) -> Result<()> {
        self.wire.command(&[b"MULTI"])?;
        if !self.knows_times() {
            self.wire.command(&[b"TIME"])?;
        }
        let expiry: &[u8] = if self.knows_times() { b"PEXPIRETIME" } else { b"PTTL" };
        self.wire.command(&[expiry, key])?;
        self.wire.command(&[b"DUMP", key])?;
        self.wire.command(&[b"EXEC"])
    }

    fn knows_times(&self) -> bool {
        self.server.is_since(7, 0)
    }

    /// Copies a key that was asked for. Gives the length of its value; none if it is gone.
    fn take(
        &mut self,
        key: Vec<u8>,
        writer: &mut Writer<&mut (dyn Write + Send)>,
        tally: &mut Tally,
    ) -> Result<u64> {
        let answers = if self.knows_times() { 2 } else { 3 };
        for _ in 0..=answers {
            self.expect_simple()?;
        }
        let head = self.wire.line()?;
        if head != format!("*{answers}").as_bytes() {
            return Err(refused(&head));
        }
        let now = if self.knows_times() { 0 } else { self.time()? };
        let expires = match self.wire.reply()? {
            Reply::Integer(time) => u64::try_from(time).ok().map(|time| now + time),
            _ => return Err(odd("PEXPIRETIME")),
        };
        let head = self.wire.line()?;
        if head == b"$-1" {
            tally.vanished += 1;
            return Ok(0);
        }
        let length =
            head.strip_prefix(b"$").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let length: u64 = length.ok_or_else(|| refused(&head))?;
        let entry =
            Entry { database: self.database, kind: Kind::String, key, expires, idle: None, freq: None };
        tally.count(&entry, length);
        self.copy(entry, length, writer)?;
        Ok(length)
    }

    fn expect_simple(&mut self) -> Result<()> {
        match self.wire.reply()? {
            Reply::Simple(_) => Ok(()),
            Reply::Error(text) => Err(refused(text.as_bytes())),
            _ => Err(odd("MULTI")),
        }
    }

    /// In milliseconds since 1970.
    fn time(&mut self) -> Result<u64> {
        let Reply::Array(both) = self.wire.reply()? else { return Err(odd("TIME")) };
        let number = |reply: &Reply| match reply {
            Reply::Bulk(digits) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
            _ => None,
        };
        match (both.first().and_then(number), both.get(1).and_then(number)) {
            (Some(seconds), Some(micros)) => Ok(seconds * 1000 + micros / 1000),
            _ => Err(odd("TIME")),
        }
    }

    /// Copies what `DUMP` gives, as it comes: the type, the value, and what proves that it is whole.
    fn copy(
        &mut self,
        mut entry: Entry,
        length: u64,
        writer: &mut Writer<&mut (dyn Write + Send)>,
    ) -> Result<()> {
        let damaged = || Error::environment("the server answers `DUMP` with what is damaged");
        let mut left = length.checked_sub(1 + payload::FOOTER as u64).ok_or_else(damaged)?;
        let mut kind = [0];
        self.read_exact(&mut kind)?;
        let [byte] = kind;
        entry.kind = Kind::of(byte, self.server.rdb).ok_or_else(|| foreign(byte, &entry.key))?;
        writer.entry(&entry)?;
        let mut footer = payload::Footer::of(entry.kind);
        let mut piece = vec![0; PIECE];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let piece = piece.get_mut(..most).unwrap_or_default();
            self.read_exact(piece)?;
            footer.update(piece);
            writer.value().write_all(piece).map_err(|error| Error::io("can't write a value", error))?;
            left -= most as u64;
        }
        let mut end = [0; payload::FOOTER + 2];
        self.read_exact(&mut end)?;
        if end.get(..payload::FOOTER) != Some(&footer.finish(self.server.rdb)) {
            return Err(damaged().with_context("key", entry.key.escape_ascii()));
        }
        Ok(())
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<()> {
        self.wire.read_exact(into).map_err(|error| self.wire.lost(error))
    }
}

fn foreign(byte: u8, key: &[u8]) -> Error {
    let what = match byte {
        6 | 7 => "a value is of a module's type".to_owned(),
        _ => format!("a value is of a type that is not known: {byte}"),
    };
    Error::unsupported(what)
        .with_context("key", key.escape_ascii())
        .with_hint("leave such keys out with `exclude`")
}

fn refused(answer: &[u8]) -> Error {
    let said: String = String::from_utf8_lossy(answer).chars().take(300).collect();
    Error::environment("the server does not give a key")
        .with_context("answer", said.escape_debug())
        .with_hint(
            "grant the login `+scan +dump +pttl +pexpiretime +time +multi +exec` on all keys that are dumped",
        )
}

fn odd(command: &str) -> Error {
    Error::environment(format!("the server's answer to `{command}` is not understood"))
}
