//! Whether all sessions are of one server. A name may lead to several, and what balances them may give each session another
//! one: then each would see a moment of its own, and rows would be missing, or there twice.

use dumprestore_driver::{Error, Result};

use crate::connect::Session;

/// The server that a session is of, by what no two have in common.
///
/// # Errors
/// If the session is another one of the server's than at its beginning.
pub(super) async fn identity(session: &mut Session) -> Result<String> {
    // A copy of a server may have the same identifier.
    let own = if session.server().is_mariadb() { "" } else { ", @@server_uuid" };
    let sql =
        format!("SELECT CONNECTION_ID(), CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir{own})");
    let rows = session.rows(sql).await?;
    let row = rows.first().ok_or_else(|| Error::environment("a server did not tell which one it is"))?;
    if row.number(0)? != session.id() {
        return Err(Error::environment(
            "something between us and the server gives each statement another session",
        )
        .with_hint("point `url` at the server itself, or at a pooler that keeps sessions apart"));
    }
    Ok(row.text(1)?.to_owned())
}

/// Compares it with that of another session.
///
/// # Errors
/// If they are not the same.
pub(super) fn same(one: &str, other: &str) -> Result<()> {
    match one == other {
        true => Ok(()),
        false => Err(Error::environment(
            "`url` leads to several servers: what is dumped would be of several moments",
        )
        .with_context("one", one.escape_debug())
        .with_context("another", other.escape_debug())
        .with_hint("name one server, not what balances them")),
    }
}
