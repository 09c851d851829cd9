//! How a server is to be.

use super::super::Programs;
use super::PostgresServer;

/// The major versions that tests can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostgresVersion {
    /// Without `pg_dump`.
    V14,
    /// Debian's: with all programs and extensions.
    V15,
    /// With all programs; of extensions only `vector`.
    V16,
    /// Without `pg_dump`.
    V17,
    /// With all programs and most extensions.
    V18,
}

impl PostgresVersion {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18];

    /// As a number.
    pub fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// Where its programs are.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn programs(self) -> Programs {
        let debians = format!("/usr/lib/postgresql/{}/bin", self.major());
        Programs::find(&format!("postgres-{}", self.major()), "postgres", &[&debians])
    }
}

/// How a server differs from an ordinary one.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(super) version: PostgresVersion,
    pub(super) listen: String,
    pub(super) admissions: Vec<String>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) tls: bool,
}

impl PostgresOptions {
    /// One that lets everybody in, without TLS.
    pub fn new(version: PostgresVersion) -> Self {
        Self {
            version,
            listen: "127.0.0.1".to_owned(),
            admissions: ["local all all trust", "host all all all trust", "host replication all all trust"]
                .map(str::to_owned)
                .into(),
            settings: Vec::new(),
            tls: false,
        }
    }

    /// The same with other lines of `pg_hba.conf`. The superuser is let in by the socket in any case.
    pub fn admissions(mut self, lines: &[&str]) -> Self {
        self.admissions = lines.iter().map(|line| (*line).to_owned()).collect();
        self
    }

    /// The same with a setting of `postgresql.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, on these addresses.
    pub fn listen(mut self, addresses: &str) -> Self {
        self.listen = addresses.to_owned();
        self
    }

    /// The same, with TLS, and an authority of its own.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up.
    pub fn start(&self) -> PostgresServer {
        PostgresServer::with(self)
    }
}
