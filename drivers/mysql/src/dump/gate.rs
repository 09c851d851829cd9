//! Keeping everybody from changing anything for the moment of the cut.

use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Result};

use crate::config::Setup;
use crate::connect::{Server, Session, code};
use crate::quote;

/// A lock is waited for only so long, in seconds: whoever wants to write queues behind whoever waits.
pub(super) const TRY: u32 = 1;
/// Between two tries writers get on, at first for so long, and then for longer.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// By what means all sessions of a dump come to see the same moment; the best ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// MariaDB's `BACKUP STAGE`: commits, changes of definitions, and writers to tables without transactions wait.
    BackupStage,
    /// `FLUSH TABLES WITH READ LOCK`: the same, at the price of closing all tables.
    FlushTables,
    /// `LOCK TABLES … READ`: needs no right beyond the database, but waits for each transaction that has written.
    LockTables,
    /// No lock, and so one session only.
    SingleConnection,
}

impl Cut {
    /// The best that such a server knows.
    pub(crate) fn best(server: &Server) -> Self {
        if server.is_mariadb_since(10, 4, 1) { Self::BackupStage } else { Self::FlushTables }
    }

    /// What to do where there is no right to this one.
    pub(crate) fn lesser(self) -> Self {
        match self {
            // Both need the same right.
            Self::BackupStage | Self::FlushTables => Self::LockTables,
            Self::LockTables | Self::SingleConnection => Self::SingleConnection,
        }
    }

    /// As facts tell of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BackupStage => "backup_stage",
            Self::FlushTables => "flush_tables",
            Self::LockTables => "lock_tables",
            Self::SingleConnection => "single_connection",
        }
    }

    fn shut(self, tables: &[String]) -> Vec<String> {
        let owned = |statements: &[&str]| statements.iter().map(|one| (*one).to_owned()).collect();
        match self {
            Self::BackupStage => owned(&[
                "BACKUP STAGE START",
                "BACKUP STAGE FLUSH",
                "BACKUP STAGE BLOCK_DDL",
                "BACKUP STAGE BLOCK_COMMIT",
            ]),
            Self::FlushTables => owned(&["FLUSH TABLES WITH READ LOCK"]),
            Self::LockTables if !tables.is_empty() => vec![lock_tables(tables)],
            Self::LockTables | Self::SingleConnection => Vec::new(),
        }
    }

    fn open(self) -> Option<&'static str> {
        match self {
            Self::BackupStage => Some("BACKUP STAGE END"),
            Self::FlushTables | Self::LockTables => Some("UNLOCK TABLES"),
            Self::SingleConnection => None,
        }
    }
}

/// A statement that keeps writers from these tables.
pub(super) fn lock_tables(tables: &[String]) -> String {
    let locks: Vec<_> = tables.iter().map(|table| format!("{} READ", quote::name(table))).collect();
    format!("LOCK TABLES {}", locks.join(", "))
}

/// How a lock was tried for.
pub(super) enum Tried<T> {
    /// It is held.
    Held(T),
    /// The login has no right to it.
    Denied(Error),
}

/// Held by a session of its own.
pub(super) struct Gate {
    session: Session,
    cut: Cut,
    since: Instant,
}

impl Gate {
    /// Locks. `tables` are those of the dump, for a cut that locks them one by one.
    ///
    /// # Errors
    /// If somebody is in the way until `until`.
    pub(super) async fn shut(
        setup: &Setup,
        cancel: &Cancel,
        cut: Cut,
        tables: &[String],
        until: Instant,
    ) -> Result<Tried<Self>> {
        let mut session = Session::open(setup, "dump, cut").await?;
        session.heed(cancel);
        let held = insist(&mut session, &cut.shut(tables), cut.open(), until, cancel).await?;
        Ok(match held {
            Tried::Held(since) => Tried::Held(Self { session, cut, since }),
            Tried::Denied(error) => {
                session.close().await;
                Tried::Denied(error)
            }
        })
    }

    /// The session that holds the lock.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Lets everybody go on, and says how long the first of them may have had to wait.
    pub(super) async fn open(mut self) -> Duration {
        // Where it is refused, the end of the session does it.
        if let Some(statement) = self.cut.open() {
            self.session.heed_nothing();
            let _ = self.session.run(statement).await;
        }
        let waited = self.since.elapsed();
        self.session.close().await;
        waited
    }
}

/// Runs the statements that lock, again and again until all of them succeed: if one has to wait for too long, all is let
/// go for a while. Says when the try began that did it.
async fn insist(
    session: &mut Session,
    statements: &[String],
    undo: Option<&str>,
    until: Instant,
    cancel: &Cancel,
) -> Result<Tried<Instant>> {
    session.run(format!("SET SESSION lock_wait_timeout = {TRY}")).await?;
    let mut pause = PAUSE;
    loop {
        let since = Instant::now();
        let Err(error) = run_all(session, statements).await else { return Ok(Tried::Held(since)) };
        if let Some(undo) = undo.filter(|_| !session.is_gone()) {
            // Nothing may be held yet.
            let _ = session.run(undo).await;
        }
        match code(&error) {
            Some(code) if is_denial(code) => return Ok(Tried::Denied(error)),
            Some(1205 | 1213 | 1150) if Instant::now() < until => {}
            Some(1205) => {
                return Err(error.with_hint(
                    "a statement or a transaction is open for long: end it, or raise `lock_timeout`",
                ));
            }
            _ => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => return Err(Error::cancelled()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn run_all(session: &mut Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        session.run(statement).await?;
    }
    Ok(())
}

/// Whether the server says with it that the login may not. Services where nobody has all rights say so in several ways.
pub(super) fn is_denial(code: u16) -> bool {
    matches!(code, 1044 | 1045 | 1142 | 1227 | 1370 | 3161 | 1289 | 1235)
}
