//! The pin: a view of one moment, which all sessions of a dump share.
//!
//! All sessions are opened; a lock keeps everybody from committing anything ([`Gate`]); each session begins its
//! transaction with a snapshot; the lock is let go. It lasts for milliseconds.
//!
//! A snapshot shows rows, but definitions are those of now. So each session reads a row of each table at once: with that
//! it has the table's metadata lock until its transaction ends, and whoever wants to change, empty or drop the table
//! waits. What was changed between the snapshot and that lock, the engine tells (1412), and the pin is made again: a
//! table that was emptied is never read as empty. The list of tables is read before, within and after: if it is another,
//! the pin is made again as well.

use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, CutMode, Error, Facts, Result};
use futures_util::future::try_join_all;

use super::choice::{Choice, Chosen};
use super::gate::{Cut, Gate, Tried};
use super::hold::Hold;
use super::lanes::Lanes;
use super::position::position;
use crate::catalog::{self, Kind, Relation};
use crate::config::{NonTransactional, Setup};
use crate::connect::{Charset, Server, Session, code};
use crate::quote;

/// How often definitions may change while the pin is made.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// How long locks are tried for, if the configuration sets no limit.
const LONGEST: Duration = Duration::from_secs(300);
/// In seconds; a table's metadata lock is not waited for longer at the pin, lest others queue behind us.
const TOUCH: u32 = 2;

/// A view that is held until it is released.
pub(crate) struct Pinned {
    pub(crate) server: Server,
    /// Its name, as the server spells it.
    pub(crate) database: String,
    pub(crate) relations: Vec<Relation>,
    pub(crate) chosen: Chosen,
    pub(crate) facts: Facts,
    pub(crate) lanes: Lanes,
    pub(super) hold: Option<Hold>,
    gate: Option<Gate>,
}

impl Pinned {
    /// Takes it.
    pub(super) async fn take(setup: &Setup, choice: &Choice, mode: CutMode, cancel: &Cancel) -> Result<Self> {
        let mut first = lane(setup, cancel).await?;
        let database = catalog::name_of(&mut first).await?;
        let cut = Cut::best(first.server());
        let until = Instant::now() + setup.lock_timeout.unwrap_or(LONGEST);
        let mut pinning = Pinning {
            setup,
            choice,
            mode,
            cancel,
            database,
            cut,
            until,
            why: None,
            waited: None,
            changes: 0,
            lanes: vec![first],
        };
        loop {
            cancel.check()?;
            if let Some(held) = pinning.attempt().await? {
                return pinning.end(held).await;
            }
            pinning.begin_again().await?;
        }
    }

    /// Lets writers go on.
    pub(super) async fn unlock(&mut self) {
        if let Some(gate) = self.gate.take() {
            let waited = gate.open().await;
            self.facts.insert("writers_waited_ms".to_owned(), waited.as_millis().to_string());
        }
    }

    /// Lets everything go.
    pub(super) async fn release(mut self) {
        self.unlock().await;
        if let Some(hold) = &self.hold {
            hold.release().await;
        }
        self.lanes.close().await;
    }
}

/// A session that is to see what is pinned.
pub(super) async fn lane(setup: &Setup, cancel: &Cancel) -> Result<Session> {
    let mut session = Session::open(setup, "dump, lane").await?;
    session.heed(cancel);
    session.results_in(Charset::AsStored).await?;
    session.run(format!("SET SESSION lock_wait_timeout = {TOUCH}")).await?;
    Ok(session)
}

struct Pinning<'a> {
    setup: &'a Setup,
    choice: &'a Choice,
    mode: CutMode,
    cancel: &'a Cancel,
    database: String,
    cut: Cut,
    until: Instant,
    /// Why the cut is none of the better ones.
    why: Option<String>,
    /// Somebody was in the way of the last attempt.
    waited: Option<Error>,
    /// How often definitions have changed.
    changes: u32,
    lanes: Vec<Session>,
}

struct Held {
    relations: Vec<Relation>,
    chosen: Chosen,
    facts: Facts,
    hold: Option<Hold>,
    gate: Option<Gate>,
}

