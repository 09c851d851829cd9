//! A way to a server, open: it waits for a moment at the most, so that whoever reads or writes can be stopped.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use socket2::{SockRef, TcpKeepalive};

use super::place::Address;

/// How long a read or a write may take before it is asked whether the run goes on.
const MOMENT: Duration = Duration::from_millis(100);
/// A server may be silent for long: what lies between must not forget the connection, and a server that is gone must be
/// found out.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes to a server and from it. A read or a write that takes longer than a moment fails with
/// [`WouldBlock`](io::ErrorKind::WouldBlock), and can be tried again.
pub(super) enum Stream {
    Tcp(TcpStream),
    Socket(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects to the first address of the host that answers.
    pub(super) fn tcp(address: &Address, deadline: Option<Instant>) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name of the host has no address");
        for candidate in (address.host.as_str(), address.port).to_socket_addrs()? {
            match connect(&candidate, deadline) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let keepalive =
                        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
                    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                    stream.set_read_timeout(Some(MOMENT))?;
                    stream.set_write_timeout(Some(MOMENT))?;
                    return Ok(stream);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    pub(super) fn socket(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(MOMENT))?;
        stream.set_write_timeout(Some(MOMENT))?;
        Ok(Self::Socket(stream))
    }
}

fn connect(address: &SocketAddr, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let Some(deadline) = deadline else { return TcpStream::connect(address) };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    TcpStream::connect_timeout(address, left)
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Socket(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Socket(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Socket(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
