//! An open session.

mod loading;
mod single;
mod statement;

use std::time::Duration;

use dumprestore_driver::{Cancel, Error, Result};
use mysql_async::Conn;

use crate::config::Setup;
use crate::quote;

use super::fault;
use super::identity;
use super::offer::Offers;
use super::open::{Entered, Place, enter};
use super::row::{RawRow, Row};
use super::said::Done;
use super::server::Server;
use super::settings::{self, Limits};
use super::target::Target;

use statement::{ask, end, unless_cancelled};

/// How long the end of a session, or a request to cancel, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A result that is read at once must not be larger.
const LARGEST_RESULT: usize = 256 * 1024 * 1024;
const NO_SUCH_THREAD: u16 = 1094;

/// In which character set rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// All text in `utf8mb4`.
    Utf8mb4,
    /// Each text in the character set of its column, byte by byte as it is stored.
    AsStored,
}

impl Charset {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8mb4 => "utf8mb4",
            Self::AsStored => "NULL",
        }
    }
}

/// A session of one database. Dropped, it is cut off, and the server rolls back what was open.
///
/// A statement whose future is dropped, or whose rows are not all read, ends the session: [`is_gone`](Self::is_gone).
pub(crate) struct Session {
    /// `None` once it was given up.
    conn: Option<Conn>,
    offers: Offers,
    server: Server,
    id: u64,
    identity: String,
    largest_message: usize,
    encrypted: bool,
    target: Target,
    limits: Limits,
    cancel: Option<Cancel>,
    /// Its transaction is what it is there for: without it, it is given up.
    keeps_transaction: bool,
    /// A statement is under way, or was when it was given up.
    busy: bool,
}

impl Session {
    /// Opens a session of the node's database. `purpose` tells the server's administrator what it is for.
    ///
    /// # Errors
    /// If the server can't be reached, or lets nobody in.
    pub(crate) async fn open(setup: &Setup, purpose: &str) -> Result<Self> {
        Self::open_in(setup, Some(&setup.target.database), purpose).await
    }

