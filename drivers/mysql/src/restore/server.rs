//! The server that is restored into: our sessions of it, and those that a killed process has left.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::names::Names;
use crate::catalog::{Process, as_stored, processes};
use crate::config::Setup;
use crate::connect::{Session, code};
use crate::quote;

/// How long sessions may take to end once they are told to.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what is undone waits for a server that is not there: it may be starting again.
const PATIENCE_AWAY: Duration = Duration::from_secs(60);
/// How long a statement of the swap waits for a lock before it lets others go first, in seconds.
pub(crate) const SHORT: u32 = 2;
/// After so many seconds without a statement the server ends a session that holds locks: what it belongs to was cut off.
const IDLE: u32 = 30;

/// Where a restore happens.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) setup: Setup,
    pub(crate) names: Names,
}

impl Server {
    /// A session that is in no database, and heeds nobody who cancels.
    pub(crate) async fn session(&self) -> Result<Session> {
        self.session_in(None).await
    }

    async fn session_in(&self, database: Option<&str>) -> Result<Session> {
        let mut session = Session::open_in(&self.setup, database, "restore").await?;
        as_stored(&mut session).await?;
        set_up(&mut session).await?;
        Ok(session)
    }

    /// A session that holds locks of tables for a moment, and waits for them as long. It is in a database of ours, so that it
    /// is found after a crash.
    pub(crate) async fn holding(&self) -> Result<Session> {
        let mut session = self.session_in(Some(&self.names.old)).await?;
        let limits = format!("SET SESSION lock_wait_timeout = {SHORT}, wait_timeout = {IDLE}");
        session.run(limits).await?;
        Ok(session)
    }

    /// A session that keeps away who else would restore the same database, until it ends. It is waited for so many seconds.
    pub(crate) async fn alone(&self, patience: u32) -> Result<Session> {
        let mut session = self.session().await?;
        // So that it is found after a crash.
        let entered = session.run(format!("USE {}", quote::name(&self.names.old))).await;
        if session.is_gone() {
            entered?;
        }
        let lock = quote::literal(&lock_of_live(&self.names.live));
        let held = session.rows(format!("SELECT GET_LOCK({lock}, {patience})")).await?;
        if held.first().and_then(|row| row.bytes(0)) == Some(b"1") {
            return Ok(session);
        }
        let holder = holder_of(&mut session, &lock).await?;
        let who = processes(&mut session).await?.into_iter().find(|other| Some(other.id) == holder);
        let who = who.map_or("a session that the login may not see".to_owned(), |other| {
            format!("{}, connection {}", other.who, other.id)
        });
        Err(Error::new(ErrorKind::Locked, "another restore of the same database is under way")
            .with_context("database", &self.names.live)
            .with_context("by", who)
            .with_hint("wait until it is over; if it was cut off, `dumprestore recover` where it was begun"))
    }

    /// Makes sure that the session of that number keeps others away still: whoever came after it had ended may have swapped.
    pub(crate) async fn still_alone(&self, by: &mut Session, alone: Option<u64>) -> Result<()> {
        let lock = quote::literal(&lock_of_live(&self.names.live));
        match holder_of(by, &lock).await? == alone {
            true => Ok(()),
            false => {
                Err(Error::environment("the server has ended the session that keeps other restores away")
                    .with_hint("see its log; then run it again"))
            }
        }
    }

    /// A session to change the live database from. There is only one at a time, and after a crash it is found.
    pub(crate) async fn changing(&self) -> Result<Session> {
        let mut session = self.session().await?;
        session.run(format!("SET SESSION lock_wait_timeout = {SHORT}")).await?;
        let lock = format!("SELECT GET_LOCK({}, {})", quote::literal(&self.names.lock), PATIENCE.as_secs());
        let held = session.rows(lock).await?;
        if held.first().and_then(|row| row.bytes(0)) == Some(b"1") {
            return Ok(session);
        }
        Err(Error::environment("another session is at work on the same restore")
            .with_context("lock", &self.names.lock)
            .with_hint("wait until it has ended, or end it with `KILL`"))
    }

