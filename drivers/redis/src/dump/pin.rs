//! The pin: a save of one instant, which the server begins for us.
//!
//! A server that is asked for all its data as by a replica forks: the child has the data of that instant, and sends them.
//! That the instant is one within the pin is proved, not hoped for: before it is asked, the server saves nothing, and once
//! it has begun, its offset is read again. The file tells at which offset it was begun, which must lie between both.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use dumprestore_driver::{Cancel, Error, Result};

use super::moment::Moment;
use super::shard::Shard;
use super::spare::spare;
use super::transfer::{Settings, Transfer};
use crate::connect::{Reply, Role, Server, Session, Wire, shown};

/// How long a server may be busy with another save.
const BUSY: Duration = Duration::from_secs(1800);
const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_millis(50);
/// So often it is asked whether it has begun, before its own answer is waited for.
const POLLS: u32 = 25;

/// A save that has begun, of which nothing was read yet.
pub(super) struct Asked {
    pub(super) server: Server,
    /// Databases that are left out although all are meant.
    pub(super) spare: BTreeSet<u64>,
    pub(super) wire: Wire,
    pub(super) before: Moment,
    pub(super) after: Moment,
    /// Milliseconds since 1970 by the server's clock, just before it began.
    pub(super) cut_at: u64,
    pub(super) transfer: Transfer,
    /// By our clock, before it was asked for and after it had begun.
    pub(super) span: (Instant, Instant),
    /// The way without a file, where the server has it.
    pub(super) without_file: Option<Transfer>,
    /// Whether it was told to remove the file that it sends, and was not before.
    pub(super) removes_file: bool,
}

/// How a save is asked for.
pub(super) struct Asking {
    /// The way it is to be sent; by the server's settings, if there is none.
    pub(super) way: Option<Transfer>,
    /// The cut that it is for; none if that has gone by.
    pub(super) cut: Option<SystemTime>,
}

/// Has the server begin a save.
///
/// # Errors
/// If the server can't be reached, refuses, is busy for too long, or the run is to stop.
pub(super) fn ask(shard: &Shard, asking: &Asking, cancel: &Cancel) -> Result<Asked> {
    let Some(neighbour) = &shard.neighbour else {
        return Err(Error::defect("a save is asked for that nobody needs"));
    };
    let setup = &shard.setup;
    let mut wire = Wire::open(&setup.target, cancel)?;
    let mut session = Session::open_for(wire.target(), cancel)?;
    let server = Server::of(&mut session)?;
    check(&server)?;
    refuse_several_servers(&mut wire, &server)?;
    let settings = Settings::of(&mut session)?;
    let spare = spare(&mut session, shard, &server)?;
    let transfer = match asking.way {
        Some(way) => way,
        None if shard.waits || neighbour.has_others() => Transfer::File,
        None => settings.transfer(),
    };
    let removes_file = transfer == Transfer::File && settings.leave_no_file(&mut session)?;
    introduce(&mut wire, transfer)?;
    let others = asking.cut.and_then(|cut| neighbour.before(cut));
    let (before, asked_at) = match others {
        Some(before) => (before, Moment::of(&mut session)?),
        None => {
            let before = wait_until_idle(&mut session, cancel)?;
            if let Some(cut) = asking.cut {
                neighbour.is_first(cut, &before);
            }
            (before.clone(), before)
        }
    };
    let cut_at = now(&mut session)?;
    let asked = Instant::now();
    wire.command(&[b"SYNC"])?;
    wire.flush().map_err(|error| wire.lost(error))?;
    let has_begun = |now: &Moment| now.has_begun_since(&before) && now.has_taken_since(&asked_at);
    let after = wait_until_begun(&mut session, &mut wire, has_begun, transfer, cancel)?;
    let span = (asked, Instant::now());
    let without_file = settings.stream();
    Ok(Asked { server, spare, wire, before, after, cut_at, transfer, span, without_file, removes_file })
}

fn check(server: &Server) -> Result<()> {
    match &server.role {
        Role::Replica { of, in_touch: false } => Err(Error::environment(
            "the server is a replica that has lost its primary, and has no data to give",
        )
        .with_context("primary", of)
        .with_hint("wait until it has found its primary, or dump the primary itself")),
        _ => Ok(()),
    }
}

/// A balancer may lead to another with each connection.
fn refuse_several_servers(wire: &mut Wire, server: &Server) -> Result<()> {
    let told = match wire.ask(&[b"INFO", b"server"])? {
        Reply::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
        _ => String::new(),
    };
    let run_id = told.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
    if run_id == server.run_id {
        return Ok(());
    }
    Err(Error::environment("the address leads to several servers: each connection to another one")
        .with_hint("let `url` name one of them"))
}

