//! Indexes, constraints, triggers, rules: made when the rows are in, on several sessions at once. Indexes of large tables
//! begin while others are still loaded.

use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};

use super::effort;
use super::items::{self, Policies};
use super::lanes::Lanes;
use super::refresh;
use super::schedule::Schedule;
use crate::archived::{Contents, Item, Section};
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// The schedule keeps definitions apart that could wait for each other. What it can't know, such as a function that an
/// index calls and that reads another table, is tried again.
const TRIES: usize = 5;

/// What is gathered in so much stays in a processor's cache.
const LESS_MEMORY: &str = "SELECT pg_catalog.set_config(name, '32MB', false) FROM pg_catalog.pg_settings \
    WHERE name = 'maintenance_work_mem' AND setting::bigint > 32768";

/// Everything that comes after the rows, but what comes last: made in the background, some of it while rows are still
/// loaded.
pub(crate) struct PostData {
    /// Tells of tables whose rows are in, until all are.
    loaded: Option<UnboundedSender<usize>>,
    making: Mutex<Making>,
}

/// What is made in the background.
enum Making {
    /// One task, which is stopped if this is dropped.
    UnderWay(JoinSet<Result<()>>),
    Made,
    /// Why has been told.
    Failed,
}

impl Making {
    /// The task has ended, so.
    fn end(&mut self, ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
        let made = ended
            .unwrap_or_else(|error| Err(Error::defect("the `postgres` driver panicked").with_source(error)));
        *self = if made.is_ok() { Self::Made } else { Self::Failed };
        made
    }
}

/// Several load at once, and only one of them is told why: so this gives way to any other error.
fn failed() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "an index, or whatever else comes after the rows, could not be made: that was told already",
    )
}

impl PostData {
    pub(crate) fn begin(
        lanes: Arc<Lanes>,
        at_once: usize,
        contents: Arc<Contents>,
        policies: Policies,
    ) -> Self {
        let (loaded, told) = unbounded_channel();
        let mut making = JoinSet::new();
        making.spawn(async move { make(&lanes, at_once, &contents, policies, told).await });
        Self { loaded: Some(loaded), making: Mutex::new(Making::UnderWay(making)) }
    }

    /// Fails if something of it has: the rows that are still to come would be loaded for nothing.
    pub(crate) fn check(&self) -> Result<()> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *making {
            Making::UnderWay(tasks) => match tasks.try_join_next() {
                Some(ended) => making.end(ended),
                None => Ok(()),
            },
            Making::Made => Ok(()),
            Making::Failed => Err(failed()),
        }
    }

    /// All rows of the table at this place are in.
    pub(crate) fn loaded(&self, table: usize) {
        // If nobody hears it, the next check tells why.
        let _heard = self.loaded.as_ref().map(|loaded| loaded.send(table));
    }

    /// All rows are in. Waits until everything is made.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.loaded = None;
        let making = self.making.get_mut().unwrap_or_else(PoisonError::into_inner);
        match making {
            Making::UnderWay(tasks) => match tasks.join_next().await {
                Some(ended) => making.end(ended),
                None => Err(failed()),
            },
            Making::Made => Ok(()),
            Making::Failed => Err(failed()),
        }
    }

    /// Stops, and waits until no session is in use any more.
    pub(crate) async fn stop(&mut self) {
        if let Making::UnderWay(tasks) = self.making.get_mut().unwrap_or_else(PoisonError::into_inner) {
            tasks.shutdown().await;
        }
    }
}

