//! Old keys are live again, told from names alone.

use dumprestore_driver::Result;

use super::super::Restore;
use super::super::extras::each_step;
use super::super::functions::{self, Policy};
use super::super::line::{bytes, select};
use super::super::lines::Lines;
use super::super::mark::MARK;
use super::super::place::{Names, pattern};
use super::super::rename::{PUT_BACK, TAKE_AWAY};
use super::{ONLY, functions_before, on_slots, unlink, until_none, wait_for_replicas};

impl Restore {
    pub(in super::super) fn rollback_cluster(&self) -> Result<()> {
        let mut lines = self.steadfast_lines()?;
        let names = Names::of(&self.entry.run);
        self.put_functions_back(&mut lines)?;
        until_none(&mut lines, &names.made, |line, keys| on_slots(line, &TAKE_AWAY, &names, keys))?;
        until_none(&mut lines, &names.old, |line, keys| on_slots(line, &PUT_BACK, &names, keys))?;
        unlink(&mut lines, &names.new)?;
        // Once the mark and the journal are gone, nobody would undo again what a failover brings back.
        wait_for_replicas(&mut lines)?;
        let line = lines.of(MARK.as_bytes())?;
        line.ask_all(&[select(ONLY), self.only_fields().remove()]).map(drop)
    }

    fn put_functions_back(&self, lines: &mut Lines) -> Result<()> {
        for line in lines.all() {
            each_step(line, ONLY, &pattern(&functions_before(&self.entry.run)), |line, keys| {
                for key in keys {
                    let Some(own) = bytes(line.ask(redis::cmd("GET").arg(key))?) else { continue };
                    line.transact_all(&[
                        functions::restore(&own, Policy::Flush),
                        super::super::extras::command("UNLINK", key),
                    ])?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
