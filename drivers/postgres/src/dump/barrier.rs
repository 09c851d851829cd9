//! Keeping writers out for as long as a locked cut takes.

use std::time::{Duration, Instant};

use dumprestore_driver::{Error, ErrorKind, Result};

use crate::connect::{Connection, Target, connect, sqlstate};
use crate::holders::{self, InTheWay};

/// How long a try may wait while it holds other locks: what writers notice of it.
const TRY: Duration = Duration::from_millis(50);

/// Between two tries writers get on, at first for so long, and then for longer.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// At the end, the tries are longer than that, for so long.
const INSIST: Duration = Duration::from_secs(3);

/// For how long tables are tried to lock, if the configuration sets no limit.
const LONGEST: Duration = Duration::from_secs(60);

/// `SHARE` locks on tables, held by a session of their own.
pub(crate) struct Barrier {
    connection: Connection,
    since: Instant,
}

impl Barrier {
    /// Locks all of `tables`, given quoted, or none. While it waits for one table it holds others, and stops who writes
    /// to them. So it looks first, without any lock, for writers that are not soon done; and it tries for a moment, lets
    /// go, and pauses. Only for the last seconds does it try for longer, yet for less than `deadlock_timeout`: if writers
    /// and it wait for each other it is thus never a writer that the server ends.
    pub(crate) async fn raise(
        target: &Target,
        tables: &[String],
        patience: Option<Duration>,
    ) -> Result<Self> {
        let connection = connect(target, "dumprestore: dump, locked cut").await?;
        let longer = Duration::from_millis(deadlock_timeout(&connection).await? * 7 / 10).max(TRY);
        let patience = patience.unwrap_or(LONGEST);
        let until = Instant::now() + patience;
        let insists_from = until - INSIST.min(patience / 4);
        let mut pause = PAUSE;
        loop {
            let since = Instant::now();
            let insists = since >= insists_from;
            if insists || !holders::are_held(&connection, tables, InTheWay::Writers).await? {
                let wait = if insists { longer } else { TRY };
                match try_lock(&connection, tables, wait).await {
                    Ok(()) => return Ok(Self { connection, since }),
                    Err(error) if is_wait(&error) && Instant::now() < until => {}
                    Err(error) => return Err(told(error)),
                }
            }
            let rest = insists_from.saturating_duration_since(Instant::now()).max(PAUSE);
            tokio::time::sleep(pause.min(rest)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lets writers go on, and says how long the first of them may have had to wait.
    pub(crate) async fn lower(self) -> Duration {
        // Closing the session releases its locks.
        self.connection.close().await;
        self.since.elapsed()
    }
}

async fn deadlock_timeout(connection: &Connection) -> Result<u64> {
    let sql = "SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'";
    let rows = connection.query(sql, &[]).await;
    let rows = rows.map_err(|error| connection.fault(error, "can't read `deadlock_timeout`"))?;
    Ok(rows.first().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()).unwrap_or(1000))
}

async fn try_lock(connection: &Connection, tables: &[String], wait: Duration) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let what = "can't lock the tables for the cut";
    let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", wait.as_millis());
    connection.batch_execute(&begin).await.map_err(|error| connection.fault(error, what))?;
    let lock = format!("LOCK TABLE ONLY {} IN SHARE MODE", tables.join(", ONLY "));
    if let Err(error) = connection.batch_execute(&lock).await {
        let error = connection.fault(error, what);
        connection.batch_execute("ROLLBACK").await.map_err(|error| connection.fault(error, what))?;
        return Err(error);
    }
    Ok(())
}

fn is_wait(error: &Error) -> bool {
    matches!(sqlstate(error), Some("57014" | "55P03" | "40P01"))
}

fn told(error: Error) -> Error {
    match sqlstate(&error) {
        Some("57014" | "55P03" | "40P01") => {
            error.with_hint("a writer's transaction is open for long: end it, or raise `lock_timeout`")
        }
        Some("42501") => error.with_hint(
            "a locked cut needs the right to change the tables: grant `UPDATE` on them, or set `if_uncertified` to \
             another policy",
        ),
        Some("25006" | "55000") => error
            .with_kind(ErrorKind::Unsupported)
            .with_hint("a standby can't keep the primary's writers out: dump the primary"),
        _ => error,
    }
}
