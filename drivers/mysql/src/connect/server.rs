//! What kind of server it is.

use std::fmt;

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// MariaDB.
    MariaDb,
    /// MySQL, or a server that passes for one.
    MySql,
}

/// A server, as it told itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) family: Family,
    /// Such as `(10, 11, 6)`, or `(8, 0, 36)`.
    pub(crate) version: (u16, u16, u16),
    /// What it says for its version, word for word: `10.11.6-MariaDB-0+deb12u1`.
    pub(crate) text: String,
}

impl Server {
    /// Of what `SELECT VERSION()` or the greeting of a server say.
    ///
    /// MariaDB's greeting begins with `5.5.5-` for the sake of old replicas, and behind it the version follows.
    pub(crate) fn new(text: &str) -> Self {
        let maria = text.to_ascii_lowercase().contains("mariadb");
        let told =
            text.strip_prefix("5.5.5-").filter(|rest| maria && begins_with_version(rest)).unwrap_or(text);
        Self {
            family: if maria { Family::MariaDb } else { Family::MySql },
            version: version(told),
            text: told.to_owned(),
        }
    }

    /// Whether it is MariaDB.
    pub(crate) fn is_mariadb(&self) -> bool {
        self.family == Family::MariaDb
    }

    /// Whether it is MariaDB of that version, or a newer one.
    pub(crate) fn is_mariadb_since(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.family == Family::MariaDb && self.version >= (major, minor, patch)
    }

    /// Whether it is MySQL of that version, or a newer one.
    pub(crate) fn is_mysql_since(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.family == Family::MySql && self.version >= (major, minor, patch)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        let family = match self.family {
            Family::MariaDb => "MariaDB",
            Family::MySql => "MySQL",
        };
        write!(f, "{family} {major}.{minor}.{patch}")
    }
}

fn begins_with_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

fn version(text: &str) -> (u16, u16, u16) {
    let digits =
        |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|one| one.parse().ok());
    let mut numbers = text.splitn(3, '.').map(|one| digits(one).unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_behind_the_prefix_for_old_replicas() {
        let of = |text| {
            let server = Server::new(text);
            (server.family, server.version)
        };
        assert_eq!(of("5.5.5-10.11.6-MariaDB-0+deb12u1"), (Family::MariaDb, (10, 11, 6)));
        assert_eq!(of("11.4.2-MariaDB-ubu2404-log"), (Family::MariaDb, (11, 4, 2)));
        assert_eq!(of("8.0.36-0ubuntu0.22.04.1"), (Family::MySql, (8, 0, 36)));
        assert_eq!(of("5.5.5"), (Family::MySql, (5, 5, 5)));
        assert_eq!(of("9.1"), (Family::MySql, (9, 1, 0)));
        assert_eq!(of("5.7.44-48-Percona"), (Family::MySql, (5, 7, 44)));
        assert_eq!(of(""), (Family::MySql, (0, 0, 0)));
        assert_eq!(Server::new("5.5.5-10.3.1-MariaDB").to_string(), "MariaDB 10.3.1");
    }
}
