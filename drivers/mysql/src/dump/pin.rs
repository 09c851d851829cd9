//! The pin: a view of one moment, which all sessions of a dump share.
//!
//! All sessions are opened; a lock keeps everybody from committing anything ([`Gate`]); each session begins its
//! transaction with a snapshot; the lock is let go. It lasts for milliseconds.
//!
//! A snapshot shows rows, but definitions are those of now. So each table is touched at once, before the lock is let go: with
//! that a session has the table's metadata lock until its transaction ends, and whoever wants to change, empty or drop the
//! table waits. Between the snapshot and that lock nobody may change one: an engine tells only some of that (1412), and a
//! partition that is dropped just leaves its rows out. Where no lock keeps others from it, another session has touched all
//! tables before. If the list of tables is another after all that, the pin is made again.
//!
//! To touch a table is to read none of its rows: a first one may be far, behind millions that are deleted. All of them are
//! touched once before, so that what is slow or held by somebody shows while nobody waits for us.

use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, CutMode, Error, Facts, Result};
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use super::choice::{Choice, Chosen, of_rows, unopened};
use super::gate::{Cut, Gate, Tried};
use super::hold::Hold;
use super::identity::Identity;
use super::lanes::Lanes;
use super::position::position;
use super::touch::{TOUCHED_BY_ALL, hasty, late, touch, touch_by_all};
use crate::archived::Trigger;
use crate::catalog::{self, Relation};
use crate::config::{NonTransactional, Setup};
use crate::connect::{Charset, Server, Session, code};

/// How often definitions may change while the pin is made.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// The same, if somebody was in the way.
const LONGER_PAUSE: Duration = Duration::from_secs(1);
/// How long locks are tried for, if the configuration sets no limit.
const LONGEST: Duration = Duration::from_secs(31_536_000);
/// For longer no table is without a definition, but for what a server that crashes leaves.
const A_WHILE: Duration = Duration::from_millis(100);
/// To touch all tables under the lock may take so many times as long as it took before, and that much more. Then writers go
/// on, and it is tried again.
const TIMES: u32 = 3;
const MORE: Duration = Duration::from_millis(200);

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
    /// Of all tables, if they are wanted.
    pub(super) triggers: Vec<Trigger>,
    gate: Option<Gate>,
    /// One that sees what is there now, for what is not shown in a transaction that only reads.
    apart: Mutex<Option<Session>>,
}

