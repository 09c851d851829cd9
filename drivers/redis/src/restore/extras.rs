//! Keys that are live and not in the archive.

use dumprestore_driver::{Cancel, Error, Extras, LedgerEntry, Result};

use super::Restore;
use super::entry::{Method, Pair};
use super::line::{Count, Line, bytes, integer, not_understood, select};
use super::mark::{Fields, MARK};
use super::place::{self, spare_of};
use super::room::Guard;
use crate::connect::Reply;

/// As many keys as one step of a `SCAN` looks at.
const STEP: u64 = 500;

impl Restore {
    pub(super) fn see_to_extras(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        match (self.entry.extras, self.entry.method) {
            (Extras::Remove, _) | (Extras::Keep, Method::Rename | Method::Cluster) => Ok(()),
            (Extras::Fail, _) => self.refuse_extras(line, pair),
            (Extras::Keep, Method::Swap) => self.copy_extras(line, pair),
        }
    }

    fn refuse_extras(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        let place = self.place(pair)?;
        each_step(line, pair.live, b"*", |line, keys| {
            self.cancel.check()?;
            line.select(place.index)?;
            let is_meant =
                |key: &&Vec<u8>| !key.starts_with(place::OURS.as_bytes()) && self.setup.has_key(key);
            let keys: Vec<&Vec<u8>> = keys.iter().filter(is_meant).collect();
            let there: Vec<redis::Cmd> = keys.iter().map(|key| command("EXISTS", &place.name(key))).collect();
            let there = line.ask_all(&there)?;
            match keys.iter().zip(there).find(|(_, there)| *there == Reply::Integer(0)) {
                None => Ok(()),
                Some((extra, _)) => {
                    Err(Error::environment("the target has keys that the archive does not have")
                        .with_context("database", pair.live)
                        .with_context("key", extra.escape_ascii())
                        .with_hint("restore with `--extras keep` or `--extras remove`"))
                }
            }
        })
    }

    /// Copies what is live and was not made. What is written to it after that is lost with the old keys: the plan says so.
    fn copy_extras(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        let (live, spare) = (pair.live, spare_of(pair)?);
        let fields = self.fields(pair);
        let ours = line.count(spare)?;
        let most = line.count(live)?.all();
        // Until all are copied, as many as there could be count as ours.
        line.select(spare)?;
        line.ask_all(&[
            Fields::put(&fields.lasting(), ours.lasting + most),
            Fields::put(&fields.expiring(), ours.expiring + most),
        ])?;
        let mut copied = 0u64;
        let mut guard = Guard::new(self.line()?)?;
        each_step(line, live, b"*", |line, keys| {
            self.cancel.check()?;
            if guard.has_limit() {
                make_room(&mut guard, line, keys, live, spare)?;
            }
            line.select(live)?;
            copied += copy(line, keys, live, spare)?;
            Ok(())
        })?;
        let count = line.count(spare)?;
        line.select(spare)?;
        line.ask_all(&[
            Fields::put(&fields.lasting(), count.lasting.saturating_sub(1)),
            Fields::put(&fields.expiring(), count.expiring),
        ])?;
        if copied > 0 {
            let why =
                format!("{copied} keys that the archive does not have stay, as they were before the swap");
            self.tell(LedgerEntry::note(format!("database {live}"), why));
        }
        Ok(())
    }
}

/// Before keys are copied that are not there: that nothing has to go for them.
fn make_room(guard: &mut Guard, line: &mut Line, keys: &[Vec<u8>], live: u64, spare: u64) -> Result<()> {
    line.select(spare)?;
    let there: Vec<redis::Cmd> = keys.iter().map(|key| command("EXISTS", key)).collect();
    let there = line.ask_all(&there)?;
    let lacking = keys.iter().zip(there).filter(|(_, there)| *there == Reply::Integer(0));
    let usages = lacking.map(|(key, _)| {
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
        usage
    });
    let usages: Vec<redis::Cmd> = usages.collect();
    line.select(live)?;
    let weights = line.ask_all(&usages)?;
    let weight = weights.iter().filter_map(integer).fold(0u64, u64::saturating_add);
    if !guard.fits(weight) {
        guard.ask(weight)?;
    }
    guard.spend(weight);
    Ok(())
}

