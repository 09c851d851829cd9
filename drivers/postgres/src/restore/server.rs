//! The server that is restored into: our sessions of it.

use std::time::Duration;

use dumprestore_driver::{Error, ErrorKind, Result};

use crate::connect::{Connection, Target, connect, sqlstate};
use crate::quote;

/// How long sessions may take to end once they are told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long those may take to end by themselves that we may not tell to.
const PATIENCE_REFUSED: Duration = Duration::from_secs(5);

const CANT_END: &str = "can't end the sessions that an interrupted restore has left";

/// How long what is undone waits for a server that says it is starting, and for one that is not there at all.
const PATIENCE_STARTING: Duration = Duration::from_secs(60);
const PATIENCE_AWAY: Duration = Duration::from_secs(3);

/// What is open to everybody on nearly all servers, and what always is.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Where a restore happens, and how its sessions are called.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The live database, and how to get at it.
    pub(crate) target: Target,
    /// The database to be in while databases are made, renamed and dropped; if the configuration names one.
    pub(crate) maintenance_db: Option<String>,
    /// How long the swap may wait for the sessions of others. `None`: for ever.
    pub(crate) lock_timeout: Option<Duration>,
    /// `application_name` of all our sessions.
    pub(crate) sessions: String,
}

impl Server {
    /// A session of that database.
    pub(crate) async fn session(&self, database: &str) -> Result<Connection> {
        let session = connect(&self.target.with_database(database), "restore").await?;
        let name = format!("SET application_name = {}", quote::literal(&self.sessions));
        session.batch_execute(&name).await.map_err(|error| session.fault(error, "can't set a session up"))?;
        Ok(session)
    }

    /// A session of a database that is neither made, renamed nor dropped. What it commits is on disk.
    pub(crate) async fn maintenance(&self) -> Result<Connection> {
        let named = self.maintenance_db.as_deref();
        let candidates: Vec<&str> = named.into_iter().chain(MAINTENANCE).collect();
        let candidates = if named.is_some() { &candidates[..1] } else { &candidates[..] };
        let mut failed = None;
        for database in candidates.iter().filter(|database| **database != self.target.database) {
            match self.session(database).await {
                Ok(session) => return settle(session).await,
                Err(error) if is_about_the_database(&error) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        let error = failed
            .unwrap_or_else(|| Error::config("a restore needs a database to be in that it does not replace"));
        Err(error.with_hint(
            "name with `maintenance_db` another database of the server, which this login may enter",
        ))
    }

    /// Waits for a while for a server that is just starting again: what it was at has failed for that, and is to be undone.
    pub(crate) async fn wait_until_up(&self) {
        let begun = tokio::time::Instant::now();
        loop {
            match self.maintenance().await {
                Ok(session) => return session.close().await,
                // What else is wrong is told to who comes next.
                Err(error) if begun.elapsed() >= patience(&error) => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Ends what a killed process has left running: it would go on making what is being removed, and hold its locks.
    ///
    /// # Errors
    /// If such a session stays: nothing that is found at the server would be the last word.
    pub(crate) async fn end_left_sessions(&self, by: &Connection) -> Result<()> {
        let begun = tokio::time::Instant::now();
        loop {
            let left = self.left_sessions(by).await?;
            if left.is_empty() {
                return Ok(());
            }
            let mut refused = None;
            for (pid, _) in &left {
                refused = end(by, *pid).await?.or(refused);
            }
            let patience = if refused.is_some() { PATIENCE_REFUSED } else { PATIENCE };
            if begun.elapsed() > patience {
                return Err(self.still_there(&left, refused));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Numbers of the sessions, and whose they are. They are known by their name, which no other run has, and which
    /// everybody may see. Whose they are says nothing: the login may have been exchanged since, and with `SET ROLE` it is
    /// not who we are.
    async fn left_sessions(&self, by: &Connection) -> Result<Vec<(i32, String)>> {
        let asked = "SELECT pid, pg_catalog.format('pid %s of `%s`', pid, usename) FROM pg_catalog.pg_stat_activity \
            WHERE application_name = $1 AND pid <> pg_catalog.pg_backend_pid()";
        let left = by.query(asked, &[&self.sessions]).await.map_err(|error| by.fault(error, CANT_END))?;
        Ok(left.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn still_there(&self, left: &[(i32, String)], refused: Option<Error>) -> Error {
        let error = Error::environment(CANT_END)
            .with_context("application_name", &self.sessions)
            .with_context("sessions", left.iter().map(|(_, told)| told.as_str()).collect::<Vec<_>>().join(", "))
            .with_hint(
                "end them with `pg_terminate_backend`, as a superuser or as the user whose they are, or wait until they \
                 are done; then run it again",
            );
        match refused {
            Some(refused) => error.with_source(refused),
            None => error,
        }
    }
}

/// Ends a session, as who we are or as the login that we have come with. Gives the error if neither may.
async fn end(by: &Connection, pid: i32) -> Result<Option<Error>> {
    let mut refused = None;
    for role in ["", "SET LOCAL ROLE NONE; "] {
        let told = format!("BEGIN; {role}SELECT pg_catalog.pg_terminate_backend({pid}); COMMIT");
        let Err(error) = by.batch_execute(&told).await else { return Ok(None) };
        let error = by.fault(error, CANT_END);
        if sqlstate(&error) != Some("42501") {
            return Err(error);
        }
        by.batch_execute("ROLLBACK").await.map_err(|error| by.fault(error, CANT_END))?;
        refused = Some(error);
    }
    Ok(refused)
}

async fn settle(session: Connection) -> Result<Connection> {
    let set = "SET synchronous_commit = on";
    session.batch_execute(set).await.map_err(|error| session.fault(error, "can't set a session up"))?;
    Ok(session)
}

/// How long this may go on until a server is up.
fn patience(error: &Error) -> Duration {
    match sqlstate(error) {
        Some("57P03") => PATIENCE_STARTING,
        Some(_) => Duration::ZERO,
        None if is_away(error) => PATIENCE_AWAY,
        None => Duration::ZERO,
    }
}

/// Whether nothing listens there, or what does has hung up.
fn is_away(error: &Error) -> bool {
    use std::io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof,
    };
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| {
            matches!(
                cause.kind(),
                ConnectionAborted | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof
            )
        })
}

/// Whether another database of the server may let us in.
fn is_about_the_database(error: &Error) -> bool {
    match sqlstate(error) {
        Some("3D000" | "42501" | "55000") => true,
        // A wrong password is wrong everywhere.
        Some("28P01") => false,
        // `pg_hba.conf` may admit a login to some databases only.
        Some(code) => code.starts_with("28") && error.kind() == ErrorKind::Config,
        None => false,
    }
}

/// What tells one server from all others, if the login may know: physical copies of a server share it.
pub(crate) async fn identity(session: &Connection) -> Option<String> {
    let asked = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    session.query_one(asked, &[]).await.ok().map(|row| row.get(0))
}
