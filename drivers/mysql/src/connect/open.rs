//! From a target to a connection that is logged in.

use std::io;
use std::time::Duration;

use dumprestore_driver::{Error, Result, Revealed};
use mysql_async::{Conn, DriverError, OptsBuilder};

use super::fault;
use super::identity;
use super::offer::Offers;
use super::row::RawRow;
use super::target::{self, Target};
use super::tls::Mode;

/// A connection may be silent for long while a server builds an index: what lies between must not forget it.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// No server takes or sends more in one message (`max_allowed_packet` ends there).
const LONGEST_MESSAGE: usize = 1 << 30;
/// In seconds. The client would close what is idle for longer.
const IDLE: usize = 31_536_000;

/// A connection that a server has let us in on.
pub(super) struct Entered {
    pub(super) conn: Conn,
    pub(super) encrypted: bool,
}

/// Connects and logs in. `database`: which one to enter. `offers`: what the server may ask for.
///
/// # Errors
/// If the server can't be reached, or lets nobody in.
pub(super) async fn enter(
    target: &Target,
    database: Option<&str>,
    purpose: &str,
    offers: &Offers,
) -> Result<Entered> {
    let attempt = enter_in_time(target, database, purpose, offers);
    let Some(limit) = target.connect_timeout else { return attempt.await };
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        let error = io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {} s", limit.as_secs()));
        Err(fault::of_login(mysql_async::Error::from(error), target))
    })
}

async fn enter_in_time(
    target: &Target,
    database: Option<&str>,
    purpose: &str,
    offers: &Offers,
) -> Result<Entered> {
    let options = options(target, database, purpose, offers)?;
    let Some(tls) = target.protection.options(target.place.is_socket()).await? else {
        let conn = Conn::new(options).await.map_err(|error| fault::of_login(error, target))?;
        return Ok(Entered { conn, encrypted: false });
    };
    match Conn::new(options.clone().ssl_opts(tls)).await {
        Ok(conn) => Ok(Entered { conn, encrypted: true }),
        // As the client programs: where the server offers it, whoever is between must not be able to keep us from it by
        // spoiling it.
        Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
            if target.protection.mode == Mode::Preferred =>
        {
            let conn = Conn::new(options).await.map_err(|error| fault::of_login(error, target))?;
            Ok(Entered { conn, encrypted: false })
        }
        Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) => Err(Error::environment(
            "`ssl-mode` wants an encrypted connection, and the server has none to offer",
        )
        .with_context("server", &target.place)
        .with_hint("give the server a certificate and a key, or use another `ssl-mode`")),
        Err(error) => Err(fault::of_login(error, target)),
    }
}

fn options(target: &Target, database: Option<&str>, purpose: &str, offers: &Offers) -> Result<OptsBuilder> {
    let options = match &target.place {
        target::Place::Socket(path) => {
            let path = path.to_str().ok_or_else(|| {
                Error::config("the path of a socket must be UTF-8").with_context("socket", path.display())
            })?;
            OptsBuilder::default().socket(Some(path))
        }
        target::Place::Tcp { host, port } => {
            OptsBuilder::default().ip_or_hostname(host).tcp_port(*port).tcp_keepalive(Some(KEEPALIVE))
        }
    };
    Ok(options
        .prefer_socket(false)
        .user(Some(&target.user))
        .pass(target.password.as_ref().map(Revealed::expose))
        .db_name(database)
        .max_allowed_packet(Some(LONGEST_MESSAGE))
        .wait_timeout(Some(IDLE))
        .stmt_cache_size(0)
        .local_infile_handler(Some(offers.clone()))
        .connect_attribute("program_name", "dumprestore")
        .connect_attribute("dumprestore_purpose", purpose))
}

/// Where a session is.
pub(super) struct Place {
    pub(super) target: Target,
    /// What its server tells of which one it is.
    pub(super) identity: String,
    /// Its number there.
    pub(super) id: u64,
}

/// Has a server end the statement of another session, or that session, by a session of its own. Whether it did shows
/// in that other session. Where the same name leads to another server, nothing is ended: that number is somebody else's
/// there.
pub(super) async fn kill(place: &Place, what: &str) {
    use mysql_async::prelude::Queryable as _;
    let offers = Offers::default();
    if let Ok(Entered { mut conn, .. }) = enter(&place.target, None, "cancel", &offers).await {
        let told = conn.query::<mysql_async::Row, _>(identity::ASKED).await;
        let told = told.map(|rows| rows.iter().map(|row| RawRow::new(row).to_row()).collect::<Vec<_>>());
        if told.is_ok_and(|rows| identity::of_rows(&rows) == place.identity) {
            // It may be over by now.
            let _over = conn.query_drop(format!("KILL {what} {}", place.id)).await;
        }
        let _over = conn.disconnect().await;
    }
}
