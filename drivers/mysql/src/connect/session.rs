//! An open session.

use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use dumprestore_driver::{Cancel, Error, Result};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::config::Setup;
use crate::quote;

use super::fault;
use super::open::{Entered, enter};
use super::row::{RawRow, Row};
use super::said::{Complaint, Done, MORE_RESULTS, Trouble, read_done};
use super::server::Server;
use super::settings::{self, Limits};
use super::target::Target;
use super::wire::{Fields, Wire, broken};

/// How long the end of a session, or a request to cancel, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A result that is read at once must not be larger.
const LARGEST_RESULT: usize = 256 * 1024 * 1024;
/// No server takes less in one message of `LOAD DATA LOCAL`.
const CHUNK: usize = 64 * 1024;
const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
const QUERY_INTERRUPTED: u16 = 1317;
const NO_SUCH_THREAD: u16 = 1094;

/// In which character set rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// All text in `utf8mb4`.
    Utf8mb4,
    /// Each text in the character set of its column, byte by byte as it is stored.
    AsStored,
}

/// A session of one database. Dropped, it is cut off, and the server rolls back what was open.
///
/// A statement whose future is dropped, or whose rows are not all read, ends the session: [`is_gone`](Self::is_gone).
pub(crate) struct Session {
    wire: Wire,
    server: Server,
    id: u64,
    largest_message: usize,
    encrypted: bool,
    target: Target,
    limits: Limits,
    cancel: Option<Cancel>,
    /// The server was told to end the statement that is under way, and has until then.
    ending: Option<Instant>,
    /// A statement is under way, or was when it was given up.
    busy: bool,
    gone: bool,
    values: Vec<Option<Range<usize>>>,
}

