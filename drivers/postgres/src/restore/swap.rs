//! The swap: two databases change their names in one transaction.
//!
//! The server locks a database that is renamed, and lets nobody in until the transaction has ended; and it waits for
//! some seconds for the sessions that are in it. So the rename is begun first, and the sessions are ended from another
//! session meanwhile: who comes back at once waits before the lock, and finds the new database, or none at all. Nothing
//! but the names and who is let in changes, so a crash leaves the old state or the new one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dumprestore_driver::{Error, Result};

use super::databases::Database;
use super::server::Server;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// How long sessions are left alone before they are ended, and then ended again: one that ends by itself is better.
const BETWEEN: Duration = Duration::from_millis(20);

/// One database's part in a swap.
#[derive(Debug, Clone)]
pub(crate) struct Rename {
    pub(crate) oid: u32,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether it lets anybody in from then on. `None`: as before.
    pub(crate) open: Option<bool>,
    /// How many sessions it lets in from then on. `None`: as before.
    pub(crate) limit: Option<i32>,
}

impl Rename {
    fn statements(&self) -> impl Iterator<Item = String> {
        let rename =
            format!("ALTER DATABASE {} RENAME TO {}", quote::name(&self.from), quote::name(&self.to));
        let open = self
            .open
            .map(|open| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {open}", quote::name(&self.to)));
        let limit = self
            .limit
            .map(|limit| format!("ALTER DATABASE {} CONNECTION LIMIT {limit}", quote::name(&self.to)));
        (self.from != self.to).then_some(rename).into_iter().chain(open).chain(limit)
    }
}

/// Does all of it, or nothing, in that order. Where sessions don't end in time (the server waits five seconds for
/// them), it is begun anew, for as long as `lock_timeout` allows.
///
/// # Errors
/// If sessions don't end, or a database is not what it is said to be. Nothing has changed then.
pub(crate) async fn swap(server: &Server, renames: &[Rename]) -> Result<()> {
    let (renaming, ending) = (server.maintenance().await?, server.maintenance().await?);
    let oids: Vec<u32> = renames.iter().map(|rename| rename.oid).collect();
    let until = server.lock_timeout.map(|patience| Instant::now() + patience);
    loop {
        refuse_prepared_transactions(&ending, &oids).await?;
        match try_once(&renaming, &ending, renames, &oids).await {
            Ok(()) => break,
            Err((error, refused)) => {
                let busy = matches!(sqlstate(&error), Some("55006" | "55P03" | "40P01"));
                let over = until.is_some_and(|until| Instant::now() > until);
                if !busy || over || !refused.is_empty() {
                    return Err(explained(error, &refused));
                }
            }
        }
    }
    ending.close().await;
    renaming.close().await;
    Ok(())
}

/// Sessions that we may not end, described, by their process.
type Refused = BTreeMap<i32, String>;

async fn try_once(
    renaming: &Connection,
    ending: &Connection,
    renames: &[Rename],
    oids: &[u32],
) -> Result<(), (Error, Refused)> {
    let mut refused = Refused::new();
    let renamed = {
        let transaction = transaction(renaming, renames);
        let mut transaction = std::pin::pin!(transaction);
        loop {
            tokio::select! {
                biased;
                ended = &mut transaction => break ended,
                () = end_sessions(ending, oids, &mut refused) => {}
            }
        }
    };
    if renamed.is_err() {
        // Without an answer it is over as well: the server rolls back what loses its session.
        let _over = renaming.batch_execute("ROLLBACK").await;
    }
    renamed.map_err(|error| (error, refused))
}

async fn transaction(session: &Connection, renames: &[Rename]) -> Result<()> {
    let run = async |statement: &str| {
        session.batch_execute(statement).await.map_err(|error| {
            session.fault(error, "can't swap databases").with_context("statement", statement)
        })
    };
    // Others lock a database for long only while they copy it.
    run("BEGIN; SET LOCAL lock_timeout = '10s'").await?;
    for rename in renames {
        check(session, rename).await?;
        for statement in rename.statements() {
            run(&statement).await?;
        }
        // Now that it is locked. A database that took the name meanwhile would be another.
        check(session, &Rename { from: rename.to.clone(), ..rename.clone() }).await?;
    }
    run("COMMIT").await
}

async fn check(session: &Connection, rename: &Rename) -> Result<()> {
    let found = Database::named(session, &rename.from).await?;
    if found.is_some_and(|database| database.oid == rename.oid) {
        return Ok(());
    }
    Err(Error::environment("a database was renamed, dropped or made by somebody else meanwhile")
        .with_context("database", &rename.from)
        .with_context("oid", rename.oid))
}

/// Waits a moment, then ends all sessions of these databases but those that we may not end, which it notes.
async fn end_sessions(session: &Connection, oids: &[u32], refused: &mut Refused) {
    tokio::time::sleep(BETWEEN).await;
    let asked = "SELECT pid, pg_catalog.format('pid %s (user `%s`, application `%s`)', pid, usename, application_name) \
        FROM pg_catalog.pg_stat_activity WHERE datid = ANY ($1) AND pid <> pg_catalog.pg_backend_pid() \
        AND backend_type IS DISTINCT FROM 'autovacuum worker'";
    let found = session.query(asked, &[&oids]).await.unwrap_or_default();
    for row in &found {
        let pid: i32 = row.get(0);
        let told = session.query_one("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await;
        if told.is_err_and(|error| error.code().is_some_and(|code| code.code() == "42501")) {
            refused.insert(pid, row.get(1));
        }
    }
}

fn explained(error: Error, refused: &Refused) -> Error {
    if refused.is_empty() {
        return match sqlstate(&error) {
            Some("55006") => error.with_hint("see in `pg_stat_activity` what is in the database, and end it"),
            _ => error,
        };
    }
    let sessions: Vec<_> = refused.values().take(5).map(String::as_str).collect();
    Error::environment("sessions are in the database that this login may not end")
        .with_context("sessions", sessions.join(", "))
        .with_source(error)
        .with_hint(
            "end them, grant the login `pg_signal_backend`, or use a superuser for superusers' sessions",
        )
}

/// Nothing can end them but their application, or who decides in its stead.
pub(crate) async fn refuse_prepared_transactions(session: &Connection, oids: &[u32]) -> Result<()> {
    let asked = "SELECT gid FROM pg_catalog.pg_prepared_xacts x JOIN pg_catalog.pg_database d \
        ON d.datname = x.database WHERE d.oid = ANY ($1) ORDER BY prepared";
    let found = session
        .query(asked, &[&oids])
        .await
        .map_err(|error| session.fault(error, "can't read which transactions are prepared"))?;
    if found.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = found.iter().take(5).map(|row| row.get(0)).collect();
    Err(Error::environment("the database has prepared transactions, and can't be swapped while it has them")
        .with_context("transactions", names.join(", "))
        .with_hint("end them with `COMMIT PREPARED` or `ROLLBACK PREPARED`"))
}
