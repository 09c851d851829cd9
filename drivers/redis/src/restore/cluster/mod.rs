//! Keys are made in a cluster under other names of the same slots, and renamed: each primary has those that are in its slots, and no
//! command reaches two of them.
//!
//! It is the method *rename*, with scripts for each slot. One mark says how far it is, at the primary that has its slot. What a primary
//! loses, or a failover takes back, the mark may not tell: so undoing it looks at names alone, and a commit begins only if all primaries
//! are those that the keys were staged at.

mod back;
mod forth;
mod load;
mod plan;

use std::collections::BTreeMap;

use dumprestore_driver::{Error, OldState, Result};

use super::entry::{Kept, Method, Step};
use super::extras::{SomeExpire, count_lasting, each_step};
use super::line::{Line, select};
use super::lines::Lines;
use super::mark::{Fields, MARK, Mark};
use super::noted::Noted;
use super::place::{Names, OURS, TAGGED, pattern};
use super::rename::{EXCHANGE, Script, done};
use super::{Made, Restore, followers};
use crate::connect::{slot, tag};

pub(super) use plan::check_servers;

/// A cluster has one database for us.
pub(super) const ONLY: u64 = 0;

impl Restore {
    /// Connections to all that have keys, for work that ends when the run is to stop.
    pub(super) fn lines(&self) -> Result<Lines> {
        match self.entry.method {
            Method::Cluster => Lines::of_cluster(&self.setup.target, &self.cancel),
            _ => Ok(Lines::single(self.line()?)),
        }
    }

    /// The same for work that must be done whatever the user wishes.
    fn steadfast_lines(&self) -> Result<Lines> {
        Lines::of_cluster(&self.setup.target, &dumprestore_driver::Cancel::default())
    }

    fn only_fields(&self) -> Fields {
        Fields::of(&self.entry.run, ONLY)
    }

    /// Marks the cluster: from here on there may be keys of ours in it.
    pub(super) fn begin_cluster(&mut self) -> Result<()> {
        let mut lines = self.lines()?;
        self.entry.server = identity(&mut lines)?;
        let fields = self.only_fields();
        let line = lines.of(MARK.as_bytes())?;
        // Of two that begin at once, at least one finds the other.
        line.ask_all(&[select(ONLY), fields.set(Mark::Loading)])?;
        super::mark::refuse_others(line, ONLY, &fields)?;
        self.entry.step = Step::Begun;
        Ok(())
    }

    /// Counts the keys that were made, and refuses if there are less.
    pub(super) fn verify_cluster(&self, lines: &mut Lines, made: Made) -> Result<()> {
        self.expect_count(lines, Noted { count: made.count, fading: made.fading })
    }

    fn expect_count(&self, lines: &mut Lines, noted: Noted) -> Result<()> {
        let (new, some_expire) = (pattern(&Names::of(&self.entry.run).new), SomeExpire::of(noted.count));
        let mut count = 0;
        for line in lines.all() {
            count += count_lasting(line, ONLY, &new, some_expire, &self.cancel)?;
        }
        match count >= noted.count.lasting.saturating_sub(noted.fading) {
            true => Ok(()),
            false => Err(Error::environment("not as many new keys are there as were made")
                .with_context("made", noted.count.lasting)
                .with_context("there are", count)
                .with_hint(
                    "a primary evicts keys, or was replaced, or somebody deletes them: see the `maxmemory-policy` and the \
                     logs of the cluster",
                )),
        }
    }

    /// Says that all is there, and how many that are.
    pub(super) fn set_cluster_ready(&self, lines: &mut Lines, made: Made) -> Result<()> {
        self.expect_same(lines)?;
        let line = lines.of(MARK.as_bytes())?;
        let fields = self.only_fields();
        let cmds = [
            select(ONLY),
            Fields::put(&fields.lasting(), made.count.lasting),
            Fields::put(&fields.expiring(), made.count.expiring),
            Fields::put(&fields.fading(), made.fading),
            fields.set(Mark::Ready),
        ];
        line.transact_all(&cmds).map(drop)
    }

    /// Before the first key is renamed: all are there that were made, and nothing had to go for them.
    fn expect_whole_cluster(&self, lines: &mut Lines) -> Result<()> {
        self.refuse_evicted_by_all(lines)?;
        let line = lines.of(MARK.as_bytes())?;
        line.select(ONLY)?;
        let noted = Noted::of(line, &self.only_fields())?.ok_or_else(gone)?;
        self.expect_count(lines, noted)
    }

    /// Refuses if the primaries are not those at which the keys were staged.
    fn expect_same(&self, lines: &mut Lines) -> Result<()> {
        match identity(lines)? == self.entry.server {
            true => Ok(()),
            false => Err(Error::environment(
                "the cluster has changed since the keys were staged: a primary was replaced or started again, or slots moved",
            )
            .with_hint("roll back, and restore again")),
        }
    }