/// What begins the answer to a statement.
enum Answer {
    Done(Done, u16),
    /// That many columns.
    Rows(usize),
    /// It wants that file.
    File(Vec<u8>),
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
        let Entered { wire, server, encrypted } = enter(target, database, purpose).await?;
        let mut session = Self {
            wire,
            server,
            id: 0,
            largest_message: usize::MAX,
            encrypted,
            target: target.clone(),
            limits,
            cancel: None,
            ending: None,
            busy: false,
            gone: false,
            values: Vec::new(),
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
        for statement in settings::welcome(&self.server, self.limits) {
            // A server that does not know a setting, or does not let us have it, goes on without.
            let tried = self.run(statement).await;
            if self.gone {
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

    /// What kind of server it is.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The number of the session at the server.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The server's `max_allowed_packet`: no statement may be as long, in bytes.
    pub(crate) fn largest_message(&self) -> usize {
        self.largest_message
    }

    /// Whether the connection has TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Where it leads.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether it is of no more use: it was lost, or a statement was given up halfway.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone || self.busy
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
        mut deal: impl FnMut(&RawRow<'_>) -> Result<()>,
    ) -> Result<Done> {
        let sql = sql.as_ref();
        match self.begin_statement(sql).await? {
            Answer::Done(done, status) => self.finish(sql, done, status).await,
            Answer::Rows(columns) => {
                let (done, status) = self.read_rows(sql, columns, &mut deal).await?;
                let done = self.finish(sql, done, status).await?;
                // Rows are missing. Of a statement without rows it counts that it was carried out.
                if self.ending.is_some() { Err(Error::cancelled()) } else { Ok(done) }
            }
            Answer::File(_) => Err(self.lose(broken("a server asked for a file of ours, unbidden"), sql)),
        }
    }

    /// Runs a `LOAD DATA LOCAL INFILE` whose file, of the name `file`, is what `stream` gives.
    ///
    /// A stream that fails, or is not read to its end, cuts the connection off: the server does not take what came before
    /// for the whole, and undoes it where the table's engine can.
    ///
    /// # Errors
    /// As [`run`](Self::run); that of the stream; if the server asks for a file of another name, or for none.
    pub(crate) async fn load_local<S>(&mut self, sql: impl AsRef<[u8]>, file: &str, stream: S) -> Result<Done>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let sql = sql.as_ref();
        match self.begin_statement(sql).await? {
            Answer::File(name) if name == file.as_bytes() => {}
            Answer::File(_) => {
                return Err(self.lose(broken("a server asked for another file than it was offered"), sql));
            }
            Answer::Done(..) | Answer::Rows(_) => {
                return Err(self.lose(broken("a server did not ask for the data that it was offered"), sql));
            }
        }
        let mut stream = std::pin::pin!(stream);
        while let Some(bytes) = stream.next().await {
            // Without its end, what was sent is no file: the connection is dropped.
            let bytes = bytes
                .and_then(|bytes| self.check_cancel().map(|()| bytes))
                .inspect_err(|_| self.cut())?;
            for chunk in bytes.chunks(CHUNK) {
                self.wire.write(chunk, &[]).await.map_err(|error| self.lose(error, sql))?;
            }
        }
        self.check_cancel().inspect_err(|_| self.cut())?;
        self.wire.write(&[], &[]).await.map_err(|error| self.lose(error, sql))?;
        self.wait(sql).await?;
        match self.answer() {
            Ok(Answer::Done(done, status)) => self.finish(sql, done, status).await,
            Ok(_) => Err(self.lose(broken("a server's answer can't be read"), sql)),
            Err(trouble) => Err(self.troubled(trouble, sql)),
        }
    }

    /// In which character set rows are sent from now on.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn results_in(&mut self, charset: Charset) -> Result<()> {
        let name = match charset {
            Charset::Utf8mb4 => "utf8mb4",
            Charset::AsStored => "NULL",
        };
        self.run(format!("SET SESSION character_set_results = {name}")).await.map(drop)
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
        let end = async {
            self.wire.begin();
            if !self.is_gone() && self.wire.write(&[COM_QUIT], &[]).await.is_ok() {
                self.wire.shut_down().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, end).await;
    }

    async fn begin_statement(&mut self, sql: &[u8]) -> Result<Answer> {
        self.check_cancel()?;
        if self.is_gone() {
            return Err(Error::environment("the session has ended before")
                .with_context("database", &self.target)
                .with_hint("run it again"));
        }
        if sql.len() >= self.largest_message {
            return Err(Error::environment("a statement is longer than the server takes")
                .with_context("bytes", sql.len())
                .with_context("max_allowed_packet", self.largest_message)
                .with_hint("raise `max_allowed_packet` at the server"));
        }
        self.busy = true;
        self.ending = None;
        self.wire.begin();
        self.wire.write(&[COM_QUERY], sql).await.map_err(|error| self.lose(error, sql))?;
        self.wait(sql).await?;
        let answer = self.answer().map_err(|trouble| self.troubled(trouble, sql))?;
        if let Answer::Rows(columns) = answer {
            // What the columns are called is of no interest.
            for _ in 0..columns {
                self.wait(sql).await?;
            }
        }
        Ok(answer)
    }

    /// Reads the next message. While there is none, the run may be cancelled.
    async fn wait(&mut self, sql: &[u8]) -> Result<()> {
        if self.ending.is_none() {
            let cancelled = async {
                match &self.cancel {
                    Some(cancel) => cancel.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                biased;
                read = self.wire.read() => Some(read),
                () = cancelled => None,
            };
            match read {
                Some(read) => return read.map_err(|error| self.lose(error, sql)),
                None => self.interrupt().await,
            }
        }
        let until = self.ending.unwrap_or_else(Instant::now);
        let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "the server goes on with a cancelled statement"));
        let read = tokio::time::timeout_at(until, self.wire.read()).await.unwrap_or_else(|_| late());
        read.map_err(|error| self.lose(error, sql))
    }

    /// Has the server end what it is at. What it says then is still to be read.
    async fn interrupt(&mut self) {
        let _ = tokio::time::timeout(PATIENCE, Box::pin(stop(self.target.clone(), self.id))).await;
        self.ending = Some(Instant::now() + PATIENCE);
    }

    fn answer(&self) -> Result<Answer, Trouble> {
        let message = self.wire.message();
        let mut fields = Fields(message);
        match message.first() {
            Some(0x00) => {
                fields.byte();
                let (done, status) = read_done(fields.0)?;
                Ok(Answer::Done(done, status))
            }
            Some(0xff) => Err(Trouble::Refused(Complaint::read(message)?)),
            Some(0xfb) => Ok(Answer::File(message.get(1..).unwrap_or_default().to_vec())),
            _ => {
                let columns = fields.number().and_then(|columns| usize::try_from(columns).ok());
                let columns = columns.filter(|columns| (1..=0xffff).contains(columns));
                Ok(Answer::Rows(columns.ok_or_else(|| broken("a server's answer can't be read"))?))
            }
        }
    }

    async fn read_rows(
        &mut self,
        sql: &[u8],
        columns: usize,
        deal: &mut impl FnMut(&RawRow<'_>) -> Result<()>,
    ) -> Result<(Done, u16)> {
        loop {
            self.wait(sql).await?;
            let message = self.wire.message();
            match message.first() {
                Some(0xff) => {
                    let trouble = Complaint::read(message).map_or_else(Trouble::Lost, Trouble::Refused);
                    return Err(self.troubled(trouble, sql));
                }
                Some(0xfe) if message.len() < super::wire::LONGEST_PAYLOAD => {
                    let mut fields = Fields(message);
                    fields.byte();
                    return read_done(fields.0).map_err(|error| self.lose(error, sql));
                }
                _ => {}
            }
            if self.ending.is_none() && self.check_cancel().is_err() {
                self.interrupt().await;
            }
            if self.ending.is_some() {
                continue;
            }
            let mut values = std::mem::take(&mut self.values);
            let dealt = RawRow::read(self.wire.message(), columns, &mut values).map(|row| deal(&row));
            self.values = values;
            dealt.map_err(|error| self.lose(error, sql))??;
        }
    }

    /// A result is at its end; there may be more of them.
    async fn finish(&mut self, sql: &[u8], done: Done, status: u16) -> Result<Done> {
        let mut status = status;
        while status & MORE_RESULTS != 0 {
            self.wait(sql).await?;
            let answer = self.answer().map_err(|trouble| self.troubled(trouble, sql))?;
            status = match answer {
                Answer::Done(_, status) => status,
                Answer::Rows(columns) => {
                    for _ in 0..columns {
                        self.wait(sql).await?;
                    }
                    self.read_rows(sql, columns, &mut |_| Ok(())).await?.1
                }
                Answer::File(_) => {
                    return Err(self.lose(broken("a server asked for a file of ours, unbidden"), sql));
                }
            };
        }
        self.busy = false;
        Ok(done)
    }

    fn check_cancel(&self) -> Result<()> {
        self.cancel.as_ref().map_or(Ok(()), Cancel::check)
    }

    /// Cuts the connection off: the server is to undo what is under way, and to hold no lock any more.
    fn cut(&mut self) {
        self.gone = true;
        self.wire.cut();
    }

    fn lose(&mut self, error: io::Error, sql: &[u8]) -> Error {
        self.cut();
        match self.check_cancel() {
            Err(cancelled) => cancelled,
            Ok(()) => fault::of_statement(Trouble::Lost(error), sql, &self.target),
        }
    }

    fn troubled(&mut self, trouble: Trouble, sql: &[u8]) -> Error {
        match trouble {
            Trouble::Lost(error) => self.lose(error, sql),
            Trouble::Refused(said) => {
                self.busy = false;
                self.gone |= ends_session(said.code);
                match self.check_cancel() {
                    Err(cancelled) if said.code == QUERY_INTERRUPTED => cancelled,
                    _ => fault::of_statement(Trouble::Refused(said), sql, &self.target),
                }
            }
        }
    }
}

/// Whether a server that says so has ended the session.
fn ends_session(code: u16) -> bool {
    matches!(code, 1053 | 1152..=1161 | 1184 | 1927 | 3169 | 4031)
}

/// Has a server end the statement of another session, by a session of its own.
async fn stop(target: Target, id: u64) -> Result<()> {
    let Entered { mut wire, .. } = enter(&target, None, "cancel").await?;
    wire.begin();
    let sql = format!("KILL QUERY {id}");
    let sent = wire.write(&[COM_QUERY], sql.as_bytes()).await;
    if sent.is_ok() {
        let _ = wire.read().await;
    }
    wire.shut_down().await;
    Ok(())
}