    /// Opens a session of another database, or of none.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) async fn open_in(setup: &Setup, database: Option<&str>, purpose: &str) -> Result<Self> {
        let limits = Limits { lock: setup.lock_timeout, statement: setup.statement_timeout };
        Self::begin(&setup.target, limits, database, purpose).await
    }

    async fn begin(target: &Target, limits: Limits, database: Option<&str>, purpose: &str) -> Result<Self> {
        let offers = Offers::default();
        let Entered { conn, encrypted } = enter(target, database, purpose, &offers).await?;
        let mut session = Self {
            conn: Some(conn),
            offers,
            server: Server::new(""),
            id: 0,
            identity: String::new(),
            largest_message: usize::MAX,
            encrypted,
            target: target.clone(),
            limits,
            cancel: None,
            keeps_transaction: false,
            busy: false,
        };
        session.set_up().await?;
        Ok(session)
    }

    async fn set_up(&mut self) -> Result<()> {
        for statement in settings::required(self.limits) {
            self.run(statement).await?;
        }
        let told = self.rows("SELECT VERSION(), CONNECTION_ID(), @@max_allowed_packet").await?;
        let row = told.first().ok_or_else(|| Error::environment("a server did not tell its version"))?;
        self.server = Server::new(row.text(0)?);
        self.id = row.number(1)?;
        self.largest_message = row.parse(2)?;
        self.identity = identity::of_rows(&self.rows(identity::ASKED).await?);
        for statement in settings::welcome(&self.server, self.limits) {
            // A server that does not know a setting, or does not let us have it, goes on without.
            let tried = self.run(statement).await;
            if self.is_gone() {
                tried?;
            }
        }
        Ok(())
    }

    /// From now on statements end when the run is cancelled.
    pub(crate) fn heed(&mut self, cancel: &Cancel) {
        self.cancel = Some(cancel.clone());
    }

    /// From now on statements go on to their end, whatever becomes of the run: for a rollback.
    pub(crate) fn heed_nothing(&mut self) {
        self.cancel = None;
    }

    /// From now on no statement may be carried out but in the transaction that is open: if a server has ended it, as it
    /// does to end a deadlock, the next one would see rows of another moment. It fails, and the session is given up.
    pub(crate) fn keep_transaction(&mut self) {
        self.keeps_transaction = true;
    }

    /// What kind of server it is.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The number of the session at the server.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What the server tells of which one it is.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// Where it is, for who ends it from outside.
    fn place(&self) -> Place {
        Place { target: self.target.clone(), identity: self.identity.clone(), id: self.id }
    }

    /// The server's `max_allowed_packet`: no statement may be as long, in bytes.
    pub(crate) fn largest_message(&self) -> usize {
        self.largest_message
    }

    /// Whether the connection has TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether it is of no more use: it was lost, or a statement was given up halfway.
    pub(crate) fn is_gone(&self) -> bool {
        self.conn.is_none() || self.busy
    }

    /// Runs a statement. Rows that it gives are passed over.
    ///
    /// # Errors
    /// If the server refuses it, or is lost. A cancelled run ends it.
    pub(crate) async fn run(&mut self, sql: impl AsRef<[u8]>) -> Result<Done> {
        self.each(sql, |_| Ok(())).await
    }

    /// Runs a query with a small result.
    ///
    /// # Errors
    /// As [`run`](Self::run). If the result is larger than 256 MiB.
    pub(crate) async fn rows(&mut self, sql: impl AsRef<[u8]>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut size = 0;
        self.each(sql, |row| {
            size += row.values().map(|value| value.map_or(0, <[u8]>::len)).sum::<usize>();
            if size > LARGEST_RESULT {
                return Err(Error::unsupported("the result of a query is too large to be held"));
            }
            rows.push(row.to_row());
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs a query, and hands over its rows one by one, as they arrive: none is read before the one before it was dealt
    /// with. If a statement gives several results, those of the first are handed over.
    ///
    /// # Errors
    /// As [`run`](Self::run). An error of `deal` ends the session.
    pub(crate) async fn each(
        &mut self,
        sql: impl AsRef<[u8]>,
        deal: impl FnMut(&RawRow<'_>) -> Result<()>,
    ) -> Result<Done> {
        self.each_told(sql.as_ref(), sql.as_ref(), deal).await
    }

    /// The same; `told` is the statement that errors tell of.
    async fn each_told(
        &mut self,
        sql: &[u8],
        told: &[u8],
        mut deal: impl FnMut(&RawRow<'_>) -> Result<()>,
    ) -> Result<Done> {
        self.check(sql)?;
        let cancel = self.cancel.clone();
        let place = self.place();
        let Some(conn) = &mut self.conn else { return Err(self.ended()) };
        self.busy = true;
        let mut passed_over = false;
        let mut deal = |row: &RawRow<'_>| {
            // The server is told to end it, and those that are on their way come still.
            passed_over |= cancel.as_ref().is_some_and(Cancel::is_cancelled);
            if passed_over { Ok(()) } else { deal(row) }
        };
        let ended = unless_cancelled(&cancel, &place, ask(conn, sql, &mut deal)).await;
        let done = self.conclude(ended, told).await?;
        if passed_over { Err(Error::cancelled()) } else { Ok(done) }
    }

    /// In which character set rows are sent from now on.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn results_in(&mut self, charset: Charset) -> Result<()> {
        self.run(format!("SET SESSION character_set_results = {}", charset.name())).await.map(drop)
    }

    /// From now on statements are read, and definitions made, in these modes. See also
    /// [`own_sql_mode`](Self::own_sql_mode).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn sql_mode(&mut self, modes: &str) -> Result<()> {
        self.run(format!("SET SESSION sql_mode = {}", quote::literal(modes))).await.map(drop)
    }

    /// Back to the modes that a session begins with.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn own_sql_mode(&mut self) -> Result<()> {
        // In hexadecimal, for the modes may be such that quotes mean something else.
        self.run(format!("SET SESSION sql_mode = {}", quote::portable(settings::SQL_MODE))).await.map(drop)
    }

    /// Ends another session. One that is no longer there has ended.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn kill(&mut self, id: u64) -> Result<()> {
        match self.run(format!("KILL CONNECTION {id}")).await {
            Err(error) if fault::code(&error) == Some(NO_SUCH_THREAD) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Ends the session, and waits until the server has been told.
    pub(crate) async fn close(mut self) {
        if self.is_gone() {
            return;
        }
        if let Some(conn) = self.conn.take() {
            // It ends in any case.
            let _ended = tokio::time::timeout(PATIENCE, conn.disconnect()).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if !self.busy {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(end(self.place(), conn));
        }
    }
}