impl Pinning<'_> {
    /// `None`: a definition changed meanwhile, or there is no right to such a lock and the next is lesser.
    async fn attempt(&mut self) -> Result<Option<Held>> {
        let relations = self.relations().await?;
        let chosen = self.choice.pick(&relations)?;
        refuse_unopened(&relations, &chosen)?;
        let tables = of_rows(&relations, &chosen, |_| true);
        self.open_lanes().await?;
        let to_hold = self.to_hold(&relations, &chosen);
        let hold = match to_hold.is_empty() {
            true => None,
            false => Some(Hold::open(self.setup, self.cancel).await?),
        };
        let Some(mut gate) = self.gate(&of_rows(&relations, &chosen, Relation::is_table)).await? else {
            return Ok(None);
        };
        if let Some(hold) = &hold
            && let Some(error) = hold.lock(&to_hold).await?
        {
            self.waited = Some(error);
            return Ok(None);
        }
        const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        try_join_all(self.lanes.iter_mut().map(|lane| lane.run(BEGIN))).await?;
        // Nobody can change definitions now, if the lock is one of the whole server.
        if !self.are_all(&relations).await? {
            return Ok(None);
        }
        let mut facts = position(self.first()?, gate.as_mut().map(Gate::session)).await?;
        if self.mode == CutMode::Open
            && let Some(gate) = gate.take()
        {
            let waited = gate.open().await;
            facts.insert("writers_waited_ms".to_owned(), waited.as_millis().to_string());
        }
        let touches: Vec<_> = tables.iter().map(|table| touch(table, &relations)).collect();
        let touched = try_join_all(self.lanes.iter_mut().map(|lane| touch_all(lane, &touches))).await?;
        for touched in touched {
            match touched {
                Touched::AsAtTheCut => {}
                Touched::Changed => return Ok(None),
                Touched::Locked(error) => self.waited = Some(error),
            }
        }
        if self.waited.is_some() {
            return Ok(None);
        }
        let now = self.relations().await?;
        let same =
            now.len() == relations.len() && now.iter().zip(&relations).all(|(one, other)| one.is_same(other));
        let all = self.are_all(&now).await?;
        Ok((same && all).then_some(Held { relations: now, chosen, facts, hold, gate }))
    }

    /// Whether there is nothing else: a table whose definition is just being changed, the server may pass over where it
    /// lists what tables are, but not where it lists their names.
    async fn are_all(&mut self, relations: &[Relation]) -> Result<bool> {
        let database = self.database.clone();
        let names = catalog::names(self.first()?, &database).await?;
        Ok(names.iter().eq(relations.iter().map(|relation| &relation.name)))
    }

    async fn relations(&mut self) -> Result<Vec<Relation>> {
        let database = self.database.clone();
        catalog::relations(self.first()?, &database).await
    }

    fn first(&mut self) -> Result<&mut Session> {
        self.lanes.first_mut().ok_or_else(|| Error::defect("a pin has no session"))
    }

    /// All of them, before anybody is kept out. A server that takes no more gets by with fewer.
    async fn open_lanes(&mut self) -> Result<()> {
        let wanted = if self.cut == Cut::SingleConnection { 1 } else { self.setup.connections };
        self.lanes.truncate(wanted);
        while self.lanes.len() < wanted {
            match lane(self.setup, self.cancel).await {
                Ok(session) => self.lanes.push(session),
                Err(error) if matches!(code(&error), Some(1040 | 1203 | 1226)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tables that no snapshot shows as they were.
    fn to_hold(&self, relations: &[Relation], chosen: &Chosen) -> Vec<String> {
        match self.setup.non_transactional {
            NonTransactional::Lock => of_rows(relations, chosen, |table| !table.transactional),
            NonTransactional::Live => Vec::new(),
        }
    }

    /// `None`: there is no right to it. The inner `None`: the cut needs none.
    async fn gate(&mut self, tables: &[String]) -> Result<Option<Option<Gate>>> {
        if self.cut == Cut::SingleConnection {
            return match self.mode {
                CutMode::Open => Ok(Some(None)),
                CutMode::Locked => Err(Error::environment("a locked cut needs a right to lock that the login does not have")
                    .with_hint("grant it `RELOAD`, or `LOCK TABLES` on the database, or set `if_uncertified` to another policy")),
            };
        }
        match Gate::shut(self.setup, self.cancel, self.cut, tables, self.until).await? {
            Tried::Held(gate) => Ok(Some(Some(gate))),
            Tried::Denied(error) => {
                self.why = Some(match code(&error) {
                    Some(code) => format!("{} was denied ({code})", self.cut.name()),
                    None => format!("{} was denied", self.cut.name()),
                });
                self.cut = self.cut.lesser();
                Ok(None)
            }
        }
    }

    /// Lets go what the last attempt has seen, and waits a moment.
    ///
    /// # Errors
    /// If there were enough attempts.
    async fn begin_again(&mut self) -> Result<()> {
        match self.waited.take() {
            Some(error) if Instant::now() >= self.until => {
                return Err(error.with_hint(
                    "somebody holds a table for long: end that session, or raise `lock_timeout`",
                ));
            }
            Some(_) => {}
            None => self.changes += 1,
        }
        if self.changes >= TRIES {
            return Err(Error::environment("definitions change faster than the tables can be read")
                .with_hint("is a migration running? run it again when it has ended"));
        }
        try_join_all(self.lanes.iter_mut().map(|lane| lane.run("ROLLBACK"))).await?;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn end(mut self, held: Held) -> Result<Pinned> {
        // From here on nothing waits for the sessions' locks on tables, but perhaps for those on views of other databases.
        let patience = self.setup.lock_timeout.map_or(u64::from(u16::MAX), |limit| limit.as_secs().max(1));
        let set = format!("SET SESSION lock_wait_timeout = {patience}");
        try_join_all(self.lanes.iter_mut().map(|lane| lane.run(&set))).await?;
        let server = self.first()?.server().clone();
        let mut facts = held.facts;
        facts.insert("cut".to_owned(), self.cut.name().to_owned());
        facts.insert("connections".to_owned(), self.lanes.len().to_string());
        facts.extend(self.why.map(|why| ("cut_reason".to_owned(), why)));
        Ok(Pinned {
            server,
            database: self.database,
            relations: held.relations,
            chosen: held.chosen,
            facts,
            lanes: Lanes::new(self.lanes),
            hold: held.hold,
            gate: held.gate,
        })
    }
}

/// A table that the server can't open would be missing.
fn refuse_unopened(relations: &[Relation], chosen: &Chosen) -> Result<()> {
    let unopened = relations
        .iter()
        .find(|relation| relation.is_table() && relation.engine.is_none() && !chosen.omits(&relation.name));
    match unopened {
        None => Ok(()),
        Some(table) => Err(Error::environment("the server can't open a table")
            .with_context("table", table.name.escape_debug())
            .with_context("why", table.comment.escape_debug())
            .with_hint("repair it, or leave it out with `exclude_tables`")),
    }
}

/// Names of the tables whose rows are dumped, and that are `meant`.
fn of_rows(relations: &[Relation], chosen: &Chosen, meant: impl Fn(&Relation) -> bool) -> Vec<String> {
    relations
        .iter()
        .filter(|table| {
            table.is_table() && !table.is_a_window() && chosen.has_rows_of(&table.name) && meant(table)
        })
        .map(|table| table.name.clone())
        .collect()
}

/// A query of a row, by the table itself: some changes can't be told by way of an index.
fn touch(table: &str, relations: &[Relation]) -> String {
    let versioned = relations.iter().any(|one| one.name == table && one.kind == Kind::Versioned);
    let history = if versioned { " FOR SYSTEM_TIME ALL" } else { "" };
    format!("SELECT 1 FROM {}{history} USE INDEX () LIMIT 1", quote::name(table))
}

/// What a session found when it read of all tables.
enum Touched {
    /// All are as they were at the snapshot, and will stay so.
    AsAtTheCut,
    /// One of them is another than at the snapshot, or gone.
    Changed,
    /// Somebody holds one of them.
    Locked(Error),
}

async fn touch_all(lane: &mut Session, touches: &[String]) -> Result<Touched> {
    for touch in touches {
        let Err(error) = lane.run(touch).await else { continue };
        return match code(&error) {
            Some(1412 | 1146 | 1051) => Ok(Touched::Changed),
            Some(1205 | 1213) => Ok(Touched::Locked(error)),
            Some(1142 | 1143) => Err(error.with_hint(
                "grant the login `SELECT` on all tables of the database, or leave tables out with `exclude_tables`",
            )),
            _ => Err(error),
        };
    }
    Ok(Touched::AsAtTheCut)
}
