//! Who holds locks that are in our way: to look costs nobody anything, to wait in the queue of a lock stops all behind us.

use dumprestore_driver::Result;

use crate::connect::Connection;

/// What of others' locks is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InTheWay {
    /// Of an `ACCESS EXCLUSIVE` lock: every one.
    Any,
    /// Of a `SHARE` lock: those of who writes.
    Writers,
}

/// Whether one of `tables`, given quoted, is locked by a transaction that is no short one, or is prepared.
pub(crate) async fn are_held(session: &Connection, tables: &[String], which: InTheWay) -> Result<bool> {
    let modes = match which {
        InTheWay::Any => "",
        InTheWay::Writers => "AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock')",
    };
    // Activity is as it was when a transaction looked first, unless that is forgotten.
    let asked = format!(
        "SELECT EXISTS (SELECT FROM (SELECT pg_catalog.pg_stat_clear_snapshot() OFFSET 0) forgotten, \
            pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
        WHERE l.granted AND l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() {modes} \
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
        AND (l.pid IS NULL OR a.xact_start < pg_catalog.clock_timestamp() - interval '100 ms') \
        AND l.relation = ANY ($1::text[]::pg_catalog.regclass[]::oid[]))"
    );
    let row = session.query_one(&asked, &[&tables]).await;
    Ok(row.map_err(|error| session.fault(error, "can't read which locks others hold"))?.get(0))
}
