//! What was restored outlives a crash of the server, as far as anything there does.
//!
//! A server that saves now and then comes up with what it had saved last: with the old keys, and nobody would tell. So it is told to
//! save, at the end of a restore.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::line::Line;
use super::lines::Lines;
use super::{Restore, permitted};
use crate::connect::{Reply, is_refusal_text};

/// A save of all that a server holds takes as long.
const PATIENCE: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(20);
/// A log is written to disk each second.
const LOG: Duration = Duration::from_secs(5);

/// What becomes of changes if a server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// It writes each down as it is made.
    Log,
    /// It saves all data now and then.
    Saves,
    /// All is gone, and is to be.
    Nothing,
    /// It does not tell.
    Unknown,
}

impl Keeps {
    /// Asks a server.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn of(line: &mut Line) -> Result<Self> {
        if line.info("persistence")?.get("aof_enabled") == Some("1") {
            return Ok(Self::Log);
        }
        Ok(match permitted::setting(line, "save")? {
            None => Self::Unknown,
            Some(save) if save.is_empty() => Self::Nothing,
            Some(_) => Self::Saves,
        })
    }
}

/// How a save has begun.
enum Begun {
    Yes,
    /// The login may not ask for it.
    NotPermitted(String),
    /// It can't: why.
    No(String),
}

impl Restore {
    /// Has each server write down what it holds, and waits for it. What can't be is told: what was restored is live by now.
    ///
    /// # Errors
    /// If a connection is lost.
    pub(super) fn outlive(&self, lines: &mut Lines) -> Result<()> {
        let mut saving = Vec::new();
        for (at, line) in lines.all().enumerate() {
            match Keeps::of(line)? {
                Keeps::Log => sync_log(line)?,
                Keeps::Nothing => {}
                Keeps::Unknown => self.tell(may_forget("whether it keeps anything is not to be known")),
                Keeps::Saves => match begin(line)? {
                    Begun::Yes => saving.push(at),
                    Begun::NotPermitted(said) => {
                        self.tell(may_forget(&format!("the login may not have it save: {said}")))
                    }
                    Begun::No(said) => self.tell(not_saved(&said)),
                },
            }
        }
        for at in saving {
            if !has_saved(lines.at(at)?)? {
                self.tell(not_saved("its save has failed"));
            }
        }
        Ok(())
    }
}

fn may_forget(why: &str) -> LedgerEntry {
    let what = "if the server is killed before it saves its data the next time, the old keys are back, and nothing tells so";
    LedgerEntry::note("persistence", format!("{what}: {why}"))
}

fn not_saved(why: &str) -> LedgerEntry {
    LedgerEntry::degrading(
        "persistence",
        format!(
            "the server can't save its data, and has the old keys again if it is killed: {why}; see its log"
        ),
    )
}

/// Servers before Redis 7.2 don't say when; they do it within a second. One that leaves it to its machine never says so.
fn sync_log(line: &mut Line) -> Result<()> {
    if permitted::setting(line, "appendfsync")?.as_deref() == Some("no") {
        return Ok(());
    }
    let most = u64::try_from(LOG.as_millis()).unwrap_or_default();
    line.replies(&[redis::cmd("WAITAOF").arg(1).arg(0).arg(most).clone()]).map(drop)
}

fn begin(line: &mut Line) -> Result<Begun> {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = match line.replies(&[redis::cmd("BGSAVE")])?.pop() {
            Some(Reply::Error(text)) => text,
            _ => return Ok(Begun::Yes),
        };
        match () {
            () if is_refusal_text(&text) => return Ok(Begun::NotPermitted(crate::connect::shown(&text))),
            // Another save, or the log is written anew.
            () if text.contains("in progress") || text.contains("right now") => {}
            () => return Ok(Begun::No(crate::connect::shown(&text))),
        }
        if Instant::now() >= until {
            return Err(too_long());
        }
        sleep(PAUSE);
    }
}

fn has_saved(line: &mut Line) -> Result<bool> {
    let until = Instant::now() + PATIENCE;
    loop {
        let info = line.info("persistence")?;
        if info.get("rdb_bgsave_in_progress") != Some("1") {
            return Ok(info.get("rdb_last_bgsave_status") == Some("ok"));
        }
        if Instant::now() >= until {
            return Err(too_long());
        }
        sleep(PAUSE);
    }
}

fn too_long() -> Error {
    Error::environment("the server has not saved its data in an hour")
        .with_hint("see its log, and run `dumprestore recover`")
}
