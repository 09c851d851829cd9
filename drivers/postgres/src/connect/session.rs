//! An open session.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dumprestore_driver::{Error, Result};
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, SimpleQueryMessage};

use super::Target;
use super::copying::CopyOut;
use super::fault::fault;
use super::route::{Opened, Route};
use super::transport::Tap;

/// How long the end of a session, or a request to cancel, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that what the server prints or does depends on, at a value that no login, database or server can change.
/// `lc_monetary` is among it: amounts of `money` are read as they were printed only under the same.
const BASICS: [&str; 20] = [
    "search_path = ''",
    "client_encoding = 'UTF8'",
    "DateStyle = 'ISO, YMD'",
    "IntervalStyle = 'postgres'",
    "extra_float_digits = 3",
    "bytea_output = 'hex'",
    "lc_monetary = 'C'",
    "array_nulls = on",
    "transform_null_equals = off",
    "standard_conforming_strings = on",
    "escape_string_warning = off",
    "row_security = off",
    "statement_timeout = 0",
    "lock_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
    "default_transaction_isolation = 'read committed'",
    "default_transaction_read_only = off",
    "default_transaction_deferrable = off",
    "synchronize_seqscans = off",
    "client_min_messages = 'warning'",
];

/// `set` is `SET` or `SET LOCAL`.
fn basics(set: &str) -> String {
    BASICS.map(|setting| format!("{set} {setting}; ")).concat()
}

/// The ends that newer servers may put to sessions and transactions, taken away.
fn endless(set: &str, version: u32) -> String {
    let names: &[&str] = match version {
        170_000.. => &["idle_session_timeout", "transaction_timeout"],
        140_000.. => &["idle_session_timeout"],
        _ => &[],
    };
    names.iter().map(|name| format!("{set} {name} = 0; ")).collect()
}

type Ended = Arc<Mutex<Option<tokio_postgres::Error>>>;

/// What moves bytes between the client and the socket.
struct Driving(JoinHandle<()>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A session of one database. Dropped, it is cut off, and the server rolls back what was open.
pub(crate) struct Connection {
    client: Client,
    tap: Tap,
    driving: Driving,
    ended: Ended,
    canceller: Canceller,
    target: Target,
    version: u32,
}

impl Connection {
    /// Drives the connection on this runtime, and sets the session up.
    pub(super) async fn begin(opened: Opened, target: Target) -> Result<Self> {
        let Opened { client, connection, tap, route } = opened;
        let ended = Ended::default();
        let note = ended.clone();
        let driving = Driving(tokio::spawn(async move {
            if let Err(error) = connection.await {
                *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }));
        let canceller = Canceller { token: client.cancel_token(), route };
        let mut begun = Self { client, tap, driving, ended, canceller, target, version: 0 };
        begun.set_up().await?;
        Ok(begun)
    }

    async fn set_up(&mut self) -> Result<()> {
        let what = "can't set a session up";
        let asked = format!("{}SELECT pg_catalog.current_setting('server_version_num')", basics("SET"));
        let said = self.client.simple_query(&asked).await.map_err(|error| self.fault(error, what))?;
        let row = said.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        self.version = row
            .and_then(|row| row.get(0)?.parse().ok())
            .ok_or_else(|| Error::environment("a server did not tell its version"))?;
        let endless = endless("SET", self.version);
        if endless.is_empty() {
            return Ok(());
        }
        self.client.batch_execute(&endless).await.map_err(|error| self.fault(error, what))
    }

    /// Statements that make all settings of a session once more, for the transaction that is open. They take no snapshot.
    ///
    /// What a dump may lack rows without is not left to the session: behind a pooler, or after a `DISCARD` or `RESET` of
    /// somebody in between, it may be another one than it was.
    pub(crate) fn local_basics(&self) -> String {
        basics("SET LOCAL") + &endless("SET LOCAL", self.version)
    }

    /// The very server that this is a session of: what a further session needs that is to share a snapshot with it.
    /// A name may stand for several servers.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// `server_version_num`, such as `150018`.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// `what` failed with `error`. Where the session ended, the reason that the server gave for it is told.
    pub(crate) fn fault(&self, error: tokio_postgres::Error, what: impl Into<String>) -> Error {
        let reason = || self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        match error.is_closed().then(reason).flatten() {
            Some(reason) => fault(reason, what),
            None => fault(error, what),
        }
    }

    /// Copies out what a `COPY … TO STDOUT` says. Rows are read by the thread that asks for them, which may block.
    pub(crate) async fn copy_rows(&self, copy: &str) -> Result<CopyOut<'_>, tokio_postgres::Error> {
        let held = self.tap.hold();
        let client = self.client.copy_out(copy).await?;
        Ok(CopyOut::new(client, held))
    }

    /// Asks the server to cancel what the session is at.
    pub(crate) async fn cancel(&self) {
        self.canceller.cancel().await;
    }

    /// Ends the session, and waits until the server has been told.
    pub(crate) async fn close(self) {
        let Self { client, mut driving, .. } = self;
        drop(client);
        let _ = tokio::time::timeout(PATIENCE, &mut driving.0).await;
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Asks a server to cancel a statement.
struct Canceller {
    token: CancelToken,
    route: Route,
}

impl Canceller {
    /// Asks. Whether it heard it, a server does not tell.
    async fn cancel(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.route.cancel(&self.token)).await;
    }
}
