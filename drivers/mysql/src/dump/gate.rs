//! Keeping everybody from changing anything for the moment of the cut.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, CutMode, Error, Result};
use tokio::sync::MappedMutexGuard;

use super::kept::Kept;
use crate::catalog::{Process, Rights, processes};
use crate::connect::{Server, Session, code};
use crate::quote;

/// A lock is waited for only so long, in seconds: whoever wants to write queues behind whoever waits.
pub(super) const TRY: u32 = 1;
/// The server's number of an error: a lock was waited for in vain.
const LATE: u16 = 1205;
/// Between two tries writers get on, at first for so long, and then for longer.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// In seconds; longer than any archive takes.
const PATIENCE: u32 = 86_400;
/// How often it is looked for a moment in which no statement runs, and how long between two looks.
const LOOKS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

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
    /// Those that such a server knows, the best one first.
    ///
    /// Locks on tables wait for transactions, and the server may end one of those with an error if it waits for us in turn.
    /// So they come second, but where the lock may last: then nobody else's writers are to wait.
    pub(super) fn ranking(server: &Server, mode: CutMode) -> &'static [Self] {
        match (server.is_mariadb_since(10, 4, 1), mode) {
            (true, CutMode::Open) => &[Self::BackupStage, Self::LockTables, Self::SingleConnection],
            (true, CutMode::Locked) => &[Self::LockTables, Self::BackupStage, Self::SingleConnection],
            (false, CutMode::Open) => &[Self::FlushTables, Self::LockTables, Self::SingleConnection],
            (false, CutMode::Locked) => &[Self::LockTables, Self::FlushTables, Self::SingleConnection],
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
pub(super) enum Tried {
    /// It is held.
    Held(Gate),
    /// The login has no right to it.
    Denied(Session, Error),
    /// One of the tables is gone meanwhile.
    Changed(Session),
}

/// Keeps everybody out, until it is opened.
pub(super) struct Gate {
    kept: Kept,
    cut: Cut,
    /// When the try began that did it.
    since: Instant,
    /// How long it was held, once it was let go.
    held: OnceLock<Duration>,
}

impl Gate {
    /// Locks. `tables` are those of the dump, for a cut that locks them one by one.
    ///
    /// # Errors
    /// If somebody is in the way until `until`.
    pub(super) async fn shut(
        mut session: Session,
        cancel: &Cancel,
        cut: Cut,
        tables: &[String],
        until: Instant,
    ) -> Result<Tried> {
        if cut == Cut::FlushTables
            && let Some(why) = unwise_to_flush(&mut session, cancel).await?
        {
            return Ok(Tried::Denied(session, Error::environment(why)));
        }
        // A flush that has given up is not tried again.
        let until = if cut == Cut::FlushTables { Instant::now() } else { until };
        let error = match insist(&mut session, &cut.shut(tables), cut.open(), until, cancel).await {
            Ok(since) => {
                let kept = Kept::new(session).await?;
                return Ok(Tried::Held(Self { kept, cut, since, held: OnceLock::new() }));
            }
            Err(error) => error,
        };
        match code(&error) {
            Some(code) if is_denial(code) || code == LATE && cut == Cut::FlushTables => {
                Ok(Tried::Denied(session, error))
            }
            Some(code) if is_change(code) => Ok(Tried::Changed(session)),
            _ => Err(error),
        }
    }

    /// The session that holds the lock.
    ///
    /// # Errors
    /// None, before it is opened.
    pub(super) async fn session(&self) -> Result<MappedMutexGuard<'_, Session>> {
        self.kept.session().await
    }

    /// Lets everybody go on. Says how long the first of them may have had to wait.
    ///
    /// # Errors
    /// If the lock was lost before.
    pub(super) async fn let_go(&self) -> Result<Duration> {
        if let Some(held) = self.held.get() {
            return Ok(*held);
        }
        let mut session = self.kept.session().await?;
        session.heed_nothing();
        if let Some(statement) = self.cut.open() {
            session.run(statement).await.map_err(|error| {
                Error::environment("the lock that keeps everybody out at the cut was lost")
                    .with_hint("the server ended its session, or this machine stood still: run it again")
                    .with_source(error)
            })?;
        }
        Ok(*self.held.get_or_init(|| self.since.elapsed()))
    }

    /// The same, unless everybody goes on already; and gives the session back, for whatever comes later.
    ///
    /// # Errors
    /// As [`let_go`](Self::let_go).
    pub(super) async fn open(self) -> Result<(Duration, Session)> {
        let held = self.let_go().await?;
        let mut session = self.kept.take().await.ok_or_else(|| Error::defect("a lock is let go twice"))?;
        // It is silent while other nodes are certified and dumped.
        session.run(format!("SET SESSION wait_timeout = {PATIENCE}")).await?;
        Ok((held, session))
    }
}

/// Why not to flush tables: it waits for each statement that is running, and if it gives up, nobody can use the tables of
/// that statement until it has ended. How long it will run, nobody knows: so there must be none.
async fn unwise_to_flush(session: &mut Session, cancel: &Cancel) -> Result<Option<&'static str>> {
    if !Rights::of(session).await?.everywhere("PROCESS") {
        return Ok(Some("flush_tables might stop others: without `PROCESS` it can't be seen what runs"));
    }
    for _ in 0..LOOKS {
        if !processes(session).await?.iter().any(Process::is_at_work) {
            return Ok(None);
        }
        tokio::select! {
            () = tokio::time::sleep(BETWEEN_LOOKS) => {}
            () = cancel.cancelled() => return Err(Error::cancelled()),
        }
    }
    Ok(Some("flush_tables might stop others: statements run all the time"))
}

/// Runs the statements that lock, again and again until all of them succeed: if one has to wait for too long, all is let
/// go for a while. Says when the try began that did it.
async fn insist(
    session: &mut Session,
    statements: &[String],
    undo: Option<&str>,
    until: Instant,
    cancel: &Cancel,
) -> Result<Instant> {
    session.run(format!("SET SESSION lock_wait_timeout = {TRY}")).await?;
    let mut pause = PAUSE;
    loop {
        let since = Instant::now();
        let Err(error) = run_all(session, statements).await else { return Ok(since) };
        if let Some(undo) = undo.filter(|_| !session.is_gone()) {
            // Nothing may be held yet.
            let _ = session.run(undo).await;
        }
        match code(&error) {
            Some(LATE | 1213 | 1150) if Instant::now() < until => {}
            Some(LATE) => {
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

/// Whether the server says with it that a table is no longer there, or another one now.
fn is_change(code: u16) -> bool {
    matches!(code, 1051 | 1146 | 1347 | 1356 | 1412)
}
