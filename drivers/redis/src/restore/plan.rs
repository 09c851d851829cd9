//! Which databases a restore is of, and where their new keys are made.

use std::collections::BTreeSet;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Cancel, Error, Result, Selection, StageContext, Token};

use super::archived::Archived;
use super::entry::{Entry, Kept, Method, Pair};
use super::line::{Line, select};
use super::neighbours::Neighbour;
use super::permitted;
use super::{Origin, Restore, aside, rename};
use crate::config::{Meant, Setup};
use crate::connect::{Reply, Server, Session};

/// As many places for new keys are noted beyond those that are needed: some may be taken until then.
const SPARE_PLACES: usize = 16;
/// Who does not tell how many databases there are is asked for no more than these.
const MOST_ASKED: u64 = 1024;

impl Restore {
    /// Plans to restore what is archived.
    pub(crate) async fn of_archive(
        setup: &Setup,
        archived: Arc<dyn ArchivedNode>,
        cx: StageContext,
    ) -> Result<Self> {
        let setup = setup.clone();
        aside(move || Self::plan(&setup, archived, cx)).await
    }

    /// Plans to put back what an earlier restore has kept.
    pub(crate) async fn of_kept(setup: &Setup, kept: &Token, cx: StageContext) -> Result<Self> {
        let (setup, kept) = (setup.clone(), Kept::parse(kept)?);
        aside(move || {
            if kept.method != Method::Swap {
                return Err(Error::unsupported("of this node no previous state was kept: its keys were renamed one by one")
                    .with_hint(
                        "name with `--only` the other nodes whose previous state is to be put back, if they may be older than this one",
                    ));
            }
            let server = Server::of(&mut Session::open_for(&setup.target, &cx.cancel)?)?;
            let entry = Entry::of_kept(kept, &cx.run, &server.run_id);
            Ok(Self::new(&setup, entry, Origin::Planned, cx))
        })
        .await
    }

    fn plan(setup: &Setup, node: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Self> {
        let archived = Archived::of(&*node)?;
        let server = Server::of(&mut Session::open_for(&setup.target, &cx.cancel)?)?;
        if server.cluster {
            return Self::plan_cluster(setup, node, cx);
        }
        permitted::check_server(&server, &archived)?;
        let mut line = Line::open(&setup.target, &cx.cancel)?;
        permitted::check_largest(&mut line, &archived)?;
        let places = Places::of(&mut line, setup, &cx.cancel)?;
        let pairs = pairs(setup, &archived, &cx.selection, &places)?;
        let neighbour = neighbour(&cx.run, &server.run_id, &pairs);
        let spares = places.spares(setup, &pairs, neighbour.of_others());
        let method = method(setup, &neighbour, &spares);
        for (at, pair) in pairs.iter().enumerate() {
            match (method, spares.get(at)) {
                (Method::Swap, Some(spare)) => {
                    permitted::check_commands(&mut line, &cx.run, pair.live, *spare)?
                }
                _ => rename::rehearse(&mut line, &cx.run, pair.live)?,
            }
        }
        let mut entry = Entry::new(&cx.run, &server.run_id, method, pairs, spares);
        entry.extras = cx.extras;
        entry.whole = cx.selection.is_whole();
        Ok(Self { archived: Some(node), ..Self::new(setup, entry, Origin::Planned, cx) })
    }
}

/// The node, among others of the run on the same server.
pub(super) fn neighbour(run: &str, server: &str, pairs: &[Pair]) -> Neighbour {
    Neighbour::enter(run, server, pairs.iter().map(|pair| pair.live).collect())
}

/// How new keys become live: at once, if whole databases are meant and there are empty ones that no other node needs.
pub(super) fn method(setup: &Setup, neighbour: &Neighbour, spares: &[u64]) -> Method {
    let filtered = !setup.include.is_empty() || !setup.exclude.is_empty();
    if filtered || !neighbour.can_have(spares) { Method::Rename } else { Method::Swap }
}

/// The databases of a server.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// How many there are.
    count: u64,
    /// Those that hold keys.
    filled: BTreeSet<u64>,
    /// Those of them that hold what restores have made or kept.
    ours: BTreeSet<u64>,
}

impl Places {
    pub(super) fn of(line: &mut Line, setup: &Setup, cancel: &Cancel) -> Result<Self> {
        let count = match permitted::setting(line, "databases")?.and_then(|text| text.parse().ok()) {
            Some(count) => count,
            None => ask_for_count(line, cancel)?,
        };
        let filled: BTreeSet<u64> =
            line.info("keyspace")?.keyspace().into_iter().map(|(index, _)| index).collect();
        let mut ours = BTreeSet::new();
        for index in &filled {
            line.select(*index)?;
            if line.ask(redis::cmd("EXISTS").arg(super::MARK))? == Reply::Integer(1) {
                ours.insert(*index);
            }
        }
        line.select(setup.target.index())?;
        Ok(Self { count, filled, ours })
    }

