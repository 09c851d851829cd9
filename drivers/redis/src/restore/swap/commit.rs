//! The swap itself: one transaction.

use dumprestore_driver::{Error, Result};
use redis::Cmd;

use super::super::entry::{Pair, Step};
use super::super::functions;
use super::super::line::{Count, Executed, Line, bytes, not_understood, select};
use super::super::mark::{Fields, Mark, Standing, refuse_others};
use super::super::noted::Noted;
use super::super::place::spare_of;
use super::super::{Origin, Restore};
use super::{swap, watch};
use crate::connect::{Info, Reply, Server, Session};

impl Restore {
    pub(in super::super) fn commit(&mut self) -> Result<()> {
        let mut line = self.line()?;
        if !self.is_swapped(&mut line)? {
            self.cancel.check()?;
            self.refuse_evicted(&mut line)?;
            // From here on it is all or nothing, and whoever wishes to stop it comes too late.
            let mut line = self.steadfast_line()?;
            match self.swap(&mut line) {
                Ok(None) => {}
                Ok(Some(other)) => return Err(not_as_staged(&other)),
                Err(error) => {
                    // The answer may have got lost.
                    let swapped = self.steadfast_line().and_then(|mut line| self.is_swapped(&mut line));
                    if !matches!(swapped, Ok(true)) || crate::connect::code(&error).is_some() {
                        return Err(error);
                    }
                }
            }
        }
        self.entry.step = Step::Committed;
        Ok(())
    }

    /// Whether the new keys are live, all of them.
    ///
    /// # Errors
    /// If they are neither live nor where they were staged.
    fn is_swapped(&self, line: &mut Line) -> Result<bool> {
        let standings = self.standings(line)?;
        let is_live = |standing| {
            matches!(
                standing,
                Standing::Committed(_) | Standing::Overtaken(_) | Standing::Kept(_) | Standing::Lost
            )
        };
        if standings.iter().all(|(_, standing)| is_live(*standing)) {
            return Ok(true);
        }
        if self.origin == Origin::Resumed {
            if standings.iter().all(|(_, standing)| *standing == Standing::Absent) {
                return self.is_over().map(|()| true);
            }
            // The swap is of all or none: those that say nothing any more were finished.
            if standings.iter().all(|(_, standing)| is_live(*standing) || *standing == Standing::Absent) {
                return Ok(true);
            }
        }
        match standings.iter().find(|(_, standing)| !matches!(standing, Standing::Ready(_))) {
            Some((pair, _)) => Err(self.gone(pair)),
            None => Ok(false),
        }
    }

    /// Nothing is there any more of a restore that was to go forward: it was finished, unless the server has forgotten it.
    pub(in super::super) fn is_over(&self) -> Result<()> {
        let server = Server::of(&mut Session::open(&self.setup.target)?)?;
        match server.run_id == self.entry.server {
            true => Ok(()),
            false => Err(Error::stuck("the server was started again, and knows nothing of this restore")
                .with_hint(
                    "if it lost what was staged, its data are the old ones or gone: look at them, roll back what was restored \
                     with it, and restore again",
                )),
        }
    }

    /// Swaps. Gives a database that was written to at the last instant, and whose new keys are not what was staged.
    fn swap(&self, line: &mut Line) -> Result<Option<Pair>> {
        let Some(first) = self.entry.pairs.first() else { return Ok(None) };
        line.select(spare_of(first)?)?;
        let new = Fields::get(line, &self.fields(first).functions())?;
        let own = match &new {
            Some(_) => functions::of_server(line)?,
            None => None,
        };
        let spares = self.entry.pairs.iter().map(spare_of).collect::<Result<Vec<u64>>>()?;
        watch(line, spares.into_iter().chain(self.entry.pairs.iter().map(|pair| pair.live)))?;
        // Nothing may have changed between a look and the watch.
        self.is_swapped(line)?;
        let noted = self.count(line)?;
        let mut cmds = Vec::new();
        for pair in &self.entry.pairs {
            // Whoever has emptied it meanwhile has removed this key, too, which is counted.
            cmds.extend([select(pair.live), self.fields(pair).set(Mark::Live)]);
        }
        let mut keyspace = redis::cmd("INFO");
        keyspace.arg("keyspace");
        cmds.push(keyspace);
        if let Some(new) = &new {
            cmds.extend([functions::dump(), functions::restore(new, self.policy())]);
        }
        for pair in &self.entry.pairs {
            cmds.extend(self.exchange(pair, own.as_deref())?);
        }
        let Executed::Done(replies) = line.transact(&cmds)? else {
            return Err(Error::environment("somebody has changed what was staged, right before the swap")
                .with_hint("find out who uses the databases in which keys are staged, and restore again"));
        };
        self.note(line, &cmds, replies, own.as_deref(), &noted)
    }

