//! How a server is to be.

use std::path::{Path, PathBuf};

use super::super::Programs;
use super::MysqlServer;

/// Whose server it is: they have grown apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MysqlFamily {
    /// MariaDB's.
    Mariadb,
    /// Oracle's.
    Mysql,
}

/// The servers that tests can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MysqlVersion {
    /// MariaDB 10.5, of Debian 11.
    Mariadb10_5,
    /// MariaDB 10.11, of Debian 12.
    Mariadb10_11,
    /// MariaDB 11.8, of Debian 13.
    Mariadb11_8,
    /// MySQL 9.7.
    Mysql9_7,
}

impl MysqlVersion {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mariadb10_5, Self::Mariadb10_11, Self::Mariadb11_8, Self::Mysql9_7];

    /// Whose it is.
    pub fn family(self) -> MysqlFamily {
        match self {
            Self::Mariadb10_5 | Self::Mariadb10_11 | Self::Mariadb11_8 => MysqlFamily::Mariadb,
            Self::Mysql9_7 => MysqlFamily::Mysql,
        }
    }

    /// The first two numbers of its version.
    pub fn number(self) -> (u32, u32) {
        match self {
            Self::Mariadb10_5 => (10, 5),
            Self::Mariadb10_11 => (10, 11),
            Self::Mariadb11_8 => (11, 8),
            Self::Mysql9_7 => (9, 7),
        }
    }

    /// Where its programs are, and the clients that came with it.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn programs(self) -> Programs {
        Programs::find(&self.name(), self.daemon(), &[])
    }

    pub(super) fn name(self) -> String {
        let family = match self.family() {
            MysqlFamily::Mariadb => "mariadb",
            MysqlFamily::Mysql => "mysql",
        };
        let (major, minor) = self.number();
        format!("{family}-{major}.{minor}")
    }

    /// The server's program.
    pub(super) fn daemon(self) -> &'static str {
        match self.family() {
            MysqlFamily::Mariadb => "mariadbd",
            MysqlFamily::Mysql => "mysqld",
        }
    }

    /// What each of its programs has to be told, since it is not where it was built for.
    pub(super) fn places(self, programs: &Programs) -> Vec<(&'static str, PathBuf)> {
        let daemon = programs.path(self.daemon()).expect("it was found");
        let root =
            daemon.parent().and_then(Path::parent).expect("a folder of programs in another").to_owned();
        let messages = ["share/mysql", "share/mariadb"].map(|name| root.join(name));
        let messages = messages.into_iter().find(|folder| folder.join("charsets").exists());
        let messages = messages.expect("messages beside the programs");
        let places = [("character_sets_dir", messages.join("charsets")), ("plugin_dir", root.join("plugin"))];
        [("basedir", root), ("lc_messages_dir", messages)].into_iter().chain(places).collect()
    }
}

/// How a server differs from an ordinary one.
#[derive(Debug, Clone)]
pub struct MysqlOptions {
    pub(super) version: MysqlVersion,
    pub(super) settings: Vec<(String, String)>,
    pub(super) tls: bool,
}

impl MysqlOptions {
    /// One without a certificate of our own and without a binary log.
    pub fn new(version: MysqlVersion) -> Self {
        Self { version, settings: Vec::new(), tls: false }
    }

    /// The same with a setting of the server, by its name with underscores; the last of a name counts.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, writing a binary log: by rows, under the name `binlog`.
    pub fn binary_log(self) -> Self {
        self.setting("log_bin", "binlog").setting("server_id", "1").setting("binlog_format", "ROW")
    }

    /// The same, with a certificate by an authority of its own. Nobody has to use TLS.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up.
    pub fn start(&self) -> MysqlServer {
        MysqlServer::with(self)
    }
}
