//! The swap: one `RENAME TABLE` moves live tables aside and others into their place.
//!
//! What has happened already, also in a process that was killed, is told by where the marker is, which moves along; on a
//! server that does not rename all or nothing, by where each table is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Result};

use super::apply::Turn;
use super::gate::Gate;
use super::names::{DEFINITIONS, MARKER};
use super::programs::Program;
use super::server::{SHORT, Server};
use crate::archived::Trigger;
use crate::catalog::processes;
use crate::connect::{Session, code};
use crate::quote;

/// How long others go first after a lock was waited for in vain.
const BETWEEN: Duration = Duration::from_millis(250);
/// How long a statement may take to get to where it waits.
const UNTIL_WAITING: Duration = Duration::from_millis(1500);

const LOCK_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
const DENIED: [u16; 3] = [1044, 1142, 1227];

/// Tables of three databases that change places.
#[derive(Clone, Copy)]
pub(crate) struct Swap<'a> {
    pub(crate) server: &'a Server,
    pub(crate) turn: Turn<'a>,
    /// Where the tables come from that become live.
    pub(crate) source: &'a str,
    /// Where the live ones go to.
    pub(crate) aside: &'a str,
}

/// A table, and the database that it is in.
type Place = (String, String);

/// Which tables are where.
struct There {
    live: BTreeSet<String>,
    source: BTreeSet<String>,
    aside: BTreeSet<String>,
}

/// Tables and sequences of a database. None, if there is no such database.
pub(crate) async fn tables(session: &mut Session, database: &str) -> Result<BTreeSet<String>> {
    let asked = format!(
        "SELECT table_name FROM information_schema.tables WHERE CAST(table_schema AS BINARY) = CAST({} AS BINARY) \
         AND table_type NOT LIKE '%VIEW'",
        quote::literal(database)
    );
    session.rows(asked).await?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}

/// Whether an error says that others hold a lock, and that nothing has changed.
pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(code(error), Some(LOCK_TIMEOUT | DEADLOCK))
}

/// How long it is tried again what failed for a lock of somebody else's.
pub(crate) struct Patience<'a> {
    until: Option<Instant>,
    cancel: Option<&'a Cancel>,
}

impl<'a> Patience<'a> {
    /// For as long as `lock_timeout` allows, and until a run is cancelled that is heeded.
    pub(crate) fn new(server: &Server, cancel: Option<&'a Cancel>) -> Self {
        Self { until: server.setup.lock_timeout.map(|patience| Instant::now() + patience), cancel }
    }

    /// Lets others go first, if it was for them.
    ///
    /// # Errors
    /// That error, if it is of another kind, or patience is at an end.
    pub(crate) async fn wait(&self, error: Error) -> Result<()> {
        if !is_busy(&error) {
            return Err(error);
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(error.with_hint(
                "a transaction holds the tables: see in `SHOW PROCESSLIST` and `information_schema.innodb_trx` which, \
                 end it, or raise `lock_timeout`",
            ));
        }
        if let Some(cancel) = self.cancel {
            cancel.check()?;
        }
        tokio::time::sleep(BETWEEN).await;
        Ok(())
    }
}