impl Pinned {
    /// Takes it.
    pub(super) async fn take(setup: &Setup, choice: &Choice, mode: CutMode, cancel: &Cancel) -> Result<Self> {
        let mut first = lane(setup, cancel).await?;
        let database = catalog::name_of(&mut first).await?;
        let cuts = Cut::ranking(first.server(), mode);
        let until = Instant::now() + setup.lock_timeout.unwrap_or(LONGEST);
        let mut pinning = Pinning {
            setup,
            choice,
            mode,
            cancel,
            database,
            cuts,
            until,
            why: None,
            waited: None,
            changes: 0,
            apart: None,
            hold: None,
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
    ///
    /// # Errors
    /// If the lock was lost before.
    pub(super) async fn unlock(&mut self) -> Result<()> {
        let Some(gate) = self.gate.take() else { return Ok(()) };
        let (waited, session) = gate.open().await?;
        *self.apart.lock().await = Some(session);
        self.facts.insert("writers_waited_ms".to_owned(), waited.as_millis().to_string());
        Ok(())
    }

    /// A session that is none of the lanes: it was opened before they took what connections there are.
    pub(super) async fn apart(&self, setup: &Setup, cancel: &Cancel) -> Result<Session> {
        let Some(mut session) = self.apart.lock().await.take() else { return lane(setup, cancel).await };
        session.heed(cancel);
        session.run(hasty()).await?;
        Ok(session)
    }

    /// Lets everything go.
    pub(super) async fn release(mut self) {
        // What was locked is given up in any case, with its session.
        let _ = self.unlock().await;
        if let Some(session) = self.apart.lock().await.take() {
            session.close().await;
        }
        if let Some(hold) = &self.hold {
            hold.release().await;
        }
        self.lanes.close().await;
    }
}

/// A session that is to see what is pinned.
async fn lane(setup: &Setup, cancel: &Cancel) -> Result<Session> {
    session(setup, cancel, "dump, lane").await
}

async fn session(setup: &Setup, cancel: &Cancel, purpose: &str) -> Result<Session> {
    let mut session = Session::open(setup, purpose).await?;
    session.heed(cancel);
    session.results_in(Charset::AsStored).await?;
    session.run(hasty()).await?;
    Ok(session)
}

/// From then on it waits for as long as the configuration says.
pub(super) fn patient(setup: &Setup) -> String {
    let seconds = setup.lock_timeout.unwrap_or(LONGEST).as_secs().max(1);
    format!("SET SESSION lock_wait_timeout = {seconds}")
}

struct Pinning<'a> {
    setup: &'a Setup,
    choice: &'a Choice,
    mode: CutMode,
    cancel: &'a Cancel,
    database: String,
    /// What cuts there are still to be had, the best one first.
    cuts: &'static [Cut],
    until: Instant,
    /// Why the cut is none of the better ones.
    why: Option<String>,
    /// Somebody was in the way of the last attempt.
    waited: Option<Error>,
    /// How often definitions have changed.
    changes: u32,
    /// The one that locks, or has locked.
    apart: Option<Session>,
    hold: Option<Hold>,
    lanes: Vec<Session>,
}

struct Held {
    relations: Vec<Relation>,
    triggers: Vec<Trigger>,
    chosen: Chosen,
    facts: Facts,
    gate: Option<Gate>,
}

/// What there was before the cut.
struct Before {
    relations: Vec<Relation>,
    /// Tables without transactions.
    to_hold: Vec<String>,
    /// Queries of no row of each table.
    touches: Vec<String>,
}

impl Pinning<'_> {
    /// `None`: a definition changed meanwhile, or there is no right to such a lock and the next is lesser.
    async fn attempt(&mut self) -> Result<Option<Held>> {
        let relations = self.relations().await?;
        let chosen = self.choice.pick(&relations)?;
        if let Some((error, waited)) = unopened(&relations, &chosen) {
            if !waited {
                return Err(error);
            }
            self.waited = Some(error);
            return Ok(None);
        }
        let tables = of_rows(&relations, &chosen, |_| true);
        let before = Before {
            to_hold: self.to_hold(&relations, &chosen),
            touches: tables.iter().map(|table| touch(table)).collect(),
            relations,
        };
        self.open_sessions(&before).await?;
        let Some(limit) = self.touch_before(&before).await? else { return Ok(None) };
        let Some(mut gate) = self.gate(&tables).await? else { return Ok(None) };
        let seen = self.see(&before, gate.as_ref(), limit).await?;
        let kept_out = if seen.is_some() && self.mode == CutMode::Locked { gate.take() } else { None };
        let waited = match gate {
            None => None,
            Some(gate) => {
                let (waited, session) = gate.open().await?;
                self.apart = Some(session);
                Some(waited)
            }
        };
        let Some(mut facts) = seen else { return Ok(None) };
        facts.extend(waited.map(|waited| ("writers_waited_ms".to_owned(), waited.as_millis().to_string())));
        let under = self.touched_under_the_lock(&before);
        if !touch_by_all(self.lanes.iter_mut().skip(under), &before.touches, &mut self.waited).await? {
            return Ok(None);
        }
        let Some(triggers) = self.triggers().await? else { return Ok(None) };
        let now = self.relations().await?;
        let same = now.len() == before.relations.len()
            && now.iter().zip(&before.relations).all(|(one, other)| one.is_same(other));
        let all = self.are_all(&now).await? && self.are_still_all(&now).await?;
        Ok((same && all).then_some(Held { relations: now, triggers, chosen, facts, gate: kept_out }))
    }

    /// Begins all snapshots, while nobody commits anything. `None`: a definition changed before, or somebody is in the way.
    /// `limit`: how long they may wait for us to touch all tables.
    async fn see(&mut self, before: &Before, gate: Option<&Gate>, limit: Duration) -> Result<Option<Facts>> {
        const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        if let Some(hold) = &self.hold
            && let Some(error) = hold.lock(&before.to_hold).await?
        {
            self.waited = Some(error);
            return Ok(None);
        }
        try_join_all(self.lanes.iter_mut().map(|lane| lane.run(BEGIN))).await?;
        if !self.touch_under_the_lock(before, gate, limit).await? {
            return Ok(None);
        }
        self.refuse_several_servers(gate).await?;
        // Nobody can change definitions now, if the lock is one of the whole server.
        if !self.are_all(&before.relations).await? {
            return Ok(None);
        }
        let first = self.lanes.first_mut().ok_or_else(without_session)?;
        match gate {
            Some(gate) => position(first, Some(&mut *gate.session().await?)).await.map(Some),
            None => position(first, None).await.map(Some),
        }
    }

