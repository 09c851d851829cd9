//! Sessions that share the pinned snapshot.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dumprestore_driver::{Error, Result};

use crate::connect::{Connection, Target, connect, sqlstate};

/// How long the statements of a dump may wait, and take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// `None`: for ever.
    pub(crate) lock: Option<Duration>,
    /// `None`: for ever.
    pub(crate) statement: Option<Duration>,
}

impl Patience {
    /// As statements, for the transaction.
    pub(crate) fn sql(&self) -> String {
        let millis = |limit: Option<Duration>| limit.map_or(0, |limit| limit.as_millis().max(1));
        format!(
            "SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}",
            millis(self.lock),
            millis(self.statement)
        )
    }
}

/// Sessions that are opened when they are needed, and kept for the next part.
pub(crate) struct Lanes {
    target: Target,
    snapshot: String,
    patience: Patience,
    idle: Mutex<Vec<Connection>>,
}

impl Lanes {
    pub(crate) fn new(target: Target, snapshot: String, patience: Patience) -> Self {
        Self { target, snapshot, patience, idle: Mutex::default() }
    }

    /// A session that nobody else uses.
    pub(crate) async fn take(&self) -> Result<Lane<'_>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().await?,
        };
        Ok(Lane { lanes: self, connection: Some(connection) })
    }

    async fn open(&self) -> Result<Connection> {
        let connection = connect(&self.target, "dumprestore: dump, lane").await?;
        self.join(&connection).await?;
        Ok(connection)
    }

    /// Begins the transaction that sees what is pinned.
    pub(super) async fn join(&self, connection: &Connection) -> Result<()> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; {}{}",
            crate::quote::literal(&self.snapshot),
            connection.local_basics(),
            self.patience.sql()
        );
        let joined = connection.batch_execute(&sql).await;
        joined.map_err(|error| of_snapshot(connection.fault(error, "can't join the pinned snapshot")))
    }

    /// Ends all sessions that are idle.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            connection.close().await;
        }
    }
}

fn of_snapshot(error: Error) -> Error {
    match sqlstate(&error) {
        Some("22023" | "42704") => error.with_hint(
            "the session that holds the snapshot was ended, or this is another server: run it again",
        ),
        _ => error,
    }
}

/// A session, for as long as one part takes. Dropped before it is given back, its statement is cancelled.
pub(crate) struct Lane<'a> {
    lanes: &'a Lanes,
    connection: Option<Connection>,
}

impl Lane<'_> {
    /// Keeps the session for another part: its transaction is as it was.
    pub(crate) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Lane<'_> {
    pub(crate) fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::defect("a lane is used after it was given back"))
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Cut off, the server would notice only when it next has something to send.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { connection.cancel().await });
        }
    }
}