impl Swap<'_> {
    /// Swaps, unless it is done. Nothing has changed after an error, but that a lock may have been waited for.
    pub(crate) async fn perform(&self, session: &mut Session, cancel: Option<&Cancel>) -> Result<()> {
        let patience = Patience::new(self.server, cancel);
        while let Err(error) = self.try_once(session).await {
            patience.wait(error).await?;
        }
        Ok(())
    }

    async fn look(&self, session: &mut Session) -> Result<There> {
        Ok(There {
            live: tables(session, self.turn.live).await?,
            source: tables(session, self.source).await?,
            aside: tables(session, self.aside).await?,
        })
    }

    async fn try_once(&self, session: &mut Session) -> Result<()> {
        let there = self.look(session).await?;
        let renames = self.renames(&there, all_or_nothing(session))?;
        if renames.is_empty() {
            return Ok(());
        }
        let moved: Vec<&str> = renames
            .iter()
            .filter(|((database, _), _)| database == self.turn.live)
            .map(|((_, table), _)| table.as_str())
            .collect();
        let triggers = self.triggers(session, &moved).await?;
        let to_have = |trigger: &Trigger| moved.contains(&trigger.table.as_str());
        let swapped = match triggers.is_empty() && !self.turn.to.triggers.iter().any(to_have) {
            true => rename(session, &renames).await,
            false if session.server().is_mysql_since(8, 0, 13) => {
                self.swap_locked(session, &renames, &triggers).await
            }
            false => self.swap_with_triggers(session, &renames, &moved, &triggers).await,
        };
        if swapped.is_err() && !triggers.is_empty() && !session.is_gone() {
            // They were dropped, perhaps, and their tables may be live still.
            self.keep_triggers(session).await.map_err(|failed| self.without_triggers(failed))?;
        }
        swapped
    }

    /// Has each table that was not swapped have the triggers that it had. One that others hold keeps none waiting.
    pub(crate) async fn keep_triggers(&self, session: &mut Session) -> Result<()> {
        let back = Turn { from: self.turn.to, to: self.turn.from, ..self.turn };
        let patience = Patience::new(self.server, None);
        // At first no table is waited for, so that all others have theirs at once.
        let wait = if session.server().is_mariadb_since(10, 3, 0) { 0 } else { 1 };
        session.run(format!("SET SESSION lock_wait_timeout = {wait}")).await?;
        loop {
            let there = self.look(session).await?;
            let mut tables: Vec<&str> =
                self.turn.from.triggers.iter().map(|trigger| trigger.table.as_str()).collect();
            tables.sort_unstable();
            tables.dedup();
            tables.retain(|table| there.live.contains(*table) && !there.aside.contains(*table));
            let mut failed: Option<Error> = None;
            for table in tables {
                if let Err(error) = back.keep_triggers_of(session, table).await {
                    // What is busy is tried again, before something else is given up for good.
                    let is_known = failed.as_ref().is_some_and(is_busy);
                    failed = if is_known { failed } else { Some(error) };
                }
            }
            session.run(format!("SET SESSION lock_wait_timeout = {SHORT}")).await?;
            match failed {
                None => return Ok(()),
                Some(error) => patience.wait(error).await?,
            }
        }
    }

    /// What is still to be renamed, in an order in which no name is taken.
    fn renames(&self, there: &There, all_or_nothing: bool) -> Result<Vec<(Place, Place)>> {
        if !there.source.contains(MARKER) && !there.aside.contains(MARKER) {
            return Err(Error::stuck("it can't be told which tables are live")
                .with_context("table", format!("{}.{MARKER}", self.source))
                .with_hint(
                    "somebody has dropped it: look which tables are in which database, and move them by hand",
                ));
        }
        if there.aside.contains(MARKER) && all_or_nothing {
            return Ok(Vec::new());
        }
        let Turn { live, from: outgoing, to: incoming, .. } = self.turn;
        let place = |database: &str, table: &str| (database.to_owned(), table.to_owned());
        let waits = |table: &str| there.source.contains(table);
        let mut renames = Vec::new();
        let mut freed = BTreeSet::new();
        for table in outgoing.tables.iter().map(String::as_str) {
            // Where a new one is in its place already, what is live is not what goes.
            let is_live = there.live.contains(table) && (waits(table) || !incoming.has_table(table));
            if is_live && !there.aside.contains(table) {
                renames.push((place(live, table), place(self.aside, table)));
                freed.insert(table);
            }
        }
        for table in incoming.tables.iter().map(String::as_str).filter(|table| waits(table)) {
            if there.live.contains(table) && !freed.contains(table) {
                return Err(Error::environment("a table was made meanwhile whose name is to be taken")
                    .with_context("table", format!("{live}.{}", table.escape_debug()))
                    .with_hint("see what it is for, and drop or rename it; then run it again"));
            }
            renames.push((place(self.source, table), place(live, table)));
        }
        if waits(MARKER) {
            renames.push((place(self.source, MARKER), place(self.aside, MARKER)));
        }
        Ok(renames)
    }

    fn without_triggers(&self, failed: Error) -> Error {
        Error::stuck("triggers that were dropped for the swap could not be made again")
            .with_context("database", self.turn.live)
            .with_hint("run `dumprestore recover`")
            .with_source(failed)
    }

    /// Triggers of those tables, which can't go along into another database.
    async fn triggers(&self, session: &mut Session, tables: &[&str]) -> Result<Vec<String>> {
        let asked = format!(
            "SELECT trigger_name, event_object_table FROM information_schema.triggers \
             WHERE CAST(trigger_schema AS BINARY) = CAST({} AS BINARY)",
            quote::literal(self.turn.live)
        );
        let mut found = BTreeSet::new();
        for row in session.rows(asked).await? {
            if tables.contains(&row.text(1)?) {
                let name = row.text(0)?;
                let Turn { from, to, .. } = self.turn;
                if !from.triggers.iter().chain(&to.triggers).any(|known| known.name == name) {
                    return Err(Error::environment(
                        "a trigger was made on a table while it was being swapped out",
                    )
                    .with_context("trigger", name.escape_debug())
                    .with_hint("run it again"));
                }
                found.insert(name.to_owned());
            }
        }
        Ok(found.into_iter().collect())
    }

    async fn drop_triggers(&self, session: &mut Session, triggers: &[String]) -> Result<()> {
        for name in triggers {
            session.run(format!("DROP TRIGGER IF EXISTS {}", quote::qualified(self.turn.live, name))).await?;
        }
        Ok(())
    }

    /// On a server that renames tables which are locked, nobody gets in between.
    async fn swap_locked(
        &self,
        session: &mut Session,
        renames: &[(Place, Place)],
        triggers: &[String],
    ) -> Result<()> {
        let tables: Vec<String> = renames
            .iter()
            .map(|((database, table), _)| format!("{} WRITE", quote::qualified(database, table)))
            .collect();
        session.run(format!("LOCK TABLES {}", tables.join(", "))).await.map_err(may_not_lock)?;
        let swapped = async {
            self.drop_triggers(session, triggers).await?;
            rename(session, renames).await?;
            // Other tables are not locked, and so not to be looked at.
            let is_in = |table: &str| {
                renames.iter().any(|(_, (database, named))| database == self.turn.live && named == table)
            };
            self.turn.put_triggers_on(session, is_in).await
        };
        let swapped = swapped.await;
        let unlocked = session.run("UNLOCK TABLES").await.map(drop);
        swapped.and(unlocked)
    }

    /// MariaDB renames nothing in a session with locks. So another session holds them, while the triggers are dropped and
    /// until the rename waits: who writes waits behind it.
    async fn swap_with_triggers(
        &self,
        session: &mut Session,
        renames: &[(Place, Place)],
        moved: &[&str],
        triggers: &[String],
    ) -> Result<()> {
        let mut holder = self.server.holding().await?;
        let tables: Vec<String> =
            moved.iter().map(|table| format!("{} WRITE", quote::qualified(self.turn.live, table))).collect();
        holder.run(format!("LOCK TABLES {}", tables.join(", "))).await.map_err(may_not_lock)?;
        let gate = Gate::shut(self.server, self.turn, self.source, moved).await?;
        self.drop_triggers(&mut holder, triggers).await?;
        let id = session.id();
        let over = AtomicBool::new(false);
        let renaming = async {
            let renamed = rename(session, renames).await;
            over.store(true, Ordering::SeqCst);
            renamed
        };
        let (swapped, passed) = tokio::join!(renaming, async {
            wait_until_waiting(&mut holder, id).await;
            let unlocked = holder.run("UNLOCK TABLES").await.map(drop);
            holder.close().await;
            match gate {
                Some(gate) => gate.pass(id, &over).await,
                None => unlocked,
            }
        });
        swapped.and(passed)
    }
}