    /// Touches all tables while nobody has to wait for that. On one connection nothing else keeps others from changing
    /// them: so the tables are kept until the snapshot has touched them as well. Says how long that may take then; `None`:
    /// somebody is in the way, or a table is gone.
    async fn touch_before(&mut self, before: &Before) -> Result<Option<Duration>> {
        let keep = self.cut() == Cut::SingleConnection;
        let apart = self.apart.as_mut().ok_or_else(without_session)?;
        apart.run("START TRANSACTION READ ONLY").await?;
        let since = Instant::now();
        let touched = touch_by_all(std::iter::once(&mut *apart), &before.touches, &mut self.waited).await?;
        let limit = since.elapsed() * TIMES + MORE;
        if !(keep && touched) {
            apart.run("ROLLBACK").await?;
        }
        Ok(touched.then_some(limit))
    }

    /// `false`: a definition changed before, or somebody is in the way, or it takes too long for those who wait.
    async fn touch_under_the_lock(
        &mut self,
        before: &Before,
        gate: Option<&Gate>,
        limit: Duration,
    ) -> Result<bool> {
        let under = self.touched_under_the_lock(before);
        let mut waited = None;
        let touched = {
            let lanes = self.lanes.iter_mut().take(under);
            let mut touching = std::pin::pin!(touch_by_all(lanes, &before.touches, &mut waited));
            match (tokio::time::timeout(limit, &mut touching).await, gate) {
                (Ok(touched), _) => Some(touched?),
                (Err(_), None) => Some(touching.await?),
                (Err(_), Some(gate)) => {
                    gate.let_go().await?;
                    touching.await?;
                    None
                }
            }
        };
        self.waited = waited.or_else(|| touched.is_none().then(late));
        Ok(touched == Some(true))
    }

    /// How many sessions touch all tables under the lock. It does not last longer for more of them, but where there are
    /// very many tables.
    fn touched_under_the_lock(&self, before: &Before) -> usize {
        if before.touches.len() > TOUCHED_BY_ALL { 1 } else { self.lanes.len() }
    }

    async fn refuse_several_servers(&mut self, gate: Option<&Gate>) -> Result<()> {
        let (first, others) = self.lanes.split_first_mut().ok_or_else(without_session)?;
        let identity = Identity::of(first).await?;
        identity.check(first).await?;
        try_join_all(others.iter_mut().map(|lane| identity.check(lane))).await?;
        if let Some(gate) = gate {
            identity.check(&mut *gate.session().await?).await?;
        }
        if let Some(session) = &mut self.apart {
            identity.check(session).await?;
        }
        if let Some(hold) = &self.hold {
            identity.check(&mut *hold.session().await?).await?;
        }
        identity.end(first).await
    }

    /// Whether there is nothing else: a table whose definition is just being changed, the server may pass over where it
    /// lists what tables are, but not where it lists their names.
    async fn are_all(&mut self, relations: &[Relation]) -> Result<bool> {
        let database = self.database.clone();
        let names = catalog::names(self.first()?, &database).await?;
        Ok(names.iter().eq(relations.iter().map(|relation| &relation.name)))
    }

