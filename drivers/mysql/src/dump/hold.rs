//! Tables whose engine has no transactions: no snapshot shows them as they were at the cut. So they are kept as they were,
//! by a lock that lasts until they are dumped.

use std::sync::atomic::{AtomicUsize, Ordering};

use dumprestore_driver::{Error, Result};
use tokio::sync::MappedMutexGuard;

use super::gate::{TRY, is_denial, lock_tables};
use super::kept::Kept;
use crate::connect::{Session, code};

/// `LOCK TABLES … READ`, held by a session of its own. Writers wait; readers don't.
pub(super) struct Hold {
    kept: Kept,
    /// Parts of these tables that are still to be dumped.
    left: AtomicUsize,
}

impl Hold {
    /// By this session. Nothing is locked yet.
    pub(super) async fn new(mut session: Session) -> Result<Self> {
        session.run(format!("SET SESSION lock_wait_timeout = {TRY}")).await?;
        Ok(Self { kept: Kept::new(session).await?, left: AtomicUsize::new(0) })
    }

    /// The session that holds the locks.
    ///
    /// # Errors
    /// If they were let go.
    pub(super) async fn session(&self) -> Result<MappedMutexGuard<'_, Session>> {
        self.kept.session().await
    }

    /// Locks these tables, and lets go what was locked before. Whoever writes to them is kept off already, so that there
    /// is nobody to wait for. An answer says that there is somebody after all.
    ///
    /// # Errors
    /// If the login may not.
    pub(super) async fn lock(&self, tables: &[String]) -> Result<Option<Error>> {
        let statement = if tables.is_empty() { "UNLOCK TABLES".to_owned() } else { lock_tables(tables) };
        let Err(error) = self.session().await?.run(statement).await else { return Ok(None) };
        match code(&error) {
            // Somebody is in the way; one of them is gone, or another thing.
            Some(1205 | 1213 | 1146 | 1347) => Ok(Some(error)),
            Some(denied) if is_denial(denied) => Err(Error::environment(
                "tables without transactions can't be dumped as they are at one moment: the login may not lock them",
            )
            .with_context("tables", some(tables))
            .with_hint(
                "grant it `LOCK TABLES`, or let writers go on with `non_transactional: live`, or convert them to InnoDB",
            )
            .with_source(error)),
            _ => Err(error),
        }
    }

    /// So many parts are to be dumped of them.
    pub(super) fn expect(&self, parts: usize) {
        self.left.store(parts, Ordering::SeqCst);
    }

    /// One of them is dumped. The last lets writers go on.
    pub(super) async fn done(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.release().await;
        }
    }

    /// Whether it still holds them: a server may have ended its session.
    ///
    /// # Errors
    /// If not: what is read after that may be of another moment.
    pub(super) async fn check(&self) -> Result<()> {
        let asked = self.session().await?.run("DO 0").await;
        asked.map(drop).map_err(|error| {
            Error::environment("the lock on tables without transactions was lost while they were dumped")
                .with_hint("run it again")
                .with_source(error)
        })
    }

    /// Lets writers go on.
    pub(super) async fn release(&self) {
        if let Some(session) = self.kept.take().await {
            session.close().await;
        }
    }
}

fn some(tables: &[String]) -> String {
    const MOST: usize = 5;
    let mut text =
        tables.iter().take(MOST).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    if tables.len() > MOST {
        text.push_str(&format!(" and {} more", tables.len() - MOST));
    }
    text
}
