//! Sessions of the staged database, used by one thing at a time.

use std::sync::{Mutex, PoisonError};

use dumprestore_driver::{Error, Result};

use super::server::Server;
use crate::connect::Connection;

/// What `pg_restore` would set, and what makes loading quick. Nothing of the staged database has to be on disk before
/// the swap, whose commit is. `maintenance_work_mem` stays as the server has it: with more of it indexes are built no
/// sooner, and those of the kind `gin` later.
pub(super) const SETTINGS: &str = "\
    SET synchronous_commit = off;\
    SET check_function_bodies = off;\
    SET xmloption = content;\
    SET default_tablespace = ''";

/// Sessions of one database. As many are opened as are in use at once.
pub(crate) struct Lanes {
    server: Server,
    database: String,
    free: Mutex<Vec<Connection>>,
}

impl Lanes {
    pub(crate) fn new(server: Server, database: &str) -> Self {
        Self { server, database: database.to_owned(), free: Mutex::default() }
    }

    /// A session that nobody else uses. One that is not [given back](Self::give_back) is cut off.
    ///
    /// # Errors
    /// If one that was given back has ended since: a server that crashed, and came up again, has lost what was loaded
    /// last.
    pub(crate) async fn take(&self) -> Result<Connection> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(session) if session.is_closed() => Err(lost()),
            Some(session) => Ok(session),
            None => self.open().await,
        }
    }

    /// Lets others use a session, which is in no transaction.
    pub(crate) fn give_back(&self, session: Connection) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Makes sure that no session has ended since it was given back. A crash of the server ends all: so, if anything that
    /// was committed since is on disk, all that they committed is.
    pub(crate) async fn check(&self) -> Result<()> {
        let sessions = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        for session in sessions {
            session.batch_execute("SELECT 1").await.map_err(|error| lost().with_source(error))?;
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

    async fn open(&self) -> Result<Connection> {
        let session = self.server.session(&self.database).await?;
        let failed = |error| session.fault(error, "can't set a session up");
        session.batch_execute(SETTINGS).await.map_err(failed)?;
        if session.version() >= 120_000 {
            session.batch_execute("SET default_table_access_method = heap").await.map_err(failed)?;
        }
        Ok(session)
    }
}

fn lost() -> Error {
    Error::environment(
        "the server has ended a session of the restore, and may have lost what was loaded last",
    )
    .with_hint("see the server's log: it may have been stopped, or killed; then run it again")
}
