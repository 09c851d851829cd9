//! Locks on all that is replaced, taken at once.

use std::future::Future;
use std::time::{Duration, Instant};

use dumprestore_driver::{Error, Result};

use super::super::server::Server;
use crate::connect::{Connection, sqlstate};
use crate::holders::{self, InTheWay};

/// How long a try may wait for one lock while it holds others: what applications notice of it.
const TRY: Duration = Duration::from_millis(50);

/// 0 would be for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// Between two tries others get on, at first for so long, and then for longer.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// For how long it is applications that come first, and then again, if the configuration sets no limit.
const POLITE: Duration = Duration::from_secs(30);

/// For how long it insists at most, of `lock_timeout` a half at most: several times `deadlock_timeout`, which is a second
/// where nobody has changed it, since the server may have to end one session after the other.
const INSIST: Duration = Duration::from_secs(5);

/// Locks all of `tables`, given quoted, so that nobody else reads or writes them until the end of the transaction.
///
/// While it waits for one it holds others, and stops all who come for them. So it looks first, without any lock, for
/// transactions that are not soon over; and it tries for a moment, which is less than `deadlock_timeout`, lets go of all,
/// and pauses. If others and it wait for each other it is thus never an application that the server ends. Where that does
/// not help, as applications without a pause lock tables now in this order and now in that, it insists for the last
/// seconds of `lock_timeout`: the server then ends one or the other, and they go on once they are let.
///
/// # Errors
/// If others hold one for longer: they are named.
pub(super) async fn lock(server: &Server, session: &Connection, tables: &[String]) -> Result<()> {
    let mut begun = Instant::now();
    let insistence = server.lock_timeout.map_or(INSIST, |longest| INSIST.min(longest / 2));
    let polite = server.lock_timeout.map_or(POLITE, |longest| longest.saturating_sub(insistence));
    let mut pause = PAUSE;
    while !tables.is_empty() {
        let insists = begun.elapsed() >= polite;
        if insists || !holders::are_held(session, tables, InTheWay::Any).await? {
            let rest = server.lock_timeout.map_or(INSIST, |longest| longest.saturating_sub(begun.elapsed()));
            let locked = match insists {
                true => or_none(session, insist(session, tables, rest.max(TRY))).await,
                false => or_none(session, try_lock(session, tables)).await,
            };
            let Err(error) = locked else { break };
            if !matches!(sqlstate(&error), Some("55P03" | "40P01")) {
                return Err(error);
            }
            let is_over = server.lock_timeout.is_some_and(|longest| begun.elapsed() >= longest);
            if is_over || insists && server.lock_timeout.is_some() && sqlstate(&error) == Some("55P03") {
                return Err(explained(session, error, tables).await);
            }
            if insists && server.lock_timeout.is_none() {
                begun = Instant::now();
            }
        }
        // It does not sleep into the time in which it insists, and hardly at all in that.
        let until_insistence = polite.saturating_sub(begun.elapsed()).max(PAUSE);
        tokio::time::sleep(pause.min(until_insistence)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    // For what could not be named here, such as views: who uses them uses tables as well.
    let rest = server.lock_timeout.map_or(0, |longest| longest.as_millis());
    run(session, &format!("SET LOCAL lock_timeout = {rest}")).await
}

/// Locks all, or none.
async fn or_none(session: &Connection, locking: impl Future<Output = Result<()>>) -> Result<()> {
    run(session, "SAVEPOINT locks").await?;
    match locking.await {
        Ok(()) => run(session, "RELEASE locks").await,
        Err(error) => {
            run(session, "ROLLBACK TO locks; RELEASE locks").await?;
            Err(error)
        }
    }
}

async fn try_lock(session: &Connection, tables: &[String]) -> Result<()> {
    let timeout = TRY.as_millis();
    let tables = tables.join(", ");
    let statement =
        format!("SET LOCAL lock_timeout = {timeout}; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
    run(session, &statement).await
}

/// Locks one after the other, and waits for all of them for at most so long.
///
/// Who waits for `deadlock_timeout` looks whether others wait for what it holds, and if so is the one that is ended: once
/// in a wait. An application that holds a table we want, and comes for one that we have, may come later than we, and would
/// then go on holding it. So a wait of ours begins anew before its time has come, and it is theirs that comes first.
async fn insist(session: &Connection, tables: &[String], longest: Duration) -> Result<()> {
    let asked = "SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'";
    let found = session.query_one(asked, &[]).await;
    let found = found.map_err(|error| session.fault(error, "can't lock what is to be replaced"))?;
    let until_checked = Duration::from_millis(found.get::<_, i64>(0).unsigned_abs());
    let first = (until_checked * 4 / 5).clamp(TRY, longest);
    let end = Instant::now() + longest;
    // Once that is past, what is free is still taken, and the server knows no shorter wait.
    let left = || end.saturating_duration_since(Instant::now()).max(SHORTEST);
    for table in tables {
        let wait = async |longest: Duration| {
            let timeout = longest.as_millis();
            run(
                session,
                &format!("SET LOCAL lock_timeout = {timeout}; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"),
            )
            .await
        };
        run(session, "SAVEPOINT one").await?;
        match wait(first.min(left())).await {
            Err(error) if sqlstate(&error) == Some("55P03") => {
                run(session, "ROLLBACK TO one").await?;
                wait(left()).await?;
            }
            locked => locked?,
        }
        run(session, "RELEASE one").await?;
    }
    Ok(())
}

async fn run(session: &Connection, statement: &str) -> Result<()> {
    let done = session.batch_execute(statement).await;
    done.map_err(|error| session.fault(error, "can't lock what is to be replaced"))
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
