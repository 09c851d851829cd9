//! The places that are loaded into: a database that nobody uses for each that is live.

use dumprestore_driver::{Error, Result};

use super::entry::{Pair, Staged, Step};
use super::line::{Count, Line, integer, not_understood, select};
use super::mark::{Fields, MARK, Mark, refuse_others};
use super::noted::Noted;
use super::{Origin, Restore, neighbours, permitted};
use crate::connect::Reply;

impl Restore {
    pub(super) fn begin(&mut self) -> Result<()> {
        let mut line = self.line()?;
        // Whoever looks for an empty database finds ours marked, before we look whether somebody else has come first.
        for pair in &self.entry.pairs {
            line.ask_all(&[select(pair.live), self.fields(pair).set(Mark::Live)])?;
        }
        for pair in &self.entry.pairs {
            refuse_others(&mut line, pair.live, &self.fields(pair))?;
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
        let taken = neighbours::live(&self.entry.run, &self.entry.server);
        for spare in self.entry.spares.iter().filter(|spare| !taken.contains(spare)) {
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
    let count = verify_kept(line, kept, pair, spare)?;
    permitted::check_commands(line, fields.mark(), pair.live, spare)?;
    line.ask_all(&[
        select(spare),
        Fields::put(&fields.lasting(), count.lasting),
        Fields::put(&fields.expiring(), count.expiring),
        fields.set(Mark::Staged),
    ])?;
    Ok(spare)
}

/// Counts the keys that were kept, and refuses if there are more or less. Gives how many there are.
fn verify_kept(line: &mut Line, kept: &Fields, pair: &Pair, spare: u64) -> Result<Count> {
    let noted = Noted::of(line, kept)?;
    let mut count = line.count(spare)?;
    // The mark is one of them.
    count.lasting = count.lasting.saturating_sub(1);
    line.select(spare)?;
    match noted {
        Some(noted) if !noted.fits(count) => {
            Err(Error::environment("the state that was kept has not as many keys as were kept")
                .with_context("database", pair.live)
                .with_context("kept in", spare)
                .with_context("kept", noted.count.all())
                .with_context("there are", count.all())
                .with_hint(
                    "the server has evicted some, or somebody else uses that database: take what you need of it by hand, \
                     or restore an archive",
                ))
        }
        // A crash right after the swap had it not be counted.
        _ => Ok(count),
    }
}

impl Restore {
    /// What it means that not all new keys are where they were staged.
    pub(super) fn gone(&self, pair: &Pair) -> Error {
        let error = match self.origin {
            Origin::Planned => Error::environment("the keys that were staged are not there any more"),
            // Others may be live already that belong to these.
            Origin::Resumed => Error::stuck("not all keys that were to become live are there any more"),
        };
        error.with_context("database", pair.live).with_hint(match self.origin {
            Origin::Planned => {
                "somebody has emptied the database that they were in, or the server was started again and had not saved it: \
                 restore again"
            }
            Origin::Resumed => {
                "the server was started again, or another took its place, and it had not saved them all; the old keys are live: \
                 roll back what was restored with it, and restore again"
            }
        })
    }
}
