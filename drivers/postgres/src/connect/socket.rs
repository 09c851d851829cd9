//! A socket to a server, for an async runtime or for a thread that may block.

use std::io::{self, IoSlice, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::open::socket_path;
use super::target::{Endpoint, Place};

/// One that a runtime watches.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One that no runtime watches, and that blocks.
pub(super) enum Blocking {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Connects. Whether and how the connection is kept alive is as `config` has it.
    pub(super) async fn connect(endpoint: &Endpoint, config: &tokio_postgres::Config) -> io::Result<Self> {
        let port = endpoint.port;
        let stream = match &endpoint.place {
            Place::Socket(folder) => {
                let path = socket_path(folder).join(format!(".s.PGSQL.{port}"));
                return UnixStream::connect(path).await.map(Self::Unix);
            }
            Place::Tcp { address: Some(address), .. } => TcpStream::connect((*address, port)).await?,
            Place::Tcp { host, address: None } => TcpStream::connect((host.as_str(), port)).await?,
        };
        stream.set_nodelay(true)?;
        keep_alive(SockRef::from(&stream), config)?;
        Ok(Self::Tcp(stream))
    }

    /// Takes it from the runtime. Its reads block for so long at the most.
    pub(super) fn block(self, limit: Duration) -> io::Result<Blocking> {
        match self {
            Self::Tcp(stream) => {
                let stream = stream.into_std()?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_nonblocking(false)?;
                Ok(Blocking::Tcp(stream))
            }
            Self::Unix(stream) => {
                let stream = stream.into_std()?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_nonblocking(false)?;
                Ok(Blocking::Unix(stream))
            }
        }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    /// Nothing more will be written.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Blocking {
    /// Lets a runtime, on which this is called, watch it again.
    pub(super) fn unblock(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Socket::Tcp)
            }
            Self::Unix(stream) => {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Socket::Unix)
            }
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(buffer),
            Self::Unix(stream) => (&*stream).read(buffer),
        }
    }
}

fn keep_alive(socket: SockRef<'_>, config: &tokio_postgres::Config) -> io::Result<()> {
    if let Some(limit) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*limit))?;
    }
    if !config.get_keepalives() {
        return Ok(());
    }
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    socket.set_tcp_keepalive(&keepalive)
}