async fn make(
    lanes: &Lanes,
    at_once: usize,
    contents: &Contents,
    policies: Policies,
    mut told: UnboundedReceiver<usize>,
) -> Result<()> {
    let after: Vec<&Item> = contents
        .items
        .iter()
        .filter(|item| item.section == Section::PostData && policies.want(item))
        .collect();
    let path = refresh::search_path(&contents.database);
    let mut schedule = Schedule::new(&after, &contents.items, &contents.tables);
    let mut under_way = FuturesUnordered::new();
    // While rows are loaded the server has enough to do.
    let mut most = 1;
    loop {
        while under_way.len() < most
            && let Some(at) = schedule.next()
        {
            let bytes = schedule.bytes(at);
            under_way.push(make_on_lane(lanes, at, after[at], bytes, policies, &path));
        }
        let is_loading = most < at_once;
        tokio::select! {
            Some(made) = under_way.next() => schedule.done(made?),
            loaded = told.recv(), if is_loading => match loaded {
                Some(table) => schedule.loaded(table),
                None => {
                    schedule.all_loaded();
                    most = at_once;
                }
            },
            else => return Ok(()),
        }
    }
}

/// Makes one item on a session that nobody else uses meanwhile, and gives its place back. A session on which it failed
/// is not used again.
async fn make_on_lane(
    lanes: &Lanes,
    at: usize,
    item: &Item,
    bytes: u64,
    policies: Policies,
    path: &str,
) -> Result<usize> {
    let lane = lanes.take().await?;
    let failed = |error| lane.fault(error, "can't set a session up");
    let with_less_memory = effort::is_quicker_with_less_memory(item, bytes);
    if with_less_memory {
        lane.batch_execute(LESS_MEMORY).await.map_err(failed)?;
    }
    make_one(&lane, item, policies, path).await?;
    if with_less_memory {
        lane.batch_execute("RESET maintenance_work_mem").await.map_err(failed)?;
    }
    lanes.give_back(lane);
    Ok(at)
}

/// What calls a function that finds things by the application's search path is tried again with that.
async fn make_one(lane: &Connection, item: &Item, policies: Policies, path: &str) -> Result<()> {
    let mut tries = 1;
    loop {
        match items::make_one(lane, item, policies).await {
            Err(error) if sqlstate(&error) == Some("40P01") && tries < TRIES => tries += 1,
            Err(error) if refresh::is_not_found(&error) => {
                let failed = |error| lane.fault(error, "can't set a session up");
                lane.batch_execute(&format!("SET {path}")).await.map_err(failed)?;
                let done = items::make_one(lane, item, policies).await;
                lane.batch_execute("SET search_path = ''").await.map_err(failed)?;
                return done;
            }
            done => return done,
        }
    }
}

/// Gathers statistics of all tables, some at once, large ones first.
pub(crate) async fn analyze(lanes: &Lanes, at_once: usize) -> Result<Vec<Error>> {
    // Tables of extensions are dumped with them, and others' tables of the system are not ours to look at.
    let asked = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' \
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
        AND NOT (c.relkind = 'm' AND NOT c.relispopulated) \
        ORDER BY c.relpages DESC, c.oid";
    let lane = lanes.take().await?;
    let tables = lane.query(asked, &[]).await.map_err(|error| lane.fault(error, "can't list tables"))?;
    lanes.give_back(lane);
    let tables = tables.iter().map(|row| quote::qualified(row.get(0), row.get(1))).collect::<Vec<_>>();
    let queue = Mutex::new(tables.into_iter());
    let mut workers: FuturesUnordered<_> = (0..at_once).map(|_| analyze_from(lanes, &queue)).collect();
    let mut failed = Vec::new();
    while let Some(worked) = workers.next().await {
        failed.extend(worked?);
    }
    Ok(failed)
}

/// Takes one table after the other. Statistics are not data, and the server gathers them again: what fails is told. A
/// session that is gone ends it: there is more wrong than statistics.
async fn analyze_from(lanes: &Lanes, queue: &Mutex<std::vec::IntoIter<String>>) -> Result<Vec<Error>> {
    let lane = lanes.take().await?;
    let mut failed = Vec::new();
    loop {
        let Some(table) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() else { break };
        match lane.batch_execute(&format!("ANALYZE {table}")).await {
            Err(error) if lane.is_closed() => return Err(lane.fault(error, "can't gather statistics")),
            Err(error) => {
                failed.push(lane.fault(error, "can't gather statistics").with_context("table", table));
            }
            Ok(()) => {}
        }
    }
    lanes.give_back(lane);
    Ok(failed)
}