    /// A cluster has one for us.
    pub(super) fn of_cluster() -> Self {
        Self { count: 1, filled: BTreeSet::from([0]), ours: BTreeSet::new() }
    }

    /// Whether a database holds the mark of a restore.
    pub(super) fn is_marked(&self, index: u64) -> bool {
        self.ours.contains(&index)
    }

    /// Where new keys can be made, those first that applications use least; so many more than are needed.
    pub(super) fn spares(&self, setup: &Setup, pairs: &[Pair], more: usize) -> Vec<u64> {
        let is_meant = |index: &u64| matches!(&setup.databases, Meant::These(list) if list.contains(index));
        let is_live = |index: &u64| pairs.iter().any(|pair| pair.live == *index);
        let free = (0..self.count).rev().filter(|index| !self.filled.contains(index));
        let free = free.filter(|index| !is_meant(index) && !is_live(index) && *index != 0);
        free.take(pairs.len() + more + SPARE_PLACES).collect()
    }
}

fn ask_for_count(line: &mut Line, cancel: &Cancel) -> Result<u64> {
    let mut is_there = |index: u64| -> Result<bool> {
        cancel.check()?;
        Ok(!matches!(line.replies(&[select(index)])?.first(), None | Some(Reply::Error(_))))
    };
    // `there` is, `not` isn't.
    let (mut there, mut not) = (0, 16);
    while not < MOST_ASKED && is_there(not)? {
        (there, not) = (not, not * 2);
    }
    while there + 1 < not {
        let middle = u64::midpoint(there, not);
        if is_there(middle)? { there = middle } else { not = middle }
    }
    Ok(there + 1)
}

/// Which databases of the archive become which of the server.
pub(super) fn pairs(
    setup: &Setup,
    archived: &Archived,
    selection: &Selection,
    places: &Places,
) -> Result<Vec<Pair>> {
    let selected = selected(archived, selection)?;
    let pair = |archived, live| Pair { archived, live, spare: None };
    let mut pairs: Vec<Pair> = match (&setup.databases, archived.databases.as_slice()) {
        (Meant::These(list), [only]) if list.len() == 1 => {
            list.iter().map(|live| pair(Some(*only), *live)).collect()
        }
        _ => selected.iter().map(|index| pair(Some(*index), *index)).collect(),
    };
    if let Some(foreign) = pairs.iter().find(|pair| !setup.databases.has(pair.live)) {
        let whole = selection.is_whole();
        return Err(Error::config("the archive has a database that the node does not name")
            .with_context("database", foreign.live)
            .with_hint(match whole {
                true => "name with `--only NODE:INDEX` those that are meant, or name it in `databases`",
                false => "name it in `databases`",
            }));
    }
    if selection.is_whole() {
        let is_paired = |index: &u64| pairs.iter().any(|pair| pair.live == *index);
        let was_meant = |index: &u64| archived.meant.as_ref().is_none_or(|meant| meant.contains(index));
        // Where it was does not matter if it is mapped.
        let mapped = pairs.iter().any(|pair| pair.archived != Some(pair.live));
        let others: Vec<u64> = match &setup.databases {
            Meant::All => {
                places.filled.difference(&places.ours).filter(|index| was_meant(index)).copied().collect()
            }
            Meant::These(list) if list.len() == 1 && !mapped => list.clone(),
            Meant::These(list) => list.iter().filter(|index| was_meant(index)).copied().collect(),
        };
        let others: Vec<u64> = others.into_iter().filter(|index| !is_paired(index)).collect();
        pairs.extend(others.into_iter().map(|live| pair(None, live)));
    }
    if let Some(pair) = pairs.iter().find(|pair| pair.live >= places.count) {
        return Err(Error::config("the server has no database of that index")
            .with_context("index", pair.live)
            .with_context("databases", places.count)
            .with_hint("raise `databases` in the server's configuration"));
    }
    pairs.sort_unstable_by_key(|pair| pair.live);
    Ok(pairs)
}

/// The databases of the archive that are meant, by index.
fn selected(archived: &Archived, selection: &Selection) -> Result<Vec<u64>> {
    if selection.things.is_empty() {
        return Ok(archived.databases.clone());
    }
    let known = || {
        let names: Vec<String> = archived.databases.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let mut selected = BTreeSet::new();
    for thing in &selection.things {
        let index = thing.parse::<u64>().ok().filter(|index| archived.databases.contains(index));
        selected.insert(index.ok_or_else(|| {
            Error::config(format!("the archive has no database `{}`", thing.escape_debug()))
                .with_context("it has", known())
                .with_hint("name databases by their index: `--only NODE:3`")
        })?);
    }
    Ok(selected.into_iter().collect())
}
