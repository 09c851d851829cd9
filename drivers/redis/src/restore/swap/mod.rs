//! Databases change places: those with the new keys become live, and back again.

mod commit;
mod finish;
mod rollback;

use dumprestore_driver::{Error, Result};

use super::line::{Count, Executed, Line};
use super::mark::{self, Fields, MARK, Mark};
use super::prepare::holds_more;

pub(super) use finish::discard;

/// As often as it is tried to do what somebody keeps changing.
const TRIES: u32 = 20;

/// What became of a database that was to be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emptied {
    /// It is empty.
    Whole,
    /// It was not ours, or not any more.
    NotOurs,
    /// Somebody else's keys are in it as well: it is as it was.
    Shared,
}

/// Empties a database that is `mark`, and nothing else in it but what is ours.
fn empty(line: &mut Line, index: u64, fields: &Fields, mark: Mark) -> Result<Emptied> {
    for _ in 0..TRIES {
        line.select(index)?;
        line.ask(redis::cmd("WATCH").arg(MARK))?;
        if Fields::get(line, fields.mark())?.as_deref() != Some(mark.as_str().as_bytes()) {
            line.ask(&redis::cmd("UNWATCH"))?;
            return Ok(Emptied::NotOurs);
        }
        let lasting = Fields::number(line, &fields.lasting())?;
        let expiring = Fields::number(line, &fields.expiring())?;
        // They are not known where a crash came right after the swap.
        let count = lasting.zip(expiring).map(|(lasting, expiring)| Count { lasting, expiring });
        let holds_more = match count {
            Some(count) => holds_more(line.count(index)?, count),
            None => false,
        };
        if holds_more || mark::another_with_keys(line, fields)?.is_some() {
            line.ask(&redis::cmd("UNWATCH"))?;
            return Ok(Emptied::Shared);
        }
        let mut flush = redis::cmd("FLUSHDB");
        flush.arg("ASYNC");
        if let Executed::Done(replies) = line.transact(std::slice::from_ref(&flush))? {
            for reply in replies {
                line.accept(reply, &flush)?;
            }
            return Ok(Emptied::Whole);
        }
    }
    Err(restless(index))
}

fn restless(index: u64) -> Error {
    Error::environment("somebody changes again and again what a restore has noted in a database")
        .with_context("database", index)
        .with_context("key", MARK)
        .with_hint("end what does so, and run `dumprestore recover`")
}

fn swap(live: u64, spare: u64) -> redis::Cmd {
    let mut cmd = redis::cmd("SWAPDB");
    cmd.arg(live).arg(spare);
    cmd
}

/// Watches the marks of some databases: what follows happens only if nobody changes them in between.
fn watch(line: &mut Line, indexes: impl IntoIterator<Item = u64>) -> Result<()> {
    for index in indexes {
        line.select(index)?;
        line.ask(redis::cmd("WATCH").arg(MARK))?;
    }
    Ok(())
}