/// Says what kind of replica we are. Older servers know less of it; none of it is needed.
fn introduce(wire: &mut Wire, transfer: Transfer) -> Result<()> {
    // No changes that come after: the server need not keep them for us.
    wire.command(&[b"REPLCONF", b"rdb-only", b"1"])?;
    wire.reply()?;
    // Valkey sends an older format to who does not say so, and ends if it can't: that one knows no fields that expire.
    wire.command(&[b"REPLCONF", b"version", b"9.0.0"])?;
    wire.reply()?;
    // No port: sentinels list whoever has one as a replica to promote, for good, be it 0.
    wire.command(&[b"REPLCONF", b"listening-port", b"-1"])?;
    wire.reply()?;
    if let Transfer::Stream { .. } = transfer {
        wire.ask(&[b"REPLCONF", b"capa", b"eof"])?;
    }
    Ok(())
}

/// A save that others have asked for would be one of an earlier instant.
fn wait_until_idle(session: &mut Session, cancel: &Cancel) -> Result<Moment> {
    let until = Instant::now() + BUSY;
    let mut pause = SHORT;
    loop {
        cancel.check()?;
        let moment = Moment::of(session)?;
        match moment.busy {
            None => return Ok(moment),
            Some(what) if Instant::now() >= until => {
                return Err(Error::environment(format!("the server can't begin a save: {what}"))
                    .with_context("waited_for", format!("{} s", BUSY.as_secs()))
                    .with_hint("see its log, and run it again when it has done that"));
            }
            Some(_) => sleep(pause),
        }
        pause = (pause * 2).min(LONG);
    }
}

/// In milliseconds since 1970.
fn now(session: &mut Session) -> Result<u64> {
    let (seconds, micros): (u64, u64) = session.query(&redis::cmd("TIME"))?;
    Ok(seconds * 1000 + micros / 1000)
}

fn wait_until_begun(
    session: &mut Session,
    wire: &mut Wire,
    has_begun: impl Fn(&Moment) -> bool,
    transfer: Transfer,
    cancel: &Cancel,
) -> Result<Moment> {
    let delay = if let Transfer::Stream { delay } = transfer { delay } else { Duration::ZERO };
    let at_first = Instant::now() + delay;
    let mut polls = 0;
    loop {
        cancel.check()?;
        let moment = Moment::of(session)?;
        if has_begun(&moment) {
            return Ok(moment);
        }
        // What can't be told by its counters, its answer tells.
        polls += 1;
        if polls > POLLS && Instant::now() >= at_first && has_answered(wire)? {
            return Moment::of(session);
        }
        sleep(SHORT);
    }
}

/// Waits for what the server says, if only that it is still there. Whether what it says is the data.
fn has_answered(wire: &mut Wire) -> Result<bool> {
    let first = wire.fill_buf().map(|bytes| bytes.first().copied());
    match first.map_err(|error| wire.lost(error))? {
        Some(b'\n') => {
            wire.consume(1);
            Ok(false)
        }
        Some(b'-') => Err(refused(&wire.line()?)),
        Some(_) => Ok(true),
        None => Err(ended()),
    }
}

/// The server will not send its data.
pub(super) fn refused(line: &[u8]) -> Error {
    let text = String::from_utf8_lossy(line.strip_prefix(b"-").unwrap_or(line)).into_owned();
    let hint = match text.split_whitespace().next() {
        Some("NOPERM") => "grant the login `+sync +replconf +info +time`, or dump with `mode: scan`",
        Some("NOMASTERLINK") => "wait until it has found its primary, or dump the primary itself",
        Some("LOADING") => "wait until it has loaded its data",
        _ if text.contains("BGSAVE failed") => {
            "it can't fork or write its file: see its log, make room on its disk, allow overcommitted memory"
        }
        _ => "many hosters switch replication off: dump it with `mode: scan` then",
    };
    Error::environment("the server does not send its data")
        .with_context("answer", shown(&text))
        .with_hint(hint)
}

/// The server has ended the connection before it sent anything.
pub(super) fn ended() -> Error {
    Error::environment("the server has ended the connection instead of sending its data").with_hint(
        "its save has failed, or it was stopped, or it could not keep the changes for us that came meanwhile \
         (`client-output-buffer-limit replica`): see its log",
    )
}
