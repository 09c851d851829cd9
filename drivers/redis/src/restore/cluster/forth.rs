//! New keys take the place of old ones, at each primary.

use dumprestore_driver::{Error, Extras, Result};

use super::super::entry::Step;
use super::super::extras::{command, each_step};
use super::super::functions;
use super::super::line::{Line, select};
use super::super::lines::Lines;
use super::super::mark::{Fields, MARK, Mark};
use super::super::place::{Names, OURS};
use super::super::rename::{ASIDE, EXCHANGE};
use super::super::{Origin, Restore};
use super::{ONLY, functions_at, gone, on_slots, until_none, wait_for_replicas};
use crate::connect::Reply;

impl Restore {
    pub(in super::super) fn commit_cluster(&mut self) -> Result<()> {
        let mut lines = self.steadfast_lines()?;
        match (self.cluster_mark(&mut lines)?, self.origin) {
            (Some(Mark::New), _) => {}
            (Some(mark), _) => {
                self.expect_same(&mut lines)?;
                self.rename_cluster(&mut lines, mark)?;
            }
            // Finished, unless a primary has forgotten it.
            (None, Origin::Resumed) => self.expect_same(&mut lines).map_err(|error| {
                Error::stuck("the cluster knows nothing of this restore, and is not the one that it was")
                    .with_source(error)
            })?,
            (None, Origin::Planned) => return Err(gone()),
        }
        self.entry.step = Step::Committed;
        Ok(())
    }

    fn rename_cluster(&self, lines: &mut Lines, mut mark: Mark) -> Result<()> {
        let names = Names::of(&self.entry.run);
        if mark == Mark::Loading {
            return Err(gone());
        }
        if mark == Mark::Ready {
            self.cancel.check()?;
            self.expect_whole_cluster(lines)?;
            self.exchange_all_functions(lines)?;
            mark = self.set_mark(lines, Mark::Moving)?;
        }
        if mark == Mark::Moving {
            if self.entry.extras == Extras::Remove {
                for line in lines.all() {
                    self.put_aside_of(line, &names)?;
                }
            }
            mark = self.set_mark(lines, Mark::Renaming)?;
        }
        if mark == Mark::Renaming {
            until_none(lines, &names.new, |line, keys| on_slots(line, &EXCHANGE, &names, keys))?;
            wait_for_replicas(lines)?;
            self.set_mark(lines, Mark::New)?;
        }
        Ok(())
    }

    fn set_mark(&self, lines: &mut Lines, mark: Mark) -> Result<Mark> {
        lines.of(MARK.as_bytes())?.ask_all(&[select(ONLY), self.only_fields().set(mark)])?;
        Ok(mark)
    }

    /// At each primary, with those that it had put beside them. Twice is once.
    fn exchange_all_functions(&self, lines: &mut Lines) -> Result<()> {
        let line = lines.of(MARK.as_bytes())?;
        line.select(ONLY)?;
        let Some(new) = Fields::get(line, &self.only_fields().functions())? else { return Ok(()) };
        for (first, line) in lines.with_slots() {
            let key = functions_at(&self.entry.run, first);
            if line.ask(&command("EXISTS", key.as_bytes()))? == Reply::Integer(1) {
                continue;
            }
            let own = functions::of_server(line)?.unwrap_or_default();
            let mut keep = redis::cmd("SET");
            keep.arg(&key).arg(own);
            line.transact_all(&[keep, functions::restore(&new, self.policy())])?;
        }
        Ok(())
    }

    /// What is live and not in the archive, and meant.
    fn put_aside_of(&self, line: &mut Line, names: &Names) -> Result<()> {
        each_step(line, ONLY, b"*", |line, keys| {
            let meant = |key: &&[u8]| !key.starts_with(OURS.as_bytes()) && self.setup.has_key(key);
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).filter(meant).collect();
            on_slots(line, &ASIDE, names, &keys)
        })
    }
}
