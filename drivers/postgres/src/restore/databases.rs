//! Databases of a server, told apart by their OIDs: names change in a swap.

use dumprestore_driver::{Error, Result};

use super::names::Names;
use super::server::Server;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// A database, as far as a restore deals with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) oid: u32,
    pub(crate) name: String,
    /// Whether it lets anybody in.
    pub(crate) open: bool,
    pub(crate) limit: i32,
    pub(crate) is_template: bool,
}

/// What a server that was interrupted while it dropped a database leaves as its connection limit.
const INVALID: i32 = -2;

impl Database {
    pub(crate) async fn of_oid(session: &Connection, oid: u32) -> Result<Option<Self>> {
        Self::find(session, "oid = $1", &oid).await
    }

    pub(crate) async fn named(session: &Connection, name: &str) -> Result<Option<Self>> {
        Self::find(session, "datname = $1", &name).await
    }

    async fn find(
        session: &Connection,
        is: &str,
        value: &(dyn tokio_postgres::types::ToSql + Sync),
    ) -> Result<Option<Self>> {
        let query = format!(
            "SELECT oid, datname, datallowconn, datconnlimit, datistemplate FROM pg_catalog.pg_database WHERE {is}"
        );
        let found = session
            .query_opt(&query, &[value])
            .await
            .map_err(|error| session.fault(error, "can't read which databases there are"))?;
        Ok(found.map(|row| Self {
            oid: row.get(0),
            name: row.get(1),
            open: row.get(2),
            limit: row.get(3),
            is_template: row.get(4),
        }))
    }

    /// Whether it is the database that a restore with these names has made, or has begun to drop.
    pub(crate) fn is_staged_by(&self, names: &Names) -> bool {
        self.name == names.staged && (self.limit == names.mark || self.limit == INVALID)
    }

    /// Lets sessions in from now on, or none any more.
    pub(crate) async fn let_in(&self, session: &Connection, open: bool) -> Result<()> {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {open}", quote::name(&self.name));
        session.batch_execute(&statement).await.map_err(|error| {
            session.fault(error, "can't open or close a database").with_context("database", &self.name)
        })
    }

    /// Drops it, with all that hangs on to it.
    pub(crate) async fn remove(&self, server: &Server, session: &Connection) -> Result<()> {
        let what = || format!("can't drop the database `{}`", self.name);
        let failed = |error| session.fault(error, what()).with_context("database", &self.name);
        let name = quote::name(&self.name);
        if self.is_template {
            let statement = format!("ALTER DATABASE {name} IS_TEMPLATE false");
            session.batch_execute(&statement).await.map_err(failed)?;
        }
        let statement = match session.version() {
            130_000.. => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            _ => {
                self.empty(session).await?;
                format!("DROP DATABASE IF EXISTS {name}")
            }
        };
        match session.batch_execute(&statement).await.map_err(failed) {
            Err(error) if sqlstate(&error) == Some("55006") && self.detach(server).await? > 0 => {
                session.batch_execute(&statement).await.map_err(failed)
            }
            done => done,
        }
        .map_err(|error| match sqlstate(&error) {
            Some("55006") => error.with_hint(
                "end its prepared transactions, and what reads its logical replication slots; then try again",
            ),
            _ => error,
        })
    }

    /// Lets nobody in any more, and ends all sessions: for servers that can't drop a database in use.
    async fn empty(&self, session: &Connection) -> Result<()> {
        let failed = |error| session.fault(error, "can't end the sessions of a database");
        self.let_in(session, false).await?;
        let told =
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datid = $1";
        for _ in 0..100 {
            if session.query(told, &[&self.oid]).await.map_err(failed)?.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Removes subscriptions, without touching the publisher: with one, no database can be dropped. How many.
    async fn detach(&self, server: &Server) -> Result<usize> {
        let failed = |session: &Connection, error| session.fault(error, "can't remove a subscription");
        let session = server.session(&self.name).await?;
        let asked = "SELECT subname FROM pg_catalog.pg_subscription s \
            JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()";
        let found = session.query(asked, &[]).await.map_err(|error| failed(&session, error))?;
        for row in &found {
            let name = quote::name(row.get(0));
            let statements = [
                format!("ALTER SUBSCRIPTION {name} DISABLE"),
                format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
                format!("DROP SUBSCRIPTION {name}"),
            ];
            for statement in &statements {
                session.batch_execute(statement).await.map_err(|error| failed(&session, error))?;
            }
        }
        session.close().await;
        Ok(found.len())
    }
}

/// The database of that OID must still be there.
pub(crate) fn there(found: Option<Database>, what: &str) -> Result<Database> {
    found.ok_or_else(|| {
        Error::stuck(format!("the {what} database is gone"))
            .with_hint("somebody has dropped it: what it held can only come from an archive")
    })
}
