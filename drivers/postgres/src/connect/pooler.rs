//! Whether a session is one: some poolers give each transaction whichever session of the server is free.

use std::time::Duration;

use dumprestore_driver::{Error, Result};
use tokio_postgres::SimpleQueryMessage;

use super::{Connection, connect};

/// How long a second session may take. A pooler may have none to give.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the same session is looked at: a pooler may take its sessions in turns.
const LOOKS: usize = 3;

/// Refuses a server behind such a pooler, where it shows. One whose sessions are all busy may stay unnoticed.
///
/// # Errors
/// If the session is not always the same at the server, or is another's as well.
pub(crate) async fn refuse_pooler(session: &Connection) -> Result<()> {
    if !is_shared(session).await? {
        return Ok(());
    }
    Err(Error::config("between here and the server is a pooler that gives each transaction another session")
        .with_hint("give in `url` the server's own host and port, or those of a pooler in session mode"))
}

async fn is_shared(session: &Connection) -> Result<bool> {
    let first = backend(session).await?;
    for _ in 1..LOOKS {
        if backend(session).await? != first {
            return Ok(true);
        }
    }
    // The one that was used last may be given again: then both of us have it. Who may not have a second session goes
    // without this look.
    let Ok(Ok(other)) = tokio::time::timeout(PATIENCE, busy(session)).await else { return Ok(false) };
    let (other, held) = other;
    let is_shared = held == first || backend(session).await? != first;
    other.close().await;
    Ok(is_shared)
}

/// Another session, in a transaction, and its number at the server.
async fn busy(session: &Connection) -> Result<(Connection, String)> {
    let other = connect(session.target(), "second session").await?;
    let begun = other.batch_execute("BEGIN").await;
    begun.map_err(|error| other.fault(error, "can't begin a transaction"))?;
    let held = backend(&other).await?;
    Ok((other, held))
}

/// The number of a session at the server. Asked simply: what is prepared may be elsewhere already.
async fn backend(session: &Connection) -> Result<String> {
    let said = session.simple_query("SELECT pg_catalog.pg_backend_pid()").await;
    let said = said.map_err(|error| session.fault(error, "can't ask a server which session this is"))?;
    let number = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    number.ok_or_else(|| Error::environment("a server did not tell which session this is"))
}