    /// Read here, and not with other definitions: while somebody waits to change a table, MySQL shows nobody its triggers, not
    /// even who has the table. `None`: there is somebody, and we have to give way.
    async fn triggers(&mut self) -> Result<Option<Vec<Trigger>>> {
        if !self.setup.triggers {
            return Ok(Some(Vec::new()));
        }
        let database = self.database.clone();
        match catalog::triggers(self.first()?, &database).await {
            Ok(triggers) => Ok(Some(triggers)),
            Err(error) if matches!(code(&error), Some(1205 | 1213)) => {
                self.waited = Some(error);
                Ok(None)
            }
            // It was dropped since it was listed: what is not pinned may go.
            Err(error) if code(&error) == Some(1360) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, a while later, where no lock has kept others from changing definitions: MariaDB does not list a table in the
    /// moment in which it is given another definition.
    async fn are_still_all(&mut self, relations: &[Relation]) -> Result<bool> {
        if self.cut() != Cut::SingleConnection {
            return Ok(true);
        }
        tokio::time::sleep(A_WHILE).await;
        self.are_all(relations).await
    }

    async fn relations(&mut self) -> Result<Vec<Relation>> {
        let database = self.database.clone();
        catalog::relations(self.first()?, &database).await
    }

    fn first(&mut self) -> Result<&mut Session> {
        self.lanes.first_mut().ok_or_else(without_session)
    }

    /// All of them, before anybody is kept out; those that there must be, first. A server that takes no more gets by with
    /// fewer lanes.
    async fn open_sessions(&mut self, before: &Before) -> Result<()> {
        if self.apart.is_none() {
            self.apart = Some(session(self.setup, self.cancel, "dump, cut").await?);
        }
        if self.hold.is_none() && !before.to_hold.is_empty() {
            let session = session(self.setup, self.cancel, "dump, tables without transactions").await?;
            self.hold = Some(Hold::new(session).await?);
        }
        let wanted = if self.cut() == Cut::SingleConnection { 1 } else { self.setup.connections };
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

    fn cut(&self) -> Cut {
        self.cuts.first().copied().unwrap_or(Cut::SingleConnection)
    }

    /// Tables that no snapshot shows as they were.
    fn to_hold(&self, relations: &[Relation], chosen: &Chosen) -> Vec<String> {
        match self.setup.non_transactional {
            NonTransactional::Lock => of_rows(relations, chosen, |table| !table.transactional),
            NonTransactional::Live => Vec::new(),
        }
    }

    /// `None`: there is no right to it, or a table is gone. The inner `None`: the cut needs none.
    async fn gate(&mut self, tables: &[String]) -> Result<Option<Option<Gate>>> {
        let cut = self.cut();
        if cut == Cut::SingleConnection {
            return match self.mode {
                CutMode::Open => Ok(Some(None)),
                CutMode::Locked => Err(Error::environment(
                    "a locked cut needs a right to lock that the login does not have",
                )
                .with_hint(
                    "grant it `LOCK TABLES` on the database, or set `if_uncertified` to another policy",
                )),
            };
        }
        let session = self.apart.take().ok_or_else(without_session)?;
        match Gate::shut(session, self.cancel, cut, tables, self.until).await? {
            Tried::Held(gate) => Ok(Some(Some(gate))),
            Tried::Changed(session) => {
                self.apart = Some(session);
                Ok(None)
            }
            Tried::Denied(session, error) => {
                self.apart = Some(session);
                self.why = Some(match code(&error) {
                    Some(code) => format!("{} was denied ({code})", cut.name()),
                    None => error.to_string(),
                });
                self.cuts = self.cuts.get(1..).unwrap_or_default();
                Ok(None)
            }
        }
    }

    /// Lets go what the last attempt has seen, and waits a moment.
    ///
    /// # Errors
    /// If there were enough attempts.
    async fn begin_again(&mut self) -> Result<()> {
        let pause = match self.waited.take() {
            Some(error) if Instant::now() >= self.until => {
                return Err(error.with_hint(
                    "somebody holds a table for long: end that session, or raise `lock_timeout`",
                ));
            }
            Some(_) => LONGER_PAUSE,
            None => {
                self.changes += 1;
                PAUSE
            }
        };
        if self.changes >= TRIES {
            return Err(Error::environment("definitions change faster than the tables can be read")
                .with_hint("is a migration running? run it again when it has ended"));
        }
        try_join_all(self.lanes.iter_mut().chain(&mut self.apart).map(|session| session.run("ROLLBACK")))
            .await?;
        if let Some(hold) = &self.hold {
            hold.lock(&[]).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.cancel.cancelled() => Err(Error::cancelled()),
        }
    }

    async fn end(mut self, held: Held) -> Result<Pinned> {
        // From here on nothing waits for the sessions' locks on tables, but perhaps for those on views of other databases.
        let set = patient(self.setup);
        self.lanes.iter_mut().for_each(Session::keep_transaction);
        try_join_all(self.lanes.iter_mut().map(|lane| lane.run(&set))).await?;
        if let Some(apart) = &mut self.apart {
            // It may have kept the tables until now.
            apart.run("ROLLBACK").await?;
        }
        let cut = self.cut();
        let server = self.first()?.server().clone();
        let mut facts = held.facts;
        facts.insert("cut".to_owned(), cut.name().to_owned());
        facts.insert("connections".to_owned(), self.lanes.len().to_string());
        facts.extend(self.why.map(|why| ("cut_reason".to_owned(), why)));
        Ok(Pinned {
            server,
            database: self.database,
            relations: held.relations,
            triggers: held.triggers,
            chosen: held.chosen,
            facts,
            lanes: Lanes::new(self.lanes),
            hold: self.hold,
            gate: held.gate,
            apart: Mutex::new(self.apart),
        })
    }
}

fn without_session() -> Error {
    Error::defect("a pin has no session")
}
