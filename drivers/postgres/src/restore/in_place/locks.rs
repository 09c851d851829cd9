//! Locks on all that is replaced, taken at once.

use std::time::{Duration, Instant};

use dumprestore_driver::{Error, Result};

use super::super::server::Server;
use crate::connect::{Connection, sqlstate};

/// Between two tries, others get on.
const PAUSE: Duration = Duration::from_millis(50);

/// For how long it is applications that come first, if the configuration sets no limit.
const POLITE: Duration = Duration::from_secs(30);

/// Locks all of `tables`, given quoted, so that nobody else reads or writes them until the end of the transaction.
///
/// While it waits for one it holds others: so it waits for less than `deadlock_timeout`, lets go of all, and tries again.
/// If others and it wait for each other it is thus never an application that the server ends. Where that does not help,
/// as applications without a pause lock tables now in this order and now in that, it insists for the second half of
/// `lock_timeout`: the server then ends one or the other, and they go on once they are let.
///
/// # Errors
/// If others hold one for longer: they are named.
pub(super) async fn lock(server: &Server, session: &Connection, tables: &[String]) -> Result<()> {
    let begun = Instant::now();
    let short = patience(session).await?;
    while !tables.is_empty() {
        let left = server.lock_timeout.map(|longest| longest.saturating_sub(begun.elapsed()));
        let insists = begun.elapsed() > server.lock_timeout.map_or(POLITE, |longest| longest / 2);
        // 0 is for ever.
        let rest = left.map_or(Duration::ZERO, |left| left.max(Duration::from_millis(1)));
        let wait = if insists { rest } else { short };
        let Err(error) = try_lock(session, tables, wait).await else { break };
        let busy = matches!(sqlstate(&error), Some("55P03" | "40P01"));
        if !busy {
            return Err(error);
        }
        if left.is_some_and(|left| left.is_zero()) || insists && sqlstate(&error) == Some("55P03") {
            return Err(explained(session, error, tables).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
    // For what could not be named here, such as views: who uses them uses tables as well.
    let rest = server.lock_timeout.map_or(0, |longest| longest.as_millis());
    run(session, &format!("SET LOCAL lock_timeout = {rest}")).await
}

/// Locks all, or none.
async fn try_lock(session: &Connection, tables: &[String], wait: Duration) -> Result<()> {
    let statement = format!(
        "SAVEPOINT locks; SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        wait.as_millis(),
        tables.join(", ")
    );
    match run(session, &statement).await {
        Ok(()) => run(session, "RELEASE locks").await,
        Err(error) => {
            run(session, "ROLLBACK TO locks; RELEASE locks").await?;
            Err(error)
        }
    }
}

async fn run(session: &Connection, statement: &str) -> Result<()> {
    let done = session.batch_execute(statement).await;
    done.map_err(|error| session.fault(error, "can't lock what is to be replaced"))
}

async fn patience(session: &Connection) -> Result<Duration> {
    let asked = "SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'";
    let row = session.query_one(asked, &[]).await;
    let row = row.map_err(|error| session.fault(error, "can't read `deadlock_timeout`"))?;
    let longest = u64::try_from(row.get::<_, i64>(0)).unwrap_or(1000) * 7 / 10;
    Ok(Duration::from_millis(longest.max(1)))
}

/// Who holds locks on these tables.
async fn explained(session: &Connection, error: Error, tables: &[String]) -> Error {
    let asked = "SELECT DISTINCT pg_catalog.format('pid %s (user `%s`, application `%s`)', a.pid, a.usename, \
            a.application_name) \
        FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
        WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_catalog.pg_backend_pid() \
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
        AND l.relation = ANY ($1::text[]::pg_catalog.regclass[]::oid[]) ORDER BY 1 LIMIT 5";
    let holders = session.query(asked, &[&tables]).await.unwrap_or_default();
    let holders: Vec<String> = holders.iter().map(|row| row.get(0)).collect();
    let error = match holders.as_slice() {
        [] => error,
        holders => error.with_context("held by", holders.join(", ")),
    };
    error.with_hint("end these sessions, or their transactions; or raise `lock_timeout`")
}
