//! From a target to a stream that is logged in.

use std::io;
use std::time::Duration;

use dumprestore_driver::{Error, Result};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use super::fault;
use super::greeting::Greeting;
use super::login::{Denial, Login, agreed, head};
use super::said::Trouble;
use super::server::Server;
use super::target::{Place, Target};
use super::tls::Mode;
use super::wire::{Transport, Wire};

/// A connection may be silent for long while a server builds an index: what lies between must not forget it.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A stream that a server has let us in on.
pub(super) struct Entered {
    pub(super) wire: Wire,
    pub(super) server: Server,
    pub(super) encrypted: bool,
}

/// Connects and logs in. `database`: which one to enter.
///
/// # Errors
/// If the server can't be reached, or lets nobody in.
pub(super) async fn enter(target: &Target, database: Option<&str>, purpose: &str) -> Result<Entered> {
    let attempt = enter_in_time(target, database, purpose);
    let Some(limit) = target.connect_timeout else { return attempt.await };
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        let error = io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {} s", limit.as_secs()));
        Err(fault::of_login(Trouble::Lost(error).into(), target))
    })
}

async fn enter_in_time(target: &Target, database: Option<&str>, purpose: &str) -> Result<Entered> {
    let denied = |denial: Denial| fault::of_login(denial, target);
    let lost = |error: io::Error| denied(Trouble::Lost(error).into());
    let mut wire = Wire::new(reach(&target.place).await.map_err(lost)?);
    wire.read().await.map_err(lost)?;
    let greeting = Greeting::read(wire.message()).map_err(|trouble| denied(trouble.into()))?;
    let encrypted = wants_tls(target, &greeting)?;
    let capabilities = agreed(&greeting, encrypted, database.is_some());
    if encrypted {
        wire = secure(wire, target, capabilities).await?;
    }
    let socket = target.place.is_socket();
    let login = Login {
        user: &target.user,
        password: target.password.as_ref(),
        database,
        purpose,
        private: encrypted || socket,
        proven: socket || (encrypted && target.protection.mode >= Mode::VerifyCa),
    };
    login.run(&mut wire, &greeting, capabilities).await.map_err(denied)?;
    Ok(Entered { wire, server: Server::new(&greeting.version), encrypted })
}

async fn reach(place: &Place) -> io::Result<Box<dyn Transport>> {
    match place {
        Place::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Place::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let alive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
            socket2::SockRef::from(&stream).set_tcp_keepalive(&alive)?;
            Ok(Box::new(stream))
        }
    }
}

fn wants_tls(target: &Target, greeting: &Greeting) -> Result<bool> {
    match target.protection.mode {
        // Nobody listens there.
        _ if target.place.is_socket() => Ok(false),
        Mode::Disabled => Ok(false),
        Mode::Preferred => Ok(greeting.offers_tls()),
        _ if greeting.offers_tls() => Ok(true),
        _ => Err(Error::environment(
            "`ssl-mode` wants an encrypted connection, and the server has none to offer",
        )
        .with_context("server", &target.place)
        .with_hint("give the server a certificate and a key, or use another `ssl-mode`")),
    }
}

async fn secure(mut wire: Wire, target: &Target, capabilities: u32) -> Result<Wire> {
    let what = || format!("can't connect to the database `{}` as `{}`", target.database, target.user);
    let failed = |error: io::Error| fault::of_connection(error, what(), target);
    let connector = target.protection.connector()?;
    let Place::Tcp { host, .. } = &target.place else { return Ok(wire) };
    let name = ServerName::try_from(host.clone())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    wire.write(&head(capabilities), &[]).await.map_err(failed)?;
    let (stream, sequence) = wire.into_stream().map_err(failed)?;
    let stream = connector.connect(name, stream).await.map_err(failed)?;
    let mut wire = Wire::new(Box::new(stream));
    wire.resume_at(sequence);
    Ok(wire)
}
