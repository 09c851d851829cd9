//! Old keys are live again.

use dumprestore_driver::Result;

use super::super::Restore;
use super::super::entry::Pair;
use super::super::functions::{self, Policy};
use super::super::line::{Line, select};
use super::super::mark::{Fields, Mark};
use super::super::place::Names;
use super::{PUT_BACK, TAKE_AWAY, done, unlink, until_none};

impl Restore {
    pub(in super::super) fn rollback_rename(&self) -> Result<()> {
        let mut line = self.steadfast_line()?;
        let mut failed = None;
        for pair in &self.entry.pairs {
            if let Err(error) = self.put_back(&mut line, pair) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn put_back(&self, line: &mut Line, pair: &Pair) -> Result<()> {
        let Some(mark) = self.renamed(line, pair)? else { return Ok(()) };
        let (names, fields, live) = (Names::of(&self.entry.run), self.fields(pair), pair.live);
        if !matches!(mark, Mark::Loading | Mark::Ready) {
            if let Some(own) = Fields::get(line, &fields.old_functions())? {
                line.ask(&functions::restore(&own, Policy::Flush))?;
            }
            until_none(line, live, &names.made, |line, keys| {
                done(&line.ask(&TAKE_AWAY.on(&names, false, keys.iter().copied()))?)
            })?;
            until_none(line, live, &names.old, |line, keys| {
                done(&line.ask(&PUT_BACK.on(&names, false, keys.iter().copied()))?)
            })?;
        }
        unlink(line, live, &names.new)?;
        line.ask_all(&[select(live), fields.remove()]).map(drop)
    }
}
