//! Keys are made in the live database under other names, and renamed: where there is no empty database, or only some keys of one are
//! meant. Each key changes at once, and one after the other.
//!
//! The mark of the live database says how far it is: `loading`, `ready`, then `moving` while keys go that the archive does not have, `renaming`
//! while new ones take the place of old ones, and `new`. An old key stands under another name meanwhile, and where there was none, a
//! key says so: from these names alone it is undone.

mod back;
mod forth;

use dumprestore_driver::{Error, OldState, Result};
use redis::Cmd;

use super::Restore;
use super::entry::{Kept, Pair, Step};
use super::extras::{SomeExpire, command, count_lasting, each_step};
use super::line::{Count, Line, select};
use super::lines::Lines;
use super::mark::{Fields, MARK, Mark};
use super::place::{Names, pattern, under};
use crate::connect::Reply;

/// As many keys as one script moves.
const BATCH: usize = 200;

/// Nobody else's commands come between those of a script.
pub(super) struct Script(&'static str);

/// `KEYS`: live name, new name, old name, name of what was made; of each key.
///
/// What there was may expire under its old name, or all fields of a hash: that something was made is said in that case as well.
pub(super) const EXCHANGE: Script = Script(
    "for i = 1, #KEYS, 4 do if redis.call('EXISTS', KEYS[i+1]) == 1 then \
     if redis.call('PTTL', KEYS[i]) ~= -1 or redis.call('TYPE', KEYS[i]).ok == 'hash' then redis.call('SET', KEYS[i+3], '') end \
     if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], KEYS[i+2]) end \
     redis.call('RENAME', KEYS[i+1], KEYS[i]) end end return 1",
);
/// What is live and has no new name goes aside.
pub(super) const ASIDE: Script = Script(
    "for i = 1, #KEYS, 4 do if redis.call('EXISTS', KEYS[i+1]) == 0 and redis.call('EXISTS', KEYS[i]) == 1 then \
     redis.call('RENAME', KEYS[i], KEYS[i+2]) end end return 1",
);
/// The old one is live again.
pub(super) const PUT_BACK: Script = Script(
    "for i = 1, #KEYS, 4 do if redis.call('EXISTS', KEYS[i+2]) == 1 then redis.call('UNLINK', KEYS[i]) \
     redis.call('RENAME', KEYS[i+2], KEYS[i]) end end return 1",
);
/// There was none, or it has expired since.
pub(super) const TAKE_AWAY: Script = Script(
    "for i = 1, #KEYS, 4 do if redis.call('EXISTS', KEYS[i+3]) == 1 then redis.call('UNLINK', KEYS[i], KEYS[i+3]) end end return 1",
);

impl Script {
    /// On these keys; in a cluster, under names that are in their slots.
    pub(super) fn on<'k>(
        &self,
        names: &Names,
        tagged: bool,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
    ) -> Cmd {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(self.0).arg(keys.len() * 4);
        for key in keys {
            cmd.arg(key);
            for before in [&names.new, &names.old, &names.made] {
                cmd.arg(under(before, key, tagged));
            }
        }
        cmd
    }
}

impl Restore {
    /// Marks the live databases: from here on there may be keys of ours in them.
    pub(super) fn begin_rename(&mut self) -> Result<()> {
        let mut line = self.line()?;
        for pair in &self.entry.pairs {
            let fields = self.fields(pair);
            line.ask_all(&[
                select(pair.live),
                Fields::put(&fields.lasting(), 0),
                Fields::put(&fields.expiring(), 0),
                fields.set(Mark::Loading),
            ])?;
            super::mark::refuse_others(&mut line, pair.live, &fields)?;
        }
        self.entry.step = Step::Begun;
        Ok(())
    }

    /// Counts the keys that were made, and refuses if there are less. While a server grows its tables, it may name some twice.
    pub(super) fn verify_renamed(&self, line: &mut Line, pair: &Pair, made: super::Made) -> Result<()> {
        let count = self.count_new(line, pair, made.count)?;
        match count >= made.count.lasting.saturating_sub(made.fading) {
            true => Ok(()),
            false => Err(Error::environment("not as many new keys are there as were made")
                .with_context("database", pair.live)
                .with_context("made", made.count.lasting)
                .with_context("there are", count)
                .with_hint("the server evicts keys, or somebody deletes them: see its `maxmemory-policy`")),
        }
    }

