//! The swap itself: one transaction.

use dumprestore_driver::{Error, Result};
use redis::Cmd;

use super::super::begin::expect;
use super::super::entry::{Pair, Step};
use super::super::functions;
use super::super::line::{Count, Executed, Line, bytes, not_understood, select};
use super::super::mark::{Fields, Mark, Standing};
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
            if let Err(error) = self.swap(&mut line) {
                // The answer may have got lost.
                let swapped = self.steadfast_line().and_then(|mut line| self.is_swapped(&mut line));
                if !matches!(swapped, Ok(true)) || crate::connect::code(&error).is_some() {
                    return Err(error);
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
        for (pair, standing) in &standings {
            expect(*standing, pair, |standing| matches!(standing, Standing::Staged(_)))?;
        }
        Ok(false)
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

    fn swap(&self, line: &mut Line) -> Result<()> {
        let Some(first) = self.entry.pairs.first() else { return Ok(()) };
        line.select(spare_of(first)?)?;
        let new = Fields::get(line, &self.fields(first).functions())?;
        let own = match &new {
            Some(_) => functions::of_server(line)?,
            None => None,
        };
        let spares = self.entry.pairs.iter().map(spare_of).collect::<Result<Vec<u64>>>()?;
        watch(line, spares)?;
        // Nothing may have changed between a look and the watch.
        self.is_swapped(line)?;
        let mut keyspace = redis::cmd("INFO");
        keyspace.arg("keyspace");
        let mut cmds = vec![keyspace];
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
        self.note(line, &cmds, replies, own.as_deref())
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
    fn note(&self, line: &mut Line, cmds: &[Cmd], replies: Vec<Reply>, own: Option<&[u8]>) -> Result<()> {
        let mut accepted = Vec::with_capacity(replies.len());
        for (reply, cmd) in replies.into_iter().zip(cmds) {
            accepted.push(line.accept(reply, cmd)?);
        }
        let mut accepted = accepted.into_iter();
        let text = accepted.next().and_then(bytes).ok_or_else(not_understood)?;
        let keyspace = Info::parse(&String::from_utf8_lossy(&text));
        let found = own.is_some().then(|| accepted.next().and_then(bytes)).flatten();
        for pair in &self.entry.pairs {
            let Count { lasting, expiring } = Count::of(&keyspace, pair.live);
            let fields = self.fields(pair);
            let mut cmds = vec![
                select(spare_of(pair)?),
                Fields::put(&fields.lasting(), lasting),
                Fields::put(&fields.expiring(), expiring),
            ];
            if let Some(found) = found.as_deref().filter(|found| Some(*found) != own) {
                cmds.push(Fields::put(&fields.functions(), found));
            }
            line.ask_all(&cmds)?;
        }
        Ok(())
    }
}