/// Copies keys to another database that are not there. Gives how many.
fn copy(line: &mut Line, keys: &[Vec<u8>], live: u64, spare: u64) -> Result<u64> {
    let copies: Vec<redis::Cmd> = keys
        .iter()
        .map(|key| {
            let mut copy = command("COPY", key);
            copy.arg(key).arg("DB").arg(spare);
            copy
        })
        .collect();
    let mut copied = 0;
    for (reply, cmd) in line.replies(&copies)?.into_iter().zip(&copies) {
        match line.accept(reply, cmd) {
            Ok(reply) => copied += integer(&reply).ok_or_else(not_understood)?,
            Err(error) if crate::connect::is_refusal(&error) => {
                return copy_by_value(line, keys, live, spare);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(copied)
}

/// The same for servers before Redis 6.2.
fn copy_by_value(line: &mut Line, keys: &[Vec<u8>], live: u64, spare: u64) -> Result<u64> {
    let mut copied = 0;
    for key in keys {
        line.select(live)?;
        let replies = line.ask_all(&[command("DUMP", key), command("PTTL", key)])?;
        let [Reply::Bulk(payload), Reply::Integer(left)] = replies.as_slice() else { continue };
        let mut restore = command("RESTORE", key);
        restore.arg((*left).max(0)).arg(payload);
        let replies = line.replies(&[select(spare), restore])?;
        copied += match replies.get(1) {
            Some(Reply::Error(text)) if text.starts_with("BUSYKEY") => 0,
            Some(Reply::Error(text)) => return Err(line.wire.refused(text, "RESTORE")),
            _ => 1,
        };
    }
    Ok(copied)
}

/// Goes through the keys of a database that a pattern fits, a step at a time, each at least once that is there all the while.
/// Our own mark is none of them.
pub(super) fn each_step(
    line: &mut Line,
    index: u64,
    pattern: &[u8],
    mut step: impl FnMut(&mut Line, &[Vec<u8>]) -> Result<()>,
) -> Result<()> {
    let mut cursor = b"0".to_vec();
    loop {
        line.select(index)?;
        let mut scan = redis::cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(STEP);
        let Reply::Array(parts) = line.ask(&scan)? else { return Err(not_understood()) };
        let mut parts = parts.into_iter();
        let (Some(next), Some(Reply::Array(keys))) = (parts.next().and_then(bytes), parts.next()) else {
            return Err(not_understood());
        };
        let keys: Vec<Vec<u8>> =
            keys.into_iter().filter_map(bytes).filter(|key| key != MARK.as_bytes()).collect();
        if !keys.is_empty() {
            step(line, &keys)?;
        }
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// How many keys a pattern fits that have no time of expiry. `some_expire`: others may be among them. While a server grows its tables, it
/// may name some twice.
pub(super) fn count_lasting(
    line: &mut Line,
    index: u64,
    pattern: &[u8],
    some_expire: SomeExpire,
    cancel: &Cancel,
) -> Result<u64> {
    let mut count = 0u64;
    each_step(line, index, pattern, |line, keys| {
        cancel.check()?;
        count += match some_expire {
            SomeExpire::No => keys.len() as u64,
            SomeExpire::Yes => {
                let asked: Vec<redis::Cmd> = keys.iter().map(|key| command("PTTL", key)).collect();
                let left = line.ask_all(&asked)?;
                left.iter().filter(|left| **left == Reply::Integer(-1)).count() as u64
            }
        };
        Ok(())
    })?;
    Ok(count)
}

/// Whether some of the keys that are counted expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SomeExpire {
    Yes,
    No,
}

impl SomeExpire {
    pub(super) fn of(count: Count) -> Self {
        if count.expiring > 0 { Self::Yes } else { Self::No }
    }
}

pub(super) fn command(name: &str, key: &[u8]) -> redis::Cmd {
    let mut cmd = redis::cmd(name);
    cmd.arg(key);
    cmd
}
