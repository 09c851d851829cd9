//! How a server is to be.

use super::super::Programs;
use super::RedisServer;

/// The servers that tests can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RedisVersion {
    /// Redis 6.0, of Debian 11.
    Redis6_0,
    /// Redis 7.0, of Debian 12.
    Redis7_0,
    /// Redis 8.0, of Debian 13.
    Redis8_0,
    /// Valkey 8.1, of Debian 13.
    Valkey8_1,
    /// Valkey 9, of Debian's unstable suite.
    Valkey9,
}

impl RedisVersion {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Redis6_0, Self::Redis7_0, Self::Redis8_0, Self::Valkey8_1, Self::Valkey9];

    /// Whether it is Valkey's.
    pub fn is_valkey(self) -> bool {
        matches!(self, Self::Valkey8_1 | Self::Valkey9)
    }

    /// What its own version begins with.
    pub fn number(self) -> &'static str {
        match self {
            Self::Redis6_0 => "6.0",
            Self::Redis7_0 => "7.0",
            Self::Redis8_0 => "8.0",
            Self::Valkey8_1 => "8.1",
            Self::Valkey9 => "9",
        }
    }

    /// Where its programs are, and the clients that came with it.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn programs(self) -> Programs {
        Programs::find(&format!("{}-{}", self.family(), self.number()), &self.daemon(), &[])
    }

    fn family(self) -> &'static str {
        if self.is_valkey() { "valkey" } else { "redis" }
    }

    /// The server's program.
    pub(super) fn daemon(self) -> String {
        format!("{}-server", self.family())
    }

    /// The client's.
    pub fn client(self) -> String {
        format!("{}-cli", self.family())
    }

    /// Whether settings of Redis 7.0 are known to it.
    pub(super) fn is_since_7(self) -> bool {
        self != Self::Redis6_0
    }
}

/// How a server differs from an ordinary one, which keeps nothing on disk.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub(super) version: RedisVersion,
    pub(super) settings: Vec<(String, String)>,
    pub(super) lines: Vec<String>,
    pub(super) password: Option<String>,
    pub(super) tls: bool,
    pub(super) sentinel: bool,
    pub(super) cluster: bool,
}

impl RedisOptions {
    /// An ordinary one: without a password, without TLS, with 16 databases.
    pub fn new(version: RedisVersion) -> Self {
        Self {
            version,
            settings: Vec::new(),
            lines: Vec::new(),
            password: None,
            tls: false,
            sentinel: false,
            cluster: false,
        }
    }

    /// The same with a setting of the server that has one value.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a line of the server's configuration, as it is.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// The same, with a password for the default user. [`RedisServer::url`] has it.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The same, with a user whose rights are those of `ACL SETUSER`: `on >secret ~* +@all`.
    pub fn user(self, name: &str, rights: &str) -> Self {
        self.line(&format!("user {name} {rights}"))
    }

    /// The same, which keeps what it has answered to if it is killed.
    pub fn durable(self) -> Self {
        self.setting("appendonly", "yes").setting("appendfsync", "no")
    }

    /// The same, with a certificate by an authority of its own, on a port of its own. Nobody has to use TLS.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The same, as a replica of another.
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        self.line(&format!("replicaof 127.0.0.1 {}", primary.port()))
    }

    /// A sentinel, which watches a server by a name.
    pub fn sentinel_of(mut self, primary: &RedisServer, name: &str) -> Self {
        self.sentinel = true;
        self.line(&format!("sentinel monitor {name} 127.0.0.1 {} 1", primary.port()))
    }

    pub(super) fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up.
    pub fn start(&self) -> RedisServer {
        RedisServer::with(self)
    }
}
