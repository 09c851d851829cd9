//! What is at the other end.

use dumprestore_driver::Result;

use super::fault;
use super::info::Info;
use super::session::Session;
use crate::rdb;

/// A version, in three numbers.
type Version = (u16, u16, u16);

/// What a server is to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    /// Of that server. `in_touch`: it has a link to it, and knows what it knows.
    Replica {
        of: String,
        in_touch: bool,
    },
}

/// A server, as it tells of itself.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) valkey: bool,
    /// Its own.
    pub(crate) version: Version,
    /// The version of Redis whose commands it has.
    compatible: Version,
    /// Of the files that it writes, and of `DUMP`. It reads older ones.
    pub(crate) rdb: rdb::Version,
    pub(crate) role: Role,
    /// Whether it is a node of a cluster.
    pub(crate) cluster: bool,
    /// What tells it from all others, until it is started again.
    pub(crate) run_id: String,
    /// All that it told.
    pub(crate) info: Info,
}

impl Server {
    /// Asks it.
    ///
    /// # Errors
    /// If the login may not ask, or the connection is lost.
    pub(crate) fn of(session: &mut Session) -> Result<Self> {
        let info = session.info()?;
        let text = |name: &str| info.get(name).unwrap_or_default().to_owned();
        let valkey = info.get("valkey_version").is_some();
        let compatible = version(info.get("redis_version"));
        let own = if valkey { version(info.get("valkey_version")) } else { compatible };
        let replica = info.get("role") == Some("slave");
        let mut server = Self {
            valkey,
            version: own,
            compatible,
            rdb: by_version(valkey, own),
            role: match replica {
                true => Role::Replica {
                    of: format!("{}:{}", text("master_host"), text("master_port")),
                    in_touch: info.get("master_link_status") == Some("up"),
                },
                false => Role::Primary,
            },
            cluster: info.get("cluster_enabled") == Some("1"),
            run_id: text("run_id"),
            info,
        };
        if let Some(written) = server.writes(session)? {
            server.rdb = written;
        }
        Ok(server)
    }

    /// Whether it has the commands of that version of Redis.
    pub(crate) fn is_since(&self, major: u16, minor: u16) -> bool {
        self.compatible >= (major, minor, 0)
    }

    /// For people: `Redis 7.0.15`, `Valkey 8.1.1`.
    pub(crate) fn title(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{} {major}.{minor}.{patch}", if self.valkey { "Valkey" } else { "Redis" })
    }

    /// The version of files that stands at the end of a dump of all functions, even of none.
    fn writes(&self, session: &mut Session) -> Result<Option<rdb::Version>> {
        if !self.is_since(7, 0) {
            return Ok(None);
        }
        match session.query::<Vec<u8>>(redis::cmd("FUNCTION").arg("DUMP")) {
            Ok(payload) => Ok(payload.len().checked_sub(10).and_then(|at| {
                let number = payload.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)?;
                Some(rdb::Version { valkey: self.valkey && number >= FIRST_OF_VALKEY, number })
            })),
            Err(error) if fault::is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Valkey counts its own files from here.
const FIRST_OF_VALKEY: u16 = 80;

fn by_version(valkey: bool, version: Version) -> rdb::Version {
    let number = match (valkey, version) {
        (true, version) if version >= (9, 0, 0) => FIRST_OF_VALKEY,
        (true, _) => 11,
        (false, version) if version >= (7, 4, 0) => 12,
        (false, version) if version >= (7, 2, 0) => 11,
        (false, version) if version >= (7, 0, 0) => 10,
        (false, version) if version >= (5, 0, 0) => 9,
        (false, _) => 8,
    };
    rdb::Version { valkey: number >= FIRST_OF_VALKEY, number }
}

fn version(text: Option<&str>) -> Version {
    let mut numbers = text.unwrap_or_default().split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_whatever_servers_write() {
        assert_eq!(version(Some("7.0.15")), (7, 0, 15));
        assert_eq!(version(Some("8.0-rc1")), (8, 0, 0));
        assert_eq!(version(None), (0, 0, 0));
    }
}
