//! The one transaction: begun, and what became of it, also when its answer got lost.
//!
//! A server knows of each transaction whether it was committed. After a crash it could give a number out a second time,
//! if nothing of the first was on disk: so before the commit all of the transaction is brought to disk, its commit
//! apart.

use std::time::Duration;

use dumprestore_driver::{Error, Result};

use super::super::server::{Server, identity};
use super::entry::Transaction;
use crate::connect::Connection;

/// How long a transaction may take to end once its session is gone.
const TRIES: usize = 300;
const BETWEEN: Duration = Duration::from_millis(100);

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    /// The server does not know any more.
    Unknown,
}

const TIMELINE: &str =
    "SELECT pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)";

/// Begins one, and tells by what it is known.
pub(super) async fn begin(session: &Connection) -> Result<Transaction> {
    let failed = |error| session.fault(error, "can't begin a restore in place");
    let server = identity(session).await;
    let timeline = session.query_one(TIMELINE, &[]).await.map_err(failed)?.get(0);
    session.batch_execute("BEGIN").await.map_err(failed)?;
    let id = session.query_one("SELECT pg_catalog.txid_current()", &[]).await.map_err(failed)?.get(0);
    Ok(Transaction { id, timeline, server })
}

/// Brings to disk that there is this transaction: from then on its number is its own, whatever happens.
pub(super) async fn keep_number(server: &Server, session: &Connection) -> Result<()> {
    let noted = "SELECT pg_catalog.pg_logical_emit_message(true, 'dumprestore', '')";
    let what = "can't bring a restore in place to disk";
    session.query_one(noted, &[]).await.map_err(|error| session.fault(error, what))?;
    // What is committed is on disk, and all that was written before it.
    let other = server.session(&server.target.database).await?;
    let statement = format!("SET synchronous_commit = on; BEGIN; {noted}; COMMIT");
    other.batch_execute(&statement).await.map_err(|error| other.fault(error, what))?;
    other.close().await;
    Ok(())
}

/// What became of a transaction whose session is gone.
///
/// # Errors
/// If the server can't be asked, or is not the one that it was begun on.
pub(super) async fn outcome(session: &Connection, of: &Transaction) -> Result<Outcome> {
    of.check_server(identity(session).await.as_deref())?;
    let failed = |error| session.fault(error, "can't ask what became of a restore in place");
    let timeline: String = session.query_one(TIMELINE, &[]).await.map_err(failed)?.get(0);
    if timeline != of.timeline {
        // A standby that took over may not have heard of it, and have given its number to another.
        return Ok(Outcome::Unknown);
    }
    for _ in 0..TRIES {
        let asked = "SELECT pg_catalog.txid_status($1)";
        let row = session.query_one(asked, &[&of.id]).await.map_err(failed)?;
        match row.get::<_, Option<&str>>(0) {
            Some("committed") => return Ok(Outcome::Committed),
            Some("aborted") => return Ok(Outcome::RolledBack),
            Some(_) => tokio::time::sleep(BETWEEN).await,
            None => return Ok(Outcome::Unknown),
        }
    }
    Err(Error::environment("the transaction of a restore in place is still open at the server")
        .with_hint("end the session that it belongs to, then run `dumprestore recover`"))
}
