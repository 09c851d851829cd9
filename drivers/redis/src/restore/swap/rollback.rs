//! Back to what was live before.

use dumprestore_driver::{Error, Result};
use redis::Cmd;

use super::super::Restore;
use super::super::entry::{Pair, Staged};
use super::super::functions::{self, Policy};
use super::super::line::{Executed, Line, select};
use super::super::mark::{Fields, Mark, Standing};
use super::{Emptied, TRIES, empty, restless, swap, watch};

impl Restore {
    pub(in super::super) fn rollback(&self) -> Result<()> {
        let mut line = self.steadfast_line()?;
        self.swap_back(&mut line)?;
        // Of several that can't be undone, each is tried.
        let mut stuck = None;
        for (pair, standing) in self.standings(&mut line)? {
            if let Err(error) = self.remove(&mut line, &pair, standing) {
                stuck.get_or_insert(error);
            }
            self.unmark_live(&mut line, &pair)?;
        }
        stuck.map_or(Ok(()), Err)
    }

    /// The live database says no more that a restore has begun.
    fn unmark_live(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        let fields = self.fields(pair);
        line.select(pair.live)?;
        if Fields::get(line, fields.mark())?.as_deref() == Some(Mark::Live.as_str().as_bytes()) {
            line.ask(&fields.remove())?;
        }
        Ok(())
    }

    /// Has all databases that were swapped change places again, in one transaction.
    fn swap_back(&self, line: &mut Line) -> Result<()> {
        for _ in 0..TRIES {
            let swapped = self.swapped(line)?;
            let Some((first, spare)) = swapped.first() else { return Ok(()) };
            self.try_functions(line, first, *spare)?;
            watch(line, swapped.iter().flat_map(|(pair, spare)| [*spare, pair.live]))?;
            if self.swapped(line)? != swapped {
                line.ask(&redis::cmd("UNWATCH"))?;
                continue;
            }
            let mut cmds = Vec::new();
            line.select(*spare)?;
            if let Some(own) = Fields::get(line, &self.fields(first).functions())? {
                cmds.push(functions::restore(&own, Policy::Flush));
            }
            for (pair, spare) in &swapped {
                cmds.extend(self.exchange_back(pair, *spare));
            }
            if let Executed::Done(replies) = line.transact(&cmds)? {
                for (reply, cmd) in replies.into_iter().zip(&cmds) {
                    line.accept(reply, cmd)?;
                }
                return self.count_again(line, &swapped);
            }
        }
        Err(restless(self.entry.pairs.first().map_or(0, |pair| pair.live)))
    }

    /// What fails in the transaction has the rest of it be done all the same, and what is to be put back is gone then: it is tried first.
    fn try_functions(&self, line: &mut Line, first: &Pair, spare: u64) -> Result<()> {
        line.select(spare)?;
        match Fields::get(line, &self.fields(first).functions())? {
            Some(own) => functions::rehearse(line, &own, Policy::Flush),
            None => Ok(()),
        }
    }

    fn swapped(&self, line: &mut Line) -> Result<Vec<(Pair, u64)>> {
        let standings = self.standings(line)?.into_iter();
        Ok(standings
            .filter_map(|(pair, standing)| match standing {
                Standing::Committed(spare) | Standing::Kept(spare) => Some((pair, spare)),
                _ => None,
            })
            .collect())
    }

    /// What was live meanwhile goes, with all that was written to it; what was kept before stays kept.
    fn exchange_back(&self, pair: &Pair, spare: u64) -> Vec<Cmd> {
        let fields = self.fields(pair);
        let mut cmds = vec![swap(pair.live, spare), select(pair.live), fields.remove(), select(spare)];
        match &self.entry.staged {
            Staged::Made => {
                let mut flush = redis::cmd("FLUSHDB");
                flush.arg("ASYNC");
                cmds.push(flush);
            }
            Staged::Kept { run } => {
                cmds.extend([fields.remove(), Fields::of(run, pair.live).set(Mark::Kept)])
            }
        }
        cmds
    }

    /// Of a state that stays kept: it was live for a while, and has other keys now.
    fn count_again(&self, line: &mut Line, swapped: &[(Pair, u64)]) -> Result<()> {
        let Some(run) = self.kept_by() else { return Ok(()) };
        for (pair, spare) in swapped {
            let (fields, count) = (Fields::of(run, pair.live), line.count(*spare)?);
            line.ask_all(&[
                select(*spare),
                Fields::put(&fields.lasting(), count.lasting.saturating_sub(1)),
                Fields::put(&fields.expiring(), count.expiring),
            ])?;
        }
        Ok(())
    }

    /// Removes what is not live.
    fn remove(&self, line: &mut Line, pair: &Pair, standing: Standing) -> Result<()> {
        let fields = self.fields(pair);
        match (standing, &self.entry.staged) {
            (Standing::Claimed(spare), _)
            | (Standing::Staged(spare) | Standing::Ready(spare), Staged::Kept { .. }) => {
                line.ask_all(&[select(spare), fields.remove()]).map(drop)
            }
            (Standing::Staged(spare), Staged::Made) => drop_staged(line, spare, &fields, Mark::Staged),
            (Standing::Ready(spare), Staged::Made) => drop_staged(line, spare, &fields, Mark::Ready),
            (Standing::Lost, _) => Err(Error::stuck("the new keys are live, and the old ones are not there any more")
                .with_context("database", pair.live)
                .with_hint(
                    "somebody has emptied the database in which the old keys were kept: they can be had from a backup only; \
                     `dumprestore recover` asks again",
                )),
            (Standing::Overtaken(spare), _) => Err(Error::stuck("what is live is no more what this restore has made")
                .with_context("database", pair.live)
                .with_context("old keys in", spare)
                .with_hint(format!(
                    "another restore, or somebody's `FLUSHDB` or `SWAPDB`, has come after it; to have the old keys back all the same: \
                     `SWAPDB {} {spare}`",
                    pair.live
                ))),
            (Standing::Absent | Standing::Begun | Standing::Committed(_) | Standing::Kept(_), _) => Ok(()),
        }
    }
}

fn drop_staged(line: &mut Line, spare: u64, fields: &Fields, mark: Mark) -> Result<()> {
    match empty(line, spare, fields, mark)? {
        Emptied::Whole | Emptied::NotOurs => Ok(()),
        Emptied::Shared => Err(shared(spare)),
    }
}

fn shared(index: u64) -> Error {
    Error::stuck("the old keys are live, but the database in which new ones were staged holds somebody else's, too: it is left as it is")
        .with_context("database", index)
        .with_hint("save the keys in it that are yours, empty it with `FLUSHDB`, and run `dumprestore recover`")
}
