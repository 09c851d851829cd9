//! Rows, from the server into a part.

use std::io::Write;

use dumprestore_driver::{Error, PartWriter, Result};

use super::lanes::Lane;
use super::pin::Pinned;
use crate::connect::{Connection, sqlstate};

/// What is handed on is of this size, but for the last.
const HANDED_ON: usize = 256 << 10;

/// Copies rows of `table` into `out`, and counts them.
pub(crate) async fn dump(pinned: &Pinned, table: &str, copy: &str, out: &mut PartWriter<'_>) -> Result<u64> {
    match lane_for(pinned, table).await? {
        Some(lane) => {
            let rows = copy_out(lane.connection()?, copy, out).await?;
            lane.give_back();
            Ok(rows)
        }
        None => copy_out(&*pinned.main.lock().await, copy, out).await,
    }
}

/// A lane that may read the table without waiting.
///
/// `None`, if somebody waits to change it. Such a one waits for the session that holds the snapshot, and whoever comes
/// later, as a lane would, waits for him: so the session with the lock must read it itself. The same if the server takes
/// no more sessions.
async fn lane_for<'a>(pinned: &'a Pinned, table: &str) -> Result<Option<Lane<'a>>> {
    let lane = match pinned.lanes.take().await {
        Ok(lane) => lane,
        Err(error) if sqlstate(&error) == Some("53300") => return Ok(None),
        Err(error) => return Err(error),
    };
    let connection = lane.connection()?;
    // The lock outlives the savepoint; savepoints that stayed would lie one within the other, part by part.
    let lock = format!("SAVEPOINT lane; LOCK TABLE ONLY {table} IN ACCESS SHARE MODE NOWAIT; RELEASE lane");
    let Err(error) = connection.batch_execute(&lock).await else { return Ok(Some(lane)) };
    let error = connection.fault(error, "can't lock a table for reading").with_context("table", table);
    if sqlstate(&error) != Some("55P03") {
        return Err(error);
    }
    connection
        .batch_execute("ROLLBACK TO lane; RELEASE lane")
        .await
        .map_err(|error| connection.fault(error, "can't use a lane again"))?;
    lane.give_back();
    Ok(None)
}

async fn copy_out(connection: &Connection, copy: &str, out: &mut PartWriter<'_>) -> Result<u64> {
    let failed = |error| told(connection.fault(error, "can't read the rows of a table"), copy);
    let mut copying = connection.copy_rows(copy).await.map_err(failed)?;
    let mut gathered = Vec::with_capacity(HANDED_ON);
    let mut rows = 0_u64;
    loop {
        let goes_on = copying.fill(&mut gathered, HANDED_ON).await.map_err(failed)?;
        // In text, every line end within a value is escaped: those that are left end rows.
        rows += memchr::memchr_iter(b'\n', &gathered).count() as u64;
        write(out, &gathered)?;
        gathered.clear();
        if !goes_on {
            return Ok(rows);
        }
    }
}

pub(super) fn write(out: &mut PartWriter<'_>, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| Error::io("can't write a part", error))
}

/// What an error of the server while rows are read comes from, mostly.
pub(super) fn told(error: Error, what: &str) -> Error {
    let error = error.with_context("statement", what.escape_debug());
    match sqlstate(&error) {
        Some("40001") => error.with_hint(
            "the standby threw the snapshot away to go on replaying: set `max_standby_streaming_delay = -1` or \
             `hot_standby_feedback = on` there, or dump the primary",
        ),
        Some("42501") => error.with_hint(
            "the login may not read all of it (row-level security counts too): grant it, or use a login with `BYPASSRLS`",
        ),
        Some("XX001" | "XX002" | "58P01") => {
            error.with_hint("the server's files are damaged: see its log, and think of the last good dump")
        }
        _ => error,
    }
}
