//! The server, and what this login may do there.

use dumprestore_driver::Result;

use crate::catalog::Rights;
use crate::connect::{self, Row, Session};

/// What a server told.
pub(super) struct Server {
    pub(super) version: connect::Server,
    pub(super) login: String,
    pub(super) rights: Rights,
    pub(super) read_only: bool,
    /// Whether it takes changes from another server.
    pub(super) replica: bool,
    pub(super) local_infile: bool,
    pub(super) binary_log: bool,
    /// Whether functions and triggers are taken without a look at what they do to replicas.
    pub(super) trusts_functions: bool,
    pub(super) encrypted: bool,
    pub(super) free_connections: i64,
    /// What no other server has. Not every login may read it.
    pub(super) identity: Option<String>,
}

impl Server {
    pub(super) async fn ask(session: &mut Session) -> Result<Self> {
        let asked = "SELECT CURRENT_USER(), @@GLOBAL.read_only, @@GLOBAL.local_infile, @@GLOBAL.log_bin, \
            @@GLOBAL.log_bin_trust_function_creators, @@GLOBAL.max_connections";
        let rows = session.rows(asked).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        let is_on = |row: &Row, column: usize| matches!(row.bytes(column), Some(b"1" | b"ON" | b"2"));
        let used = optional(session, "SHOW GLOBAL STATUS LIKE 'Threads_connected'").await?;
        let used: i64 = used.first().and_then(|row| row.parse(1).ok()).unwrap_or(0);
        let version = session.server().clone();
        Ok(Self {
            login: row.text(0)?.to_owned(),
            rights: Rights::of(session).await?,
            read_only: is_on(&row, 1),
            local_infile: is_on(&row, 2),
            binary_log: is_on(&row, 3),
            trusts_functions: is_on(&row, 4),
            free_connections: row.parse::<i64>(5)? - used,
            replica: is_replica(session, &version).await?,
            identity: identity(session, &version).await?,
            encrypted: session.is_encrypted(),
            version,
        })
    }
}

/// Not every login may know. Whoever may not is told that it is none.
async fn is_replica(session: &mut Session, version: &connect::Server) -> Result<bool> {
    let asked = if version.is_mysql_since(8, 0, 22) { "SHOW REPLICA STATUS" } else { "SHOW SLAVE STATUS" };
    Ok(!optional(session, asked).await?.is_empty())
}

async fn identity(session: &mut Session, version: &connect::Server) -> Result<Option<String>> {
    let asked = match version.is_mariadb() {
        // It has no number of its own.
        true => "SELECT CONCAT(@@hostname, ':', @@port, @@datadir)",
        false => "SELECT @@server_uuid",
    };
    let rows = optional(session, asked).await?;
    Ok(rows.first().and_then(|row| row.text(0).ok().map(str::to_owned)))
}

/// What the server tells if it lets this login know.
async fn optional(session: &mut Session, sql: &str) -> Result<Vec<Row>> {
    match session.rows(sql).await {
        Err(error) if session.is_gone() => Err(error),
        other => Ok(other.unwrap_or_default()),
    }
}