    pub(super) fn finish_cluster(&self, old: OldState) -> Result<Option<Kept>> {
        let mut lines = self.steadfast_lines()?;
        match self.cluster_mark(&mut lines)? {
            None => return Ok(None),
            Some(Mark::New) => {}
            Some(_) => return Err(Error::defect("a restore is finished that was not committed")),
        }
        if old == OldState::Keep {
            self.tell(dumprestore_driver::LedgerEntry::degrading(
                "cluster",
                "its old keys are not kept: they were renamed one by one, as a cluster has no second database",
            ));
        }
        let names = Names::of(&self.entry.run);
        // A failover may have taken the last of it back.
        until_none(&mut lines, &names.new, |line, keys| on_slots(line, &EXCHANGE, &names, keys))?;
        for before in [names.old, names.made, functions_before(&self.entry.run)] {
            unlink(&mut lines, &before)?;
        }
        let line = lines.of(MARK.as_bytes())?;
        line.ask_all(&[select(ONLY), self.only_fields().remove()])?;
        lines.all().try_for_each(|line| self.tell_behind(line))?;
        self.outlive(&mut lines)?;
        // It holds nothing, and says so when it is to be put back: other nodes' would not fit what is live here.
        Ok((old == OldState::Keep).then(|| self.entry.kept(Vec::new())))
    }

    /// How far it is.
    fn cluster_mark(&self, lines: &mut Lines) -> Result<Option<Mark>> {
        let line = lines.of(MARK.as_bytes())?;
        line.select(ONLY)?;
        let text = Fields::get(line, self.only_fields().mark())?;
        text.map(|text| Mark::parse(&text).ok_or_else(super::line::not_understood)).transpose()
    }
}

/// Waits until the replicas of each primary have what was written there by these connections: a failover is not to take it back.
fn wait_for_replicas(lines: &mut Lines) -> Result<()> {
    for line in lines.all() {
        if let Some(behind) = followers::behind(line)? {
            return Err(behind.error());
        }
    }
    Ok(())
}

fn gone() -> Error {
    Error::environment("the cluster knows nothing of the keys that were staged any more")
        .with_hint("the primary that had the mark of the restore was emptied or replaced: restore again")
}

/// Which primaries, and which starts of them, have which slots.
fn identity(lines: &mut Lines) -> Result<String> {
    let mut parts = vec![lines.cluster().map(crate::connect::Cluster::name).unwrap_or_default()];
    for line in lines.all() {
        parts.push(line.info("server")?.get("run_id").unwrap_or_default().to_owned());
    }
    Ok(parts.join(" "))
}

/// What stands before the names of keys that hold functions which a primary had before.
fn functions_before(run: &str) -> String {
    format!("{OURS}{run}:functions:")
}

/// Where the functions are kept that the primary of that slot had before.
fn functions_at(run: &str, first: u16) -> String {
    format!("{}{{{}}}", functions_before(run), tag(first))
}

/// Has a script work on these keys, slot by slot.
fn on_slots(line: &mut Line, script: &Script, names: &Names, keys: &[&[u8]]) -> Result<()> {
    let mut slots: BTreeMap<u16, Vec<&[u8]>> = BTreeMap::new();
    for key in keys {
        slots.entry(slot(key)).or_default().push(key);
    }
    let cmds: Vec<redis::Cmd> =
        slots.values().map(|keys| script.on(names, true, keys.iter().copied())).collect();
    line.ask_all(&cmds)?.iter().try_for_each(done)
}

/// Goes through the keys whose names begin so, at each primary, without what they begin with, until there are none.
fn until_none(
    lines: &mut Lines,
    before: &str,
    mut work: impl FnMut(&mut Line, &[&[u8]]) -> Result<()>,
) -> Result<()> {
    loop {
        let mut found = false;
        for line in lines.all() {
            each_step(line, ONLY, &pattern(before), |line, keys| {
                found = true;
                let keys: Vec<&[u8]> =
                    keys.iter().filter_map(|key| key.get(before.len() + TAGGED..)).collect();
                work(line, &keys)
            })?;
        }
        if !found {
            return Ok(());
        }
    }
}

/// Removes all keys whose names begin so.
fn unlink(lines: &mut Lines, before: &str) -> Result<()> {
    loop {
        let mut found = false;
        for line in lines.all() {
            each_step(line, ONLY, &pattern(before), |line, keys| {
                found = true;
                let cmds: Vec<redis::Cmd> =
                    keys.iter().map(|key| super::extras::command("UNLINK", key)).collect();
                line.ask_all(&cmds).map(drop)
            })?;
        }
        if !found {
            return Ok(());
        }
    }
}
