//! The end of a restore: the old keys go, or are kept.

use dumprestore_driver::{Cancel, Error, LedgerEntry, OldState, Result};

use super::super::Restore;
use super::super::entry::{Kept, Pair};
use super::super::line::{Line, select};
use super::super::lines::Lines;
use super::super::mark::{Fields, Mark, Standing, standing};
use super::{Emptied, empty};
use crate::config::Setup;

impl Restore {
    pub(in super::super) fn finish(&self, old: OldState) -> Result<Option<Kept>> {
        let mut line = self.steadfast_line()?;
        let mut kept = Vec::new();
        for (pair, standing) in self.standings(&mut line)? {
            match (standing, old) {
                (
                    Standing::Committed(spare) | Standing::Overtaken(spare) | Standing::Kept(spare),
                    OldState::Keep,
                ) => {
                    line.ask_all(&[select(spare), self.fields(&pair).set(Mark::Kept)])?;
                    kept.push(Pair { spare: Some(spare), ..pair });
                }
                (Standing::Committed(spare) | Standing::Overtaken(spare), OldState::Drop) => {
                    self.drop_old(&mut line, &pair, spare, Mark::Old)?
                }
                (Standing::Kept(spare), OldState::Drop) => {
                    self.drop_old(&mut line, &pair, spare, Mark::Kept)?
                }
                (Standing::Lost | Standing::Absent, OldState::Keep) => self.tell(LedgerEntry::degrading(
                    format!("database {}", pair.live),
                    "its old keys are not kept: somebody has removed them from where they were",
                )),
                (Standing::Lost | Standing::Absent, OldState::Drop) => {}
                (Standing::Begun | Standing::Claimed(_) | Standing::Staged(_) | Standing::Ready(_), _) => {
                    return Err(Error::defect("a restore is finished that was not committed"));
                }
            }
            self.unmark(&mut line, &pair)?;
        }
        self.tell_behind(&mut line)?;
        self.outlive(&mut Lines::single(line))?;
        Ok((!kept.is_empty()).then(|| self.entry.kept(kept)))
    }

    fn drop_old(&self, line: &mut Line, pair: &Pair, spare: u64, mark: Mark) -> Result<()> {
        let fields = self.fields(pair);
        if empty(line, spare, &fields, mark)? == Emptied::Shared {
            line.ask_all(&[select(spare), fields.remove()])?;
            self.tell(LedgerEntry::note(
                format!("database {spare}"),
                format!(
                    "holds what database {} held before, still: somebody else has written there since, so it was not emptied",
                    pair.live
                ),
            ));
        }
        Ok(())
    }

    /// From here on nothing tells the live database from any other.
    fn unmark(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        let mut cmds = vec![select(pair.live), self.fields(pair).remove()];
        cmds.extend(self.kept_by().map(|run| Fields::of(run, pair.live).remove()));
        line.ask_all(&cmds).map(drop)
    }
}

/// Empties the databases in which an earlier restore has kept the old keys.
pub(in super::super) fn discard(setup: &Setup, kept: &Kept) -> Result<()> {
    let mut line = Line::open(&setup.target, &Cancel::default())?;
    for pair in &kept.pairs {
        let fields = Fields::of(&kept.run, pair.live);
        let candidates: Vec<u64> = pair.spare.into_iter().collect();
        let Standing::Kept(spare) = standing(&mut line, &fields, pair.live, &candidates)? else { continue };
        if empty(&mut line, spare, &fields, Mark::Kept)? == Emptied::Shared {
            return Err(Error::environment(
                "the database in which old keys were kept holds somebody else's, too: it is left as it is",
            )
            .with_context("database", spare)
            .with_hint("save the keys in it that are yours, and empty it with `FLUSHDB`"));
        }
    }
    Ok(())
}
