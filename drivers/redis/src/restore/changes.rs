//! What a restore would change, counted without changing it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Cancel, Changes, Extras, Result, StageContext};

use super::archived::{Archived, read_on};
use super::aside;
use super::cluster;
use super::entry::{Method, Pair};
use super::extras::{command, each_step};
use super::lifetime::{Fate, Lifetime};
use super::line::Line;
use super::lines::Lines;
use super::permitted;
use super::plan::{self, Places};
use super::room::Room;
use crate::config::Setup;
use crate::connect::{Reply, Server, Session};
use crate::rdb::{Item, Reader, weight};

/// Up to so many keys, each is looked for at the target; beyond it only if their names matter.
const COMPARED: u64 = 200_000;
/// As many live keys are looked for in the archive, to name those that it lacks.
const CANDIDATES: usize = 1000;

/// Counts.
pub(crate) async fn changes(
    setup: &Setup,
    node: Arc<dyn ArchivedNode>,
    cx: &StageContext,
) -> Result<Changes> {
    let (setup, cx) = (setup.clone(), cx.clone());
    aside(move || Counting::begin(&setup, &*node, &cx)?.count(&*node, &cx)).await
}

/// What is compared.
struct Counting {
    setup: Setup,
    method: Method,
    lines: Lines,
    archived: Archived,
    pairs: Vec<Pair>,
    /// Keys that each live database has.
    live: BTreeMap<u64, u64>,
    lifetime: Lifetime,
    cancel: Cancel,
    /// Of a cluster, each primary has its own.
    room: Option<Room>,
    /// Whether the server, or each of them, writes down each change as it is made.
    keeps_log: bool,
    /// What the new keys take in the server's memory, in bytes. Counted only if that has a limit.
    needs: u64,
}

/// Keys of one database.
#[derive(Default)]
struct Tally {
    archived: u64,
    expired: u64,
    common: u64,
}

fn counted(keys: u64) -> String {
    match keys {
        0 => "empty".to_owned(),
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    }
}

/// How many keys are meant, of those that there are.
fn count_meant(line: &mut Line, setup: &Setup, live: u64) -> Result<u64> {
    let mut count = 0;
    each_step(line, live, b"*", |_, keys| {
        count += keys.iter().filter(|key| setup.has_key(key)).count() as u64;
        Ok(())
    })?;
    Ok(count)
}

impl Counting {
    fn begin(setup: &Setup, node: &dyn ArchivedNode, cx: &StageContext) -> Result<Self> {
        let archived = Archived::of(node)?;
        let server = Server::of(&mut Session::open_for(&setup.target, &cx.cancel)?)?;
        let (mut lines, places) = match server.cluster {
            true => {
                let lines = Lines::of_cluster(&setup.target, &cx.cancel)?;
                cluster::check_servers(&lines, &archived, cx)?;
                (lines, Places::of_cluster())
            }
            false => {
                permitted::check_server(&server, &archived)?;
                let mut line = Line::open(&setup.target, &cx.cancel)?;
                let places = Places::of(&mut line, setup, &cx.cancel)?;
                (Lines::single(line), places)
            }
        };
        let pairs = plan::pairs(setup, &archived, &cx.selection, &places)?;
        let method = match server.cluster {
            true => Method::Cluster,
            false => plan::method(setup, &pairs, &places.spares(setup, &pairs)),
        };
        let mut live = BTreeMap::new();
        for pair in &pairs {
            let marked = u64::from(places.is_marked(pair.live));
            let mut keys = 0;
            for line in lines.all() {
                keys += match setup.include.is_empty() && setup.exclude.is_empty() {
                    true => line.count(pair.live)?.all().saturating_sub(marked),
                    false => count_meant(line, setup, pair.live)?,
                };
            }
            live.insert(pair.live, keys);
        }
        let lifetime = Lifetime::begin(lines.first()?, setup.expiry, archived.cut)?;
        let room = if server.cluster { None } else { Some(Room::ask(lines.first()?)?) };
        let mut keeps_log = true;
        for line in lines.all() {
            keeps_log &= line.info("persistence")?.get("aof_enabled") == Some("1");
        }
        Ok(Self {
            lines,
            setup: setup.clone(),
            method,
            archived,
            pairs,
            live,
            lifetime,
            cancel: cx.cancel.clone(),
            room,
            keeps_log,
            needs: 0,
        })
    }

