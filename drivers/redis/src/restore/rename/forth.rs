//! New keys take the place of old ones.

use dumprestore_driver::{Extras, Result};

use super::super::entry::{Pair, Step};
use super::super::extras::each_step;
use super::super::functions;
use super::super::line::{Line, select};
use super::super::mark::{Fields, Mark};
use super::super::noted::Noted;
use super::super::place::{Names, OURS};
use super::super::{Origin, Restore};
use super::{ASIDE, BATCH, EXCHANGE, done, until_none};

impl Restore {
    pub(in super::super) fn commit_rename(&mut self) -> Result<()> {
        let mut line = self.steadfast_line()?;
        let mut marks = Vec::new();
        for pair in self.entry.pairs.clone() {
            marks.push((pair, self.renamed(&mut line, &pair)?));
        }
        let is_over = |mark: &Option<Mark>| matches!(mark, None | Some(Mark::New));
        match self.origin {
            Origin::Resumed if marks.iter().all(|(_, mark)| mark.is_none()) => self.is_over()?,
            Origin::Resumed if marks.iter().all(|(_, mark)| is_over(mark)) => {}
            _ => {
                // Before the first key is renamed: all are there, of all databases, and nothing had to go for them.
                self.refuse_evicted(&mut line)?;
                for (pair, mark) in &marks {
                    self.expect_whole(&mut line, pair, *mark)?;
                }
                for (pair, mark) in &marks {
                    match mark {
                        Some(mark) => self.rename(&mut line, pair, *mark)?,
                        None => return Err(self.gone(pair)),
                    }
                }
            }
        }
        self.entry.step = Step::Committed;
        Ok(())
    }

    /// Refuses what was not loaded whole, or is not whole any more.
    fn expect_whole(&self, line: &mut Line, pair: &Pair, mark: Option<Mark>) -> Result<()> {
        match mark {
            Some(Mark::Moving | Mark::Renaming | Mark::New) => Ok(()),
            Some(Mark::Ready) => {
                line.select(pair.live)?;
                let noted = Noted::of(line, &self.fields(pair))?.ok_or_else(|| self.gone(pair))?;
                match self.count_new(line, pair, noted.count)?
                    >= noted.count.lasting.saturating_sub(noted.fading)
                {
                    true => Ok(()),
                    false => Err(self.gone(pair)),
                }
            }
            _ => Err(self.gone(pair)),
        }
    }

    fn rename(&self, line: &mut Line, pair: &Pair, mut mark: Mark) -> Result<()> {
        let fields = self.fields(pair);
        let live = pair.live;
        if mark == Mark::Ready {
            self.cancel.check()?;
            self.exchange_functions(line, &fields, live)?;
            mark = Mark::Moving;
        }
        if mark == Mark::Moving {
            if self.entry.extras == Extras::Remove {
                self.put_aside(line, live)?;
            }
            line.ask_all(&[select(live), fields.set(Mark::Renaming)])?;
            mark = Mark::Renaming;
        }
        if mark == Mark::Renaming {
            let names = Names::of(&self.entry.run);
            until_none(line, live, &names.new, |line, keys| {
                done(&line.ask(&EXCHANGE.on(&names, false, keys.iter().copied()))?)
            })?;
            line.ask_all(&[select(live), fields.set(Mark::New)])?;
        }
        Ok(())
    }

    /// From here on it is not staged any more.
    fn exchange_functions(&self, line: &mut Line, fields: &Fields, live: u64) -> Result<()> {
        line.select(live)?;
        let mut cmds = vec![fields.set(Mark::Moving)];
        if let Some(new) = Fields::get(line, &fields.functions())? {
            let own = functions::of_server(line)?.unwrap_or_default();
            cmds.push(Fields::put(&fields.old_functions(), own));
            cmds.push(functions::restore(&new, self.policy()));
        }
        line.transact_all(&cmds).map(drop)
    }

    /// What is live and not in the archive, and meant.
    fn put_aside(&self, line: &mut Line, live: u64) -> Result<()> {
        let names = Names::of(&self.entry.run);
        each_step(line, live, b"*", |line, keys| {
            line.select(live)?;
            let meant = |key: &&[u8]| !key.starts_with(OURS.as_bytes()) && self.setup.has_key(key);
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).filter(meant).collect();
            keys.chunks(BATCH)
                .try_for_each(|keys| done(&line.ask(&ASIDE.on(&names, false, keys.iter().copied()))?))
        })
    }
}