/// Without locks there would be rows that no trigger has seen.
fn may_not_lock(error: Error) -> Error {
    match code(&error) {
        Some(number) if DENIED.contains(&number) => Error::environment(
            "the login may not lock tables, which it must while their triggers change places",
        )
        .with_hint("grant it `LOCK TABLES` on the database, and on those that the restore makes beside it")
        .with_source(error),
        _ => error,
    }
}

/// Whether a crash in the middle of a `RENAME TABLE` leaves all as it was, or all done.
pub(crate) fn all_or_nothing(session: &Session) -> bool {
    // MySQL should from 8.0 on, and was seen with some of them renamed.
    session.server().is_mariadb_since(10, 6, 0)
}

/// Waits until a session waits for a lock, or for a moment.
async fn wait_until_waiting(session: &mut Session, id: u64) {
    let begun = Instant::now();
    while begun.elapsed() < UNTIL_WAITING {
        match processes(session).await {
            Ok(others) if !others.iter().any(|other| other.id == id && other.waits()) => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            _ => return,
        }
    }
}

async fn rename(session: &mut Session, renames: &[(Place, Place)]) -> Result<()> {
    let renames: Vec<String> = renames
        .iter()
        .map(|((from, table), (to, named))| {
            format!("{} TO {}", quote::qualified(from, table), quote::qualified(to, named))
        })
        .collect();
    session.run(format!("RENAME TABLE {}", renames.join(", "))).await.map(drop)
}

/// Views whose names tables are to have.
pub(crate) async fn drop_views_in_the_way(session: &mut Session, turn: Turn<'_>) -> Result<()> {
    for view in turn.from.views.iter().filter(|view| turn.to.has_table(&view.name)) {
        let is_view = format!(
            "SELECT 1 FROM information_schema.views WHERE table_schema = {} AND table_name = {}",
            quote::literal(turn.live),
            quote::literal(&view.name)
        );
        if !session.rows(is_view).await?.is_empty() {
            Program::from(view).drop(session, turn.live).await?;
        }
    }
    Ok(())
}

/// Tables of a database that are none of ours, nor of `known`.
pub(crate) fn strangers(tables: &BTreeSet<String>, known: &[String]) -> Vec<String> {
    let known: BTreeMap<&str, ()> = known.iter().map(|name| (name.as_str(), ())).collect();
    let is_ours =
        |name: &&String| *name == MARKER || *name == DEFINITIONS || known.contains_key(name.as_str());
    tables.iter().filter(|name| !is_ours(name)).cloned().collect()
}