    /// Ends what a killed process has left running, but for a session that is `ours`: it would go on making what is being removed, and hold its locks.
    ///
    /// # Errors
    /// If such a session stays: nothing that is found at the server would be the last word.
    pub(crate) async fn end_left_sessions(&self, by: &mut Session, ours: u64) -> Result<()> {
        let begun = tokio::time::Instant::now();
        loop {
            let mut left = self.left_sessions(by).await?;
            left.retain(|id| *id != ours);
            if left.is_empty() {
                return Ok(());
            }
            for id in &left {
                by.kill(*id).await.map_err(cant_end)?;
            }
            if begun.elapsed() > PATIENCE {
                let left: Vec<String> = left.iter().map(u64::to_string).collect();
                return Err(Error::environment("sessions of an interrupted restore do not end")
                    .with_context("ids", left.join(", "))
                    .with_hint("wait until `SHOW PROCESSLIST` no longer has them, then run it again"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Those that are in our databases, and the one that holds our lock.
    async fn left_sessions(&self, by: &mut Session) -> Result<Vec<u64>> {
        let holder = holder_of(by, &quote::literal(&self.names.lock)).await?;
        let ours = by.id();
        let is_left = |other: &Process| {
            other.command != "Killed" && [&self.names.staging, &self.names.old].contains(&&other.database)
        };
        let others = processes(by).await?;
        let mut left: Vec<u64> = others.iter().filter(|other| is_left(other)).map(|other| other.id).collect();
        left.extend(holder.filter(|holder| *holder != ours && !left.contains(holder)));
        Ok(left)
    }

    /// Waits for a while for a server that is just starting again: what it was at has failed for that, and is to be undone.
    pub(crate) async fn wait_until_up(&self) {
        let begun = tokio::time::Instant::now();
        let mut was_up = false;
        loop {
            match self.session().await {
                Ok(session) => return session.close().await,
                // The server speaks, and what is wrong is told to who comes next.
                Err(error) if code(&error).is_some_and(|code| !is_starting(code)) => return,
                Err(error) => {
                    was_up |= code(&error).is_some();
                    let patience = if was_up { PATIENCE_AWAY } else { PATIENCE_AWAY / 10 };
                    if begun.elapsed() > patience {
                        return;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The session that has a named lock, if one has it. `lock` is quoted.
async fn holder_of(session: &mut Session, lock: &str) -> Result<Option<u64>> {
    let rows = session.rows(format!("SELECT IS_USED_LOCK({lock})")).await?;
    rows.first().map_or(Ok(None), |row| row.number_or_null(0))
}

/// The lock that a restore of a database holds, whoever makes it. Names of locks are for the whole server.
fn lock_of_live(live: &str) -> String {
    let digest = Sha256::digest(live.to_lowercase());
    format!("dumprestore_live_{}", hex::encode(digest.get(..16).unwrap_or_default()))
}

/// It is going down, or not yet up.
fn is_starting(code: u16) -> bool {
    matches!(code, 1053 | 1077 | 1079 | 1152 | 1158..=1161)
}

fn cant_end(error: Error) -> Error {
    Error::environment("can't end the sessions that an interrupted restore has left")
        .with_hint("use the login that the restore was begun with, or grant this one `CONNECTION ADMIN` (`CONNECTION_ADMIN`)")
        .with_source(error)
}

/// What definitions and rows of any age need.
async fn set_up(session: &mut Session) -> Result<()> {
    session.run("SET SESSION foreign_key_checks = 0, unique_checks = 0").await?;
    let server = session.server().clone();
    // A server that does not know a setting, or does not let us have it, goes on without.
    let mut welcome =
        vec!["SET SESSION explicit_defaults_for_timestamp = 1", "SET SESSION max_error_count = 65535"];
    if server.is_mariadb() {
        welcome.push("SET SESSION check_constraint_checks = 0");
        welcome.push("SET SESSION system_versioning_insert_history = 1");
        welcome.push("SET SESSION max_statement_time = 0");
    } else {
        welcome.push("SET SESSION sql_require_primary_key = OFF");
    }
    for statement in welcome {
        if let Err(error) = session.run(statement).await
            && code(&error).is_none()
        {
            return Err(error);
        }
    }
    Ok(())
}

/// What tells one server from all others, if it can tell, a line for each kind of it, the best first: nodes of one cluster
/// share theirs, and a newer server may have what it had not when it was older.
pub(crate) async fn identity(session: &mut Session) -> Option<String> {
    let asked = match session.server().is_mariadb() {
        true => ("uid", "SELECT 'server', @@server_uid"),
        false => ("uuid", "SELECT 'server', @@server_uuid"),
    };
    let of_cluster = ("cluster", "SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'");
    // MariaDB has had an id that is its own only since 10.5.26, 10.6.19 and 10.11.9.
    let by_place = "SELECT 'server', CONCAT_WS(' ', @@server_id, @@hostname, @@port, @@datadir)";
    let mut found = Vec::new();
    for (kind, asked) in [of_cluster, asked, ("place", by_place)] {
        let rows = session.rows(asked).await.unwrap_or_default();
        let told = rows.first().and_then(|row| row.text(1).ok()).filter(|told| !told.is_empty());
        found.extend(told.map(|told| format!("{kind}={}", told.replace('\n', " "))));
    }
    (!found.is_empty()).then(|| found.join("\n"))
}

/// Sessions of the staging database, used by one thing at a time. As many are opened as are in use at once.
pub(crate) struct Lanes {
    server: Server,
    database: String,
    cancel: Cancel,
    free: Mutex<Vec<Session>>,
}

impl Lanes {
    pub(crate) fn new(server: Server, database: &str, cancel: Cancel) -> Self {
        Self { server, database: database.to_owned(), cancel, free: Mutex::default() }
    }

    /// A session that nobody else uses. One that is not [given back](Self::give_back) is cut off.
    pub(crate) async fn take(&self) -> Result<Session> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(session) => Ok(session),
            None => {
                let mut session = self.server.session_in(Some(&self.database)).await?;
                session.heed(&self.cancel);
                Ok(session)
            }
        }
    }

    /// Lets others use a session, which is in no transaction.
    pub(crate) fn give_back(&self, session: Session) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Makes sure that no session has ended since it was given back: a server that crashed, and came up again, may have
    /// lost what was loaded last.
    pub(crate) async fn check(&self) -> Result<()> {
        let sessions = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        for mut session in sessions {
            session.run("DO 1").await.map_err(|error| {
                Error::environment(
                    "the server has ended a session of the restore, and may have lost what was loaded last",
                )
                .with_hint("see the server's log: it may have been stopped, or killed; then run it again")
                .with_source(error)
            })?;
            self.give_back(session);
        }
        Ok(())
    }

    /// Ends those that are not in use.
    pub(crate) async fn close(&self) {
        let free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        for session in free {
            session.close().await;
        }
    }
}