    fn count(mut self, node: &dyn ArchivedNode, cx: &StageContext) -> Result<Changes> {
        let mut changes = Changes::of("keys");
        let filtered = !self.setup.include.is_empty() || !self.setup.exclude.is_empty();
        let exact =
            filtered || cx.extras != Extras::Remove || self.archived.keys.is_none_or(|keys| keys <= COMPARED);
        match exact {
            true => self.compare(node, &mut changes)?,
            false => {
                self.estimate(&mut changes);
                if self.left().is_some() {
                    self.weigh(node)?;
                }
            }
        }
        self.notes(cx, &mut changes);
        if let Some(left) = self.left() {
            changes.needs_bytes = Some(self.needs);
            changes.free_bytes = Some(left);
        }
        Ok(changes)
    }

    /// Looks for each key of the archive at the target.
    fn compare(&mut self, node: &dyn ArchivedNode, changes: &mut Changes) -> Result<()> {
        let mut candidates = self.candidates()?;
        let mut tallies: BTreeMap<u64, Tally> = BTreeMap::new();
        for part in node.parts() {
            let mut reader = Reader::begin(node.read(&part.name)?)?;
            let mut asked: Vec<(u64, Vec<u8>)> = Vec::new();
            while let Some(item) = reader.next()? {
                let Item::Key(entry) = item else { continue };
                let Some(live) = self.live_of(entry.database) else { continue };
                if !self.setup.has_key(&entry.key) {
                    continue;
                }
                let tally = tallies.entry(live).or_default();
                match self.lifetime.of(&entry) {
                    Fate::Expired => tally.expired += 1,
                    _ => {
                        tally.archived += 1;
                        if self.left().is_some() {
                            self.needs += weight::of_key(&entry.key) + reader.weigh_value()?;
                        }
                        candidates.remove(&(live, entry.key.clone()));
                        asked.push((live, entry.key));
                    }
                }
                if asked.len() >= 1000 {
                    self.ask(&mut asked, &mut tallies)?;
                }
            }
            self.ask(&mut asked, &mut tallies)?;
            read_on(reader)?;
        }
        let mut expired = 0;
        for (live, keys) in &self.live {
            let tally = tallies.remove(live).unwrap_or_default();
            changes.create += tally.archived - tally.common;
            changes.replace += tally.common;
            changes.remove += keys.saturating_sub(tally.common);
            expired += tally.expired;
        }
        let mut names: Vec<String> =
            candidates.into_iter().map(|(live, key)| format!("{live}/{}", key.escape_ascii())).collect();
        names.sort_unstable();
        // Names are given of what goes, and some may have gone by themselves.
        names.truncate(Changes::MOST_NAMED.min(usize::try_from(changes.remove).unwrap_or(usize::MAX)));
        changes.removes = names;
        if expired > 0 {
            changes.notes.push(format!("{expired} keys of the archive have expired, and are left out"));
        }
        Ok(())
    }

    /// Reads on, for what the keys take alone.
    fn weigh(&mut self, node: &dyn ArchivedNode) -> Result<()> {
        for part in node.parts() {
            let mut reader = Reader::begin(node.read(&part.name)?)?;
            let mut keys = 0u64;
            while let Some(item) = reader.next()? {
                let Item::Key(entry) = item else { continue };
                keys += 1;
                if keys.is_multiple_of(1000) {
                    self.cancel.check()?;
                }
                if self.live_of(entry.database).is_some() && self.setup.has_key(&entry.key) {
                    self.needs += weight::of_key(&entry.key) + reader.weigh_value()?;
                }
            }
            read_on(reader)?;
        }
        Ok(())
    }

    /// Bytes that the server may still take, if that is limited.
    fn left(&self) -> Option<u64> {
        self.room.and_then(|room| room.left())
    }

