//! What a restore would change, counted without changing it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Cancel, Changes, Extras, Result, StageContext};

use super::archived::{Archived, read_on};
use super::aside;
use super::cluster;
use super::durable::Keeps;
use super::entry::{Method, Pair};
use super::extras::each_step;
use super::lifetime::{Fate, Lifetime};
use super::line::Line;
use super::lines::Lines;
use super::neighbours::Neighbour;
use super::permitted;
use super::plan::{self, Places};
use super::room::Needs;
use crate::config::Setup;
use crate::connect::{Server, Session};
use crate::rdb::{Item, Reader, weight};

/// Up to so many keys, each is looked for at the target; beyond it only if their names matter.
const COMPARED: u64 = 200_000;
/// As many are looked for at once.
const ASKED: usize = 1000;
/// As many live keys are looked for in the archive, to name those that it lacks.
const CANDIDATES: usize = 1000;

/// Counts. What comes with it keeps for the node what it was told that it has.
pub(crate) async fn changes(
    setup: &Setup,
    node: Arc<dyn ArchivedNode>,
    cx: &StageContext,
) -> Result<(Changes, Neighbour)> {
    let (setup, cx) = (setup.clone(), cx.clone());
    aside(move || {
        let (counting, neighbour) = Counting::begin(&setup, &*node, &cx)?;
        Ok((counting.count(&*node, &cx)?, neighbour))
    })
    .await
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
    /// What each server has after a crash.
    keeps: Vec<Keeps>,
    /// What the new keys take in memory. Counted only if that has a limit.
    needs: Needs,
}

/// Keys of one database.
#[derive(Default)]
struct Tally {
    archived: u64,
    expired: u64,
    common: u64,
}

/// Keys that the archive has, by a number of each: to find out of a few which it lacks.
#[derive(Default)]
struct Named {
    state: RandomState,
    numbers: HashSet<u64>,
    count: u64,
}

impl Named {
    fn add(&mut self, live: u64, key: &[u8]) {
        self.count += 1;
        if self.is_whole() {
            self.numbers.insert(self.state.hash_one((live, key)));
        }
    }

    /// Whether all are in it: of too many it is not to be known.
    fn is_whole(&self) -> bool {
        self.count <= COMPARED
    }

    fn lacks(&self, live: u64, key: &[u8]) -> bool {
        self.is_whole() && !self.numbers.contains(&self.state.hash_one((live, key)))
    }
}

fn counted(keys: u64) -> String {
    match keys {
        0 => "empty".to_owned(),
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    }
}

