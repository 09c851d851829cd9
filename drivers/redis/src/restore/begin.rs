//! The places that are loaded into: a database that nobody uses for each that is live.

use dumprestore_driver::{Error, Result};

use super::entry::{Pair, Staged, Step};
use super::line::{Line, integer, not_understood, select};
use super::mark::{Fields, MARK, Mark, Standing, refuse_others};
use super::{Restore, permitted};
use crate::connect::Reply;

impl Restore {
    pub(super) fn begin(&mut self) -> Result<()> {
        let mut line = self.line()?;
        for pair in &self.entry.pairs {
            refuse_others(&mut line, pair.live, &self.entry.run)?;
        }
        let mut pairs = self.entry.pairs.clone();
        for pair in &mut pairs {
            self.cancel.check()?;
            pair.spare = Some(match &self.entry.staged {
                Staged::Made => self.claim(&mut line, pair)?,
                Staged::Kept { run } => {
                    take_up(&mut line, &self.fields(pair), &Fields::of(run, pair.live), pair)?
                }
            });
        }
        self.entry.pairs = pairs;
        self.entry.step = Step::Begun;
        Ok(())
    }

    /// Marks a database as the place for the new keys of another. Of two that ask for one, the second sees it marked.
    fn claim(&self, line: &mut Line, pair: &Pair) -> Result<u64> {
        let fields = self.fields(pair);
        for spare in &self.entry.spares {
            let mut claim = redis::cmd("HSETNX");
            claim.arg(MARK).arg(fields.mark()).arg(Mark::Claimed.as_str());
            let replies = line.transact_all(&[select(*spare), redis::cmd("DBSIZE"), claim])?;
            let [_, size, claimed] = replies.as_slice() else { return Err(not_understood()) };
            match (integer(size), claimed) {
                (Some(0), Reply::Integer(1)) => {
                    line.ask_all(&[
                        Fields::put(&fields.lasting(), 0),
                        Fields::put(&fields.expiring(), 0),
                        fields.set(Mark::Staged),
                    ])?;
                    return Ok(*spare);
                }
                // Somebody uses it by now.
                (_, Reply::Integer(1)) => line.ask(&fields.remove()).map(drop)?,
                _ => return Err(Error::defect("a restore is begun that was begun before")),
            }
        }
        Err(Error::environment(
            "all databases that were empty when the restore was planned are in use by now",
        )
        .with_context("needed", self.entry.pairs.len())
        .with_hint("run it again, or empty a database of this server"))
    }
}

/// Takes up a database that an earlier restore has kept.
fn take_up(line: &mut Line, fields: &Fields, kept: &Fields, pair: &Pair) -> Result<u64> {
    let spare = pair.spare.ok_or_else(|| Error::defect("a state was kept nowhere"))?;
    line.select(spare)?;
    if Fields::get(line, kept.mark())?.as_deref() != Some(Mark::Kept.as_str().as_bytes()) {
        return Err(Error::environment("the state that was kept is not there any more")
            .with_context("database", spare)
            .with_hint("somebody has emptied it, or the server was started again and had not saved it"));
    }
    permitted::check_commands(line, fields.mark(), pair.live, spare)?;
    line.ask(&fields.set(Mark::Staged))?;
    Ok(spare)
}

/// Refuses to go on where something is not as `wanted`.
pub(super) fn expect(found: Standing, pair: &Pair, wanted: impl Fn(Standing) -> bool) -> Result<()> {
    match wanted(found) {
        true => Ok(()),
        false => Err(gone(pair)),
    }
}

pub(super) fn gone(pair: &Pair) -> Error {
    Error::environment("the keys that were staged are not there any more")
        .with_context("database", pair.live)
        .with_hint(
            "somebody has emptied the database that they were in, or the server was started again and had not saved it: \
             restore again",
        )
}
