//! Where a server listens.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// The name that this machine's own servers share, however they are called.
    fn canonical(&self) -> String {
        let loopback = self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let host = if loopback { "localhost" } else { self.host.trim_end_matches('.') };
        Self { host: host.to_lowercase(), port: self.port }.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Where a server listens, or who knows where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(Address),
    Socket(PathBuf),
    /// Whom these sentinels call the primary of that name.
    Sentinels {
        sentinels: Vec<Address>,
        primary: String,
    },
}

impl Place {
    /// What of a URL comes after the login, with the scheme that belongs to it. In a canonical one, the names of this
    /// machine are one.
    pub(super) fn url_parts(&self, encrypted: bool, canonical: bool) -> (&'static str, String) {
        let named = |address: &Address| if canonical { address.canonical() } else { address.to_string() };
        match self {
            Self::Tcp(address) => (if encrypted { "rediss" } else { "redis" }, named(address)),
            Self::Socket(path) => ("redis+unix", path.to_string_lossy().into_owned()),
            Self::Sentinels { sentinels, primary } => {
                let mut addresses: Vec<_> = sentinels.iter().map(named).collect();
                if canonical {
                    addresses.sort();
                }
                let scheme = if encrypted { "rediss-sentinel" } else { "redis-sentinel" };
                (scheme, format!("{}/{}", addresses.join(","), encode(primary)))
            }
        }
    }
}

/// For people: `cache.example.org:6379`, the path of the socket, or the sentinels and the name.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
            Self::Sentinels { .. } => f.write_str(&self.url_parts(false, false).1),
        }
    }
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}
