//! All that can fail, fails here: keys are counted, extras are seen to, and functions are tried.

use dumprestore_driver::{Error, Extras, LedgerEntry, Result};

use super::archived::Archived;
use super::entry::{Method, Pair, Step};
use super::functions::{self, Policy};
use super::line::{Count, Line, select};
use super::lines::Lines;
use super::mark::{Fields, MARK, Mark, Standing};
use super::noted::Noted;
use super::place::spare_of;
use super::{Made, Restore};

impl Restore {
    pub(super) fn prepare(&mut self) -> Result<()> {
        let mut lines = self.lines()?;
        if self.entry.method == Method::Swap {
            let line = lines.first()?;
            for (pair, standing) in self.standings(line)? {
                if !matches!(standing, Standing::Staged(_)) {
                    return Err(self.gone(&pair));
                }
            }
        }
        self.refuse_evicted_by_all(&mut lines)?;
        if self.archived.is_some() {
            let loaded = self.loaded();
            for pair in &self.entry.pairs {
                let made = loaded.counts.get(&pair.live).copied().unwrap_or_default();
                match self.entry.method {
                    Method::Swap => verify(lines.first()?, pair, made)?,
                    Method::Rename => self.verify_renamed(lines.first()?, pair, made)?,
                    Method::Cluster => self.verify_cluster(&mut lines, made)?,
                }
                self.cancel.check()?;
                lines.all().try_for_each(|line| self.see_to_extras(line, pair))?;
            }
            if loaded.expired > 0 {
                let why =
                    format!("{} had expired by the time of the restore, and are left out", loaded.expired);
                self.tell(LedgerEntry::note("keys", why));
            }
        }
        if self.loaded().left_out > 0 {
            let why = format!(
                "{} of the archive are left out, as `include` and `exclude` say",
                self.loaded().left_out
            );
            self.tell(LedgerEntry::note("keys", why));
        }
        self.prepare_functions(&mut lines)?;
        self.refuse_evicted_by_all(&mut lines)?;
        match self.entry.method {
            Method::Cluster => {
                let counts = self.loaded().counts;
                let made = self.entry.pairs.first().and_then(|pair| counts.get(&pair.live)).copied();
                self.set_cluster_ready(&mut lines, made.unwrap_or_default())?
            }
            _ => {
                for pair in &self.entry.pairs {
                    self.set_ready(lines.first()?, pair)?;
                }
            }
        }
        self.entry.step = Step::Prepared;
        Ok(())
    }

    /// Says that all is there. A server that has forgotten some of it has forgotten this as well.
    fn set_ready(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        let (fields, index) = (self.fields(pair), self.place(pair)?.index);
        let made = self.loaded().counts.get(&pair.live).copied().unwrap_or_default();
        let fading = made.fading.max(Count::fading(&line.info("keyspace")?, index));
        let cmds = [select(index), Fields::put(&fields.fading(), fading), fields.set(Mark::Ready)];
        line.transact_all(&cmds).map(drop)
    }

    /// Finds the functions that belong to the new keys, tries them, and puts them beside the new keys: there they are found
    /// after a crash as well.
    fn prepare_functions(&self, lines: &mut Lines) -> Result<()> {
        let Some(first) = self.entry.pairs.first() else { return Ok(()) };
        let Some(new) = self.new_functions(lines.first()?, first)? else { return Ok(()) };
        let mut are_others = false;
        for line in lines.all() {
            are_others |= self.takes_functions(line, &new)?;
        }
        if are_others {
            let line = lines.of(MARK.as_bytes())?;
            line.select(self.place(first)?.index)?;
            line.ask(&Fields::put(&self.fields(first).functions(), new))?;
        }
        Ok(())
    }

    /// Whether a server has others than these, and takes these.
    fn takes_functions(&self, line: &mut Line, new: &[u8]) -> Result<bool> {
        let policy = self.policy();
        let own = functions::of_server(line)?;
        match own {
            Some(own) if own == new || functions::is_empty(new) && policy == Policy::Replace => {
                return Ok(false);
            }
            None if functions::is_empty(new) => return Ok(false),
            Some(own) if self.entry.extras == Extras::Fail && !functions::is_empty(&own) => {
                return Err(Error::environment("the server has functions that are not those of the archive")
                    .with_hint("restore with `--extras keep` or `--extras remove`"));
            }
            None => {
                return Err(Error::unsupported(
                    "the archive has functions, which the server does not know, or the login may not load",
                )
                .with_hint("restore into Redis 7.0 or newer, grant `FUNCTION`, or set `functions: false`"));
            }
            Some(_) => {}
        }
        functions::rehearse(line, new, policy)?;
        Ok(true)
    }

    /// `None`: those of the server stay as they are.
    fn new_functions(&self, line: &mut Line, first: &Pair) -> Result<Option<Vec<u8>>> {
        match (&self.archived, self.kept_by()) {
            (Some(node), _)
                if self.setup.functions && self.entry.whole && Archived::has_functions(&**node) =>
            {
                let version = Archived::version(&**node)?;
                functions::payload(&self.loaded().functions, version).map(Some)
            }
            (None, Some(run)) => {
                line.select(spare_of(first)?)?;
                Fields::get(line, &Fields::of(run, first.live).functions())
            }
            _ => Ok(None),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        match (self.entry.extras, self.kept_by()) {
            (Extras::Keep, None) => Policy::Replace,
            _ => Policy::Flush,
        }
    }
}

/// Counts the keys that were made, and refuses if there are more or less.
fn verify(line: &mut Line, pair: &Pair, made: Made) -> Result<()> {
    let spare = spare_of(pair)?;
    let count = line.count(spare)?;
    // The mark is one of them.
    let there = Count { lasting: count.lasting.saturating_sub(1), ..count };
    match (Noted { count: made.count, fading: made.fading }).fits(there) {
        true => Ok(()),
        false => {
            Err(Error::environment("the database in which new keys were made has not as many as were made")
                .with_context("database", spare)
                .with_context("made", made.count.all())
                .with_context("there are", count.all().saturating_sub(1))
                .with_hint(
                    "somebody else writes there, or the server evicts keys: see its `maxmemory-policy`",
                ))
        }
    }
}

/// Whether a database holds more than what is ours.
pub(super) fn holds_more(count: Count, ours: Count) -> bool {
    count.lasting > ours.lasting + 1 || count.expiring > ours.expiring
}