    /// Those that don't expire.
    fn count_new(&self, line: &mut Line, pair: &Pair, made: Count) -> Result<u64> {
        let new = pattern(&Names::of(&self.entry.run).new);
        count_lasting(line, pair.live, &new, SomeExpire::of(made), &self.cancel)
    }

    pub(super) fn finish_rename(&self, old: OldState) -> Result<Option<Kept>> {
        let mut line = self.steadfast_line()?;
        let names = Names::of(&self.entry.run);
        for pair in &self.entry.pairs {
            match self.renamed(&mut line, pair)? {
                None => continue,
                Some(Mark::New) => {}
                Some(_) => return Err(Error::defect("a restore is finished that was not committed")),
            }
            if old == OldState::Keep {
                self.tell(dumprestore_driver::LedgerEntry::degrading(
                    format!("database {}", pair.live),
                    "its old keys are not kept: they were renamed one by one, for want of an empty database",
                ));
            }
            for before in [&names.old, &names.made] {
                unlink(&mut line, pair.live, before)?;
            }
            line.ask_all(&[select(pair.live), self.fields(pair).remove()])?;
        }
        self.tell_behind(&mut line)?;
        self.outlive(&mut Lines::single(line))?;
        // It holds nothing, and says so when it is to be put back: other nodes' would not fit what is live here.
        Ok((old == OldState::Keep).then(|| self.entry.kept(Vec::new())))
    }

    /// How far it is.
    fn renamed(&self, line: &mut Line, pair: &Pair) -> Result<Option<Mark>> {
        line.select(pair.live)?;
        let text = Fields::get(line, self.fields(pair).mark())?;
        text.map(|text| Mark::parse(&text).ok_or_else(super::line::not_understood)).transpose()
    }
}

/// Removes all keys whose names begin so.
fn unlink(line: &mut Line, index: u64, before: &str) -> Result<()> {
    until_none(line, index, before, |line, keys| {
        let mut cmd = redis::cmd("UNLINK");
        for key in keys {
            cmd.arg([before.as_bytes(), key].concat());
        }
        line.ask(&cmd).map(drop)
    })
}

/// Goes through the keys whose names begin so, without what they begin with, until there are none.
fn until_none(
    line: &mut Line,
    index: u64,
    before: &str,
    mut work: impl FnMut(&mut Line, &[&[u8]]) -> Result<()>,
) -> Result<()> {
    loop {
        let mut found = false;
        each_step(line, index, &pattern(before), |line, keys| {
            found = true;
            line.select(index)?;
            let keys: Vec<&[u8]> = keys.iter().filter_map(|key| key.get(before.len()..)).collect();
            keys.chunks(BATCH).try_for_each(|keys| work(line, keys))
        })?;
        if !found {
            return Ok(());
        }
    }
}

/// What a server must let a rename do, found out without doing it.
pub(super) fn rehearse(line: &mut Line, run: &str, live: u64) -> Result<()> {
    let fields = Fields::of(run, live);
    let key: &[u8] = b"a key";
    let mut scan = redis::cmd("SCAN");
    scan.arg(0);
    let mut rename = redis::cmd("RENAME");
    rename.arg(key).arg(key);
    let mut unlink = redis::cmd("UNLINK");
    unlink.arg(key);
    let mut restore = redis::cmd("RESTORE");
    restore.arg(key).arg(0).arg("a value").arg("ABSTTL");
    let mut count = redis::cmd("HINCRBY");
    count.arg(MARK).arg(fields.lasting()).arg(1);
    let mut set = redis::cmd("SET");
    set.arg(key).arg("");
    line.rehearse(&[
        select(live),
        set,
        command("PTTL", key),
        command("TYPE", key),
        command("EXISTS", key),
        command("HGET", key).arg("a field").clone(),
        command("HGETALL", key),
        redis::cmd("INFO").arg("keyspace").clone(),
        fields.set(Mark::Loading),
        count,
        fields.remove(),
        restore,
        scan,
        rename,
        unlink,
        EXCHANGE.on(&Names::of(run), false, [key].into_iter()),
    ])
}

/// Whether a script was executed.
pub(super) fn done(reply: &Reply) -> Result<()> {
    match reply {
        Reply::Integer(1) => Ok(()),
        _ => Err(super::line::not_understood()),
    }
}
