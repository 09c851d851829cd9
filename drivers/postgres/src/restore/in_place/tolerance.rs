//! Statements that need not work for a restore to be of use.

use dumprestore_driver::{LedgerEntry, Result};

use crate::connect::{Connection, sqlstate};

/// Does all of it, or nothing: what this server, or this login, can't do is told, and the transaction goes on.
///
/// # Errors
/// Any other.
pub(super) async fn try_to(
    session: &Connection,
    what: &str,
    statements: &[String],
) -> Result<Option<LedgerEntry>> {
    let run = async |statement: &str| {
        session
            .batch_execute(statement)
            .await
            .map_err(|error| session.fault(error, format!("can't restore the {what}")))
    };
    let all = format!("SAVEPOINT tolerated; {}; RELEASE tolerated", statements.join("; "));
    let Err(error) = run(&all).await else { return Ok(None) };
    if !matches!(sqlstate(&error), Some("42501" | "42704" | "22023" | "0A000" | "55P02")) {
        return Err(error);
    }
    run("ROLLBACK TO tolerated; RELEASE tolerated").await?;
    Ok(Some(LedgerEntry::degrading(what, error.to_string())))
}
