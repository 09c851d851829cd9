//! One way to a server: an address, with TLS or without it.

use std::io;

use tokio_postgres::CancelToken;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::socket::Socket;
use super::target::{Endpoint, Place};
use super::transport::{Speech, Tap, Transport, transport};

type Tls = <MakeRustlsConnect as MakeTlsConnect<Transport>>::TlsConnect;
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Transport>>::Stream;

/// Where a server is, and how it is spoken to.
pub(super) struct Route {
    endpoint: Endpoint,
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

/// A session that has begun, and is not driven yet.
pub(super) struct Opened {
    pub(super) client: tokio_postgres::Client,
    pub(super) connection: tokio_postgres::Connection<Transport, Encrypted>,
    pub(super) tap: Tap,
    pub(super) route: Route,
}

/// Why there is no session.
pub(super) enum Refusal {
    /// There was no way to the server.
    Unreached(io::Error),
    /// The server, or TLS, had something against it.
    Refused(tokio_postgres::Error),
}

impl Route {
    pub(super) fn new(
        endpoint: &Endpoint,
        config: &tokio_postgres::Config,
        mode: SslMode,
        tls: &MakeRustlsConnect,
    ) -> Self {
        let mut config = config.clone();
        config.ssl_mode(mode);
        Self { endpoint: endpoint.clone(), config, tls: tls.clone() }
    }

    /// Begins a session.
    pub(super) async fn open(self) -> Result<Opened, Refusal> {
        let (transport, tap) = self.transport().await.map_err(Refusal::Unreached)?;
        let tls = self.connector().map_err(Refusal::Unreached)?;
        let (client, connection) = self.config.connect_raw(transport, tls).await.map_err(Refusal::Refused)?;
        Ok(Opened { client, connection, tap, route: self })
    }

    /// Asks the server to cancel what a session is at.
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), Refusal> {
        let (transport, _) = self.transport().await.map_err(Refusal::Unreached)?;
        let tls = self.connector().map_err(Refusal::Unreached)?;
        token.cancel_query_raw(transport, tls).await.map_err(Refusal::Refused)
    }

    async fn transport(&self) -> io::Result<(Transport, Tap)> {
        let socket = Socket::connect(&self.endpoint, &self.config).await?;
        let direct = self.config.get_ssl_negotiation() == SslNegotiation::Direct;
        let speech = match self.config.get_ssl_mode() {
            SslMode::Disable => Speech::Messages,
            _ if direct => Speech::Encrypted,
            _ => Speech::Answer,
        };
        Ok(transport(socket, speech))
    }

    fn connector(&self) -> io::Result<Tls> {
        let host = match &self.endpoint.place {
            Place::Tcp { host, .. } => host.as_str(),
            Place::Socket(_) => "",
        };
        let made = MakeTlsConnect::<Transport>::make_tls_connect(&mut self.tls.clone(), host);
        made.map_err(io::Error::other)
    }
}

impl Refusal {
    /// Whether a server that refuses us with TLS may admit us without it, or the other way round.
    pub(super) fn may_differ(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut};
        let is_there = |error: &io::Error| {
            ![ConnectionRefused, NotFound, PermissionDenied, TimedOut].contains(&error.kind())
        };
        match self {
            Self::Unreached(error) => is_there(error),
            Self::Refused(error) => match error.code() {
                Some(code) => code.code() == "28000",
                None => cause(error).and_then(|cause| cause.downcast_ref()).is_none_or(is_there),
            },
        }
    }

    /// Whether nothing but a password is missing.
    pub(super) fn wants_password(&self) -> bool {
        match self {
            Self::Unreached(_) => false,
            Self::Refused(error) => cause(error).is_some_and(|cause| cause.to_string() == "password missing"),
        }
    }
}

fn cause(error: &tokio_postgres::Error) -> Option<&(dyn std::error::Error + 'static)> {
    std::error::Error::source(error)
}