/// What becomes of a restore if the server is killed right after it.
fn outlives(keeps: &[Keeps]) -> Option<&'static str> {
    let some = |what: Keeps| keeps.contains(&what);
    match () {
        () if some(Keeps::Nothing) => Some(
            "the server keeps nothing on disk (`save`, `appendonly`): what is restored is gone with its process, as all else",
        ),
        () if some(Keeps::Unknown) => Some(
            "whether the server saves its data is not to be known: if it is killed before its next save, the old keys may be back; have \
             it save right after the restore: `BGSAVE`",
        ),
        () if some(Keeps::Saves) => Some(
            "the server writes no log (`appendonly`): at the end it is told to save its data, and waited for (`BGSAVE`)",
        ),
        () => None,
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
    fn begin(setup: &Setup, node: &dyn ArchivedNode, cx: &StageContext) -> Result<(Self, Neighbour)> {
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
        let neighbour = plan::neighbour(&cx.run, &server.run_id, &pairs);
        let method = match server.cluster {
            true => Method::Cluster,
            false => plan::method(setup, &neighbour, &places.spares(setup, &pairs, neighbour.of_others())),
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
        let needs = Needs::ask(&mut lines)?;
        let mut keeps = Vec::new();
        for line in lines.all() {
            keeps.push(Keeps::of(line)?);
        }
        let counting = Self {
            lines,
            setup: setup.clone(),
            method,
            archived,
            pairs,
            live,
            lifetime,
            cancel: cx.cancel.clone(),
            keeps,
            needs,
        };
        Ok((counting, neighbour))
    }

    fn count(mut self, node: &dyn ArchivedNode, cx: &StageContext) -> Result<Changes> {
        let mut changes = Changes::of("keys");
        let filtered = !self.setup.include.is_empty() || !self.setup.exclude.is_empty();
        let exact =
            filtered || cx.extras != Extras::Remove || self.archived.keys.is_none_or(|keys| keys <= COMPARED);
        match self.all_new(filtered) {
            Some(keys) => changes.create = keys,
            None if exact => self.compare(node, &mut changes)?,
            None => {
                self.estimate(&mut changes);
                if self.needs.are_limited() {
                    self.weigh(node)?;
                }
            }
        }
        self.notes(cx, &mut changes);
        if let Some((takes, left)) = self.needs.tightest() {
            changes.needs_bytes = Some(takes);
            changes.free_bytes = Some(left);
        }
        Ok(changes)
    }

    /// How many keys are made, where that is known without reading them: nothing is live, none is left out or weighed,
    /// and none has expired.
    fn all_new(&self, filtered: bool) -> Option<u64> {
        let is_read = filtered || self.needs.are_limited() || self.live.values().any(|keys| *keys > 0);
        if is_read || self.lifetime.has_passed(self.archived.first_expiry?) {
            return None;
        }
        let archived = self.pairs.iter().filter_map(|pair| pair.archived);
        archived.map(|database| self.archived.keys_of.get(&database).copied()).sum()
    }

    /// Looks for each key of the archive at the target.
    fn compare(&mut self, node: &dyn ArchivedNode, changes: &mut Changes) -> Result<()> {
        let mut candidates = self.candidates()?;
        let mut named = Named::default();
        let mut tallies: BTreeMap<u64, Tally> = BTreeMap::new();
        // Where nothing is live, there is nothing to look for.
        let filled: Vec<u64> =
            self.live.iter().filter(|(_, keys)| **keys > 0).map(|(live, _)| *live).collect();
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
                        if self.needs.are_limited() {
                            self.weigh_key(&entry.key, &mut reader)?;
                        }
                        if filled.contains(&live) {
                            named.add(live, &entry.key);
                            let key = (live, entry.key);
                            candidates.remove(&key);
                            asked.push(key);
                        }
                    }
                }
                if asked.len() >= ASKED {
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
        let most = Changes::MOST_NAMED.min(usize::try_from(changes.remove).unwrap_or(usize::MAX));
        if candidates.len() < most {
            candidates.extend(self.others(&named, most)?);
        }
        let mut names: Vec<String> =
            candidates.into_iter().map(|(live, key)| format!("{live}/{}", key.escape_ascii())).collect();
        names.sort_unstable();
        // Names are given of what goes, and some may have gone by themselves.
        names.truncate(most);
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
                    self.weigh_key(&entry.key, &mut reader)?;
                }
            }
            read_on(reader)?;
        }
        Ok(())
    }

    fn weigh_key<R: Read>(&mut self, key: &[u8], reader: &mut Reader<R>) -> Result<()> {
        let bytes = weight::of_key(key).saturating_add(reader.weigh_value()?);
        self.needs.add(self.lines.index_of(key), bytes);
        Ok(())
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

    /// Live keys that are none of these, up to so many.
    fn others(&mut self, named: &Named, most: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let (mut others, mut seen) = (Vec::new(), 0u64);
        let lives: Vec<u64> = self.pairs.iter().map(|pair| pair.live).collect();
        let (setup, cancel) = (&self.setup, &self.cancel);
        let lines = 0..self.lines.len();
        for (live, line) in lives.iter().flat_map(|live| lines.clone().map(move |line| (*live, line))) {
            let mut enough = false;
            let looked = each_step(self.lines.at(line)?, live, b"*", |_, keys| {
                cancel.check()?;
                seen += keys.len() as u64;
                let are = keys.iter().filter(|key| setup.has_key(key) && named.lacks(live, key));
                others.extend(are.map(|key| (live, key.clone())));
                enough = others.len() >= most || seen > COMPARED || !named.is_whole();
                if enough { Err(dumprestore_driver::Error::cancelled()) } else { Ok(()) }
            });
            match looked {
                Err(_) if enough => break,
                result => result?,
            }
        }
        Ok(others)
    }

    fn ask(&mut self, asked: &mut Vec<(u64, Vec<u8>)>, tallies: &mut BTreeMap<u64, Tally>) -> Result<()> {
        self.cancel.check()?;
        for keys in asked.chunk_by(|one, other| one.0 == other.0) {
            let Some((live, _)) = keys.first() else { continue };
            let keys = keys.iter().map(|(_, key)| key.as_slice());
            let common = self.lines.count_existing(*live, keys)?;
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
                Some(archived) if archived == pair.live && keys == 0 => {
                    format!("database {archived}, which is empty, gets what the archive has of it")
                }
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
        changes.notes.extend(outlives(&self.keeps).map(str::to_owned));
        if cx.extras == Extras::Keep && self.method == Method::Swap {
            changes.notes.push(
                "keys that the archive does not have are copied before the swap: what is written to them between is lost".to_owned(),
            );
        }
    }
}
