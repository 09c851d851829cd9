//! Where a server is in the stream of its changes.

use dumprestore_driver::{Error, Result};

use crate::connect::{Info, Session};

/// What a server says of itself, all at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which stream of changes it is in.
    pub(super) history: String,
    /// How far that has come, in bytes.
    pub(super) offset: u64,
    /// What keeps it from beginning a save.
    pub(super) busy: Option<&'static str>,
    /// How many replicas have asked for all data, ever.
    full_syncs: Option<u64>,
    /// How often it has forked, ever.
    forks: Option<u64>,
    saving: bool,
}

impl Moment {
    /// Asks the server.
    ///
    /// # Errors
    /// If it does not tell where it is.
    pub(super) fn of(session: &mut Session) -> Result<Self> {
        Self::read(&session.info()?)
    }

    fn read(info: &Info) -> Result<Self> {
        let offset = info.number("master_repl_offset");
        let history = info.get("master_replid");
        let (Some(offset), Some(history)) = (offset, history) else {
            return Err(Error::environment(
                "the server does not tell where it is in the stream of its changes",
            )
            .with_hint("dump it with `mode: scan`, which needs no replication"));
        };
        let is = |name: &str| info.get(name) == Some("1");
        let busy = [
            ("loading", "it loads its data"),
            ("rdb_bgsave_in_progress", "it saves its data already"),
            ("aof_rewrite_in_progress", "it rewrites its append-only file"),
            ("module_fork_in_progress", "one of its modules has forked"),
        ];
        Ok(Self {
            history: history.to_owned(),
            offset,
            busy: busy.iter().find(|(name, _)| is(name)).map(|(_, what)| *what),
            full_syncs: info.number("sync_full"),
            forks: info.number("total_forks"),
            saving: is("rdb_bgsave_in_progress"),
        })
    }

    /// Whether since then a replica was taken, and a save was begun: both can't be told by every server.
    pub(super) fn has_begun_since(&self, then: &Self) -> bool {
        self.has_taken_since(then) && more(self.forks, then.forks).unwrap_or(self.saving)
    }

    /// Whether since then a replica was taken.
    pub(super) fn has_taken_since(&self, then: &Self) -> bool {
        more(self.full_syncs, then.full_syncs) == Some(true)
    }
}

fn more(now: Option<u64>, then: Option<u64>) -> Option<bool> {
    now.zip(then).map(|(now, then)| now > then)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(lines: &str) -> Moment {
        Moment::read(&Info::parse(&format!("master_replid:abc\r\nmaster_repl_offset:7\r\n{lines}"))).unwrap()
    }

    #[test]
    fn a_save_has_begun_once_a_replica_was_taken_and_the_server_has_forked() {
        let before = moment("sync_full:1\r\ntotal_forks:4\r\nrdb_bgsave_in_progress:0");
        for (lines, begun) in [
            ("sync_full:2\r\ntotal_forks:5", true),
            ("sync_full:2\r\ntotal_forks:4\r\nrdb_bgsave_in_progress:1", false),
            ("sync_full:1\r\ntotal_forks:5\r\nrdb_bgsave_in_progress:1", false),
        ] {
            assert_eq!(moment(lines).has_begun_since(&before), begun, "{lines}");
        }
        // Before 6.2 servers don't count forks.
        let old = moment("sync_full:1");
        assert!(moment("sync_full:2\r\nrdb_bgsave_in_progress:1").has_begun_since(&old));
        assert!(!moment("sync_full:2").has_begun_since(&old));
    }

    #[test]
    fn a_server_that_saves_or_loads_is_busy() {
        assert_eq!(moment("rdb_bgsave_in_progress:0").busy, None);
        for line in ["loading:1", "rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1"] {
            assert!(moment(line).busy.is_some(), "{line}");
        }
        assert!(Moment::read(&Info::parse("redis_version:7.0.15")).is_err());
    }
}