    /// Counts what is to become live, and refuses if it is not what was staged. Gives what that was.
    fn count(&self, line: &mut Line) -> Result<Vec<(Pair, Noted)>> {
        let mut all = Vec::new();
        for pair in &self.entry.pairs {
            refuse_others(line, pair.live, &self.fields(pair))?;
            let spare = spare_of(pair)?;
            line.select(spare)?;
            let noted = Noted::of(line, &self.fields(pair))?.ok_or_else(|| self.gone(pair))?;
            let there = there(&line.info("keyspace")?, spare);
            if there.lasting > noted.count.lasting || there.expiring > noted.count.expiring {
                return Err(not_as_staged(pair));
            }
            if !noted.fits(there) {
                return Err(self.gone(pair));
            }
            all.push((*pair, noted));
        }
        Ok(all)
    }

    /// The commands that have two databases change places, and say so in both.
    fn exchange(&self, pair: &Pair, own_functions: Option<&[u8]>) -> Result<Vec<Cmd>> {
        let (spare, fields) = (spare_of(pair)?, self.fields(pair));
        let mut cmds = vec![swap(pair.live, spare), select(spare), fields.set(Mark::Old)];
        if let Some(own) = own_functions {
            cmds.push(Fields::put(&fields.functions(), own));
        }
        cmds.extend([select(pair.live), fields.remove(), fields.set(Mark::New)]);
        cmds.extend(self.kept_by().map(|run| Fields::of(run, pair.live).set(Mark::Back)));
        Ok(cmds)
    }

    /// Notes what was found at the instant of the swap: how many keys the old data have, and which functions there were.
    fn note(
        &self,
        line: &mut Line,
        cmds: &[Cmd],
        replies: Vec<Reply>,
        own: Option<&[u8]>,
        noted: &[(Pair, Noted)],
    ) -> Result<Option<Pair>> {
        let mut accepted = Vec::with_capacity(replies.len());
        for (reply, cmd) in replies.into_iter().zip(cmds) {
            accepted.push(line.accept(reply, cmd)?);
        }
        let mut accepted = accepted.into_iter().skip(2 * self.entry.pairs.len());
        let text = accepted.next().and_then(bytes).ok_or_else(not_understood)?;
        let keyspace = Info::parse(&String::from_utf8_lossy(&text));
        let found = own.is_some().then(|| accepted.next().and_then(bytes)).flatten();
        for pair in &self.entry.pairs {
            let Count { lasting, expiring } = there(&keyspace, pair.live);
            let fields = self.fields(pair);
            let mut cmds = vec![
                select(spare_of(pair)?),
                Fields::put(&fields.lasting(), lasting),
                Fields::put(&fields.expiring(), expiring),
                Fields::put(&fields.fading(), Count::fading(&keyspace, pair.live)),
            ];
            if let Some(found) = found.as_deref().filter(|found| Some(*found) != own) {
                cmds.push(Fields::put(&fields.functions(), found));
            }
            line.ask_all(&cmds)?;
        }
        for (pair, noted) in noted {
            if !noted.fits(there(&keyspace, spare_of(pair)?)) {
                return Ok(Some(*pair));
            }
        }
        Ok(None)
    }
}

/// The keys of a database, but for the mark.
fn there(keyspace: &Info, index: u64) -> Count {
    let Count { lasting, expiring } = Count::of(keyspace, index);
    Count { lasting: lasting.saturating_sub(1), expiring }
}

fn not_as_staged(pair: &Pair) -> Error {
    Error::environment(
        "the database in which new keys are staged has not as many as were made: somebody else writes there",
    )
    .with_context("database", pair.live)
    .with_context("staged in", pair.spare.unwrap_or_default())
    .with_hint("find out who uses the databases that were empty, and restore again once they are")
}