    fn live_of(&self, archived: u64) -> Option<u64> {
        self.pairs.iter().find(|pair| pair.archived == Some(archived)).map(|pair| pair.live)
    }

    /// Some live keys.
    fn candidates(&mut self) -> Result<HashSet<(u64, Vec<u8>)>> {
        let mut candidates = HashSet::new();
        let setup = &self.setup;
        let places = self.pairs.iter().flat_map(|pair| (0..self.lines.len()).map(|line| (pair.live, line)));
        let places: Vec<(u64, usize)> = places.collect();
        for (live, line) in places {
            // Enough of them is no failure.
            let mut enough = false;
            let gathered = each_step(self.lines.at(line)?, live, b"*", |_, keys| {
                let meant = keys.iter().filter(|key| setup.has_key(key));
                candidates.extend(meant.map(|key| (live, key.clone())));
                enough = candidates.len() >= CANDIDATES;
                if enough { Err(dumprestore_driver::Error::cancelled()) } else { Ok(()) }
            });
            match gathered {
                Err(_) if enough && !self.cancel.is_cancelled() => break,
                result => result?,
            }
        }
        Ok(candidates)
    }

    fn ask(&mut self, asked: &mut Vec<(u64, Vec<u8>)>, tallies: &mut BTreeMap<u64, Tally>) -> Result<()> {
        self.cancel.check()?;
        for keys in asked.chunk_by(|one, other| one.0 == other.0) {
            let Some((live, _)) = keys.first() else { continue };
            self.lines.all().try_for_each(|line| line.select(*live))?;
            let exist: Vec<(&[u8], redis::Cmd)> =
                keys.iter().map(|(_, key)| (key.as_slice(), command("EXISTS", key))).collect();
            let there = self.lines.ask_all(&exist)?;
            let common = there.iter().filter(|there| **there == Reply::Integer(1)).count() as u64;
            tallies.entry(*live).or_default().common += common;
        }
        asked.clear();
        Ok(())
    }

    /// Numbers alone.
    fn estimate(&self, changes: &mut Changes) {
        let (archived, live) = (self.archived.keys.unwrap_or(0), self.live.values().sum::<u64>());
        changes.create = archived.saturating_sub(live);
        changes.replace = archived.min(live);
        changes.remove = live.saturating_sub(archived);
        changes.notes.push("so many keys are counted, and not compared".to_owned());
    }

    fn notes(&self, cx: &StageContext, changes: &mut Changes) {
        for pair in &self.pairs {
            let keys = self.live.get(&pair.live).copied().unwrap_or(0);
            changes.notes.push(match pair.archived {
                Some(archived) if archived == pair.live => {
                    format!(
                        "database {archived} ({}) is replaced by what the archive has of it",
                        counted(keys)
                    )
                }
                Some(archived) => {
                    format!(
                        "database {} ({}) is replaced by database {archived} of the archive",
                        pair.live,
                        counted(keys)
                    )
                }
                None => {
                    format!(
                        "database {} ({}) is emptied: the archive has no key of it",
                        pair.live,
                        counted(keys)
                    )
                }
            });
        }
        if self.method == Method::Cluster {
            changes.notes.push(format!(
                "keys are made at the {} primaries of the cluster under other names, and renamed one after the other: an application \
                 sees old and new keys for a moment, and no old state is kept; a failover or a slot that moves meanwhile ends the restore",
                self.lines.len()
            ));
        }
        if self.method == Method::Rename {
            changes.notes.push(
                "keys are made in the live database under other names, and renamed one after the other: there is no empty database, or \
                 patterns leave keys out; an application sees old and new keys for a moment, and no old state is kept, not with `--reversible` either"
                    .to_owned(),
            );
        }
        if !self.keeps_log {
            changes.notes.push(
                "the server writes no log (`appendonly`): if it is killed before its next save, the old keys are back, and nothing tells \
                 so; have it save right after the restore: `BGSAVE`"
                    .to_owned(),
            );
        }
        if cx.extras == Extras::Keep && self.method == Method::Swap {
            changes.notes.push(
                "keys that the archive does not have are copied before the swap: what is written to them between is lost".to_owned(),
            );
        }
    }
}
