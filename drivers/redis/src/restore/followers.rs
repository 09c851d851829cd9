//! Replicas of a server that is written to: one that can't follow is dropped by it, and a failover takes back what one did not have.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::Restore;
use super::line::{Line, integer};
use crate::connect::{Info, is_refusal};

/// In bytes: after so much it is waited for those that follow. Servers drop one that is some hundred megabytes behind.
const OFTEN: u64 = 16 << 20;
/// So long for all that was written.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps a load at the pace of the replicas of its server.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sent: u64,
    /// One of them did not come after us: it is left behind.
    given_up: bool,
}

impl Pace {
    /// Counts what is sent. Gives whether they are to be waited for.
    pub(super) fn spend(&mut self, bytes: u64) -> bool {
        self.sent += bytes;
        self.sent >= OFTEN && !self.given_up
    }

    /// Waits until they have all that was written by this connection, for a while. All that was sent must be answered by now.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn keep(&mut self, line: &mut Line) -> Result<()> {
        self.sent = 0;
        self.given_up = behind(line)?.is_some();
        Ok(())
    }
}

/// Replicas that are not where their server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Behind {
    replicas: u64,
    up_to_date: u64,
}

impl Behind {
    pub(super) fn error(self) -> Error {
        Error::environment(
            "replicas of a primary do not follow it, and a failover would lose what is restored",
        )
        .with_context("replicas", self.replicas)
        .with_context("up to date", self.up_to_date)
        .with_hint("wait until `INFO replication` of each primary shows no lag, and restore again")
    }
}

/// Waits until all replicas have what was written by this connection. Gives those that do not in time.
///
/// # Errors
/// If the connection is lost.
pub(super) fn behind(line: &mut Line) -> Result<Option<Behind>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let Followers { following, joining } = Followers::of(&line.info("replication")?);
        if following > 0 {
            let most = until.saturating_duration_since(Instant::now()).as_millis().max(1);
            let reached =
                match line.ask(redis::cmd("WAIT").arg(following).arg(u64::try_from(most).unwrap_or(1))) {
                    Ok(reply) => integer(&reply).unwrap_or(0),
                    // The login may not: then it is as with everything else that is written there.
                    Err(error) if is_refusal(&error) => return Ok(None),
                    Err(error) => return Err(error),
                };
            if reached < following {
                return Ok(Some(Behind { replicas: following, up_to_date: reached }));
            }
        }
        // One that gets all data anew is none that takes over for a while.
        if joining == 0 || Instant::now() >= until {
            return Ok(None);
        }
        sleep(PAUSE);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Followers {
    following: u64,
    /// They still get all data.
    joining: u64,
}

impl Followers {
    fn of(info: &Info) -> Self {
        let mut found = Self { following: 0, joining: 0 };
        let lines = (0..).map_while(|number| info.get(&format!("slave{number}")));
        for line in lines {
            let has = |what: &str| line.split(',').any(|one| one == what);
            match () {
                // Whoever has no port is none, but reads all data, as our dumps do.
                () if has("port=-1") || has("port=0") => {}
                () if has("state=online") => found.following += 1,
                () => found.joining += 1,
            }
        }
        found
    }
}

impl Restore {
    /// Says which replicas a failover would lose the restore with.
    pub(super) fn tell_behind(&self, line: &mut Line) -> Result<()> {
        if behind(line)?.is_some() {
            self.tell(LedgerEntry::degrading(
                "replicas",
                "not all have followed yet: if one of them takes over now, the old keys, or some of them, are back",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_reads_the_data_is_no_replica() {
        let info = Info::parse(
            "role:master\r\nconnected_slaves:4\r\nslave0:ip=10.0.0.1,port=6379,state=online,offset=7,lag=0\r\n\
             slave1:ip=10.0.0.2,port=0,state=online,offset=0,lag=3\r\nslave2:ip=10.0.0.2,port=-1,state=send_bulk,offset=0,lag=3\r\n\
             slave3:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n",
        );
        assert_eq!(Followers::of(&info), Followers { following: 1, joining: 1 });
        assert_eq!(Followers::of(&Info::parse("role:master")), Followers { following: 0, joining: 0 });
    }

    #[test]
    fn it_is_waited_for_after_so_much() {
        let mut pace = Pace::default();
        assert!(!pace.spend(OFTEN - 1) && pace.spend(1));
        pace.given_up = true;
        assert!(!pace.spend(OFTEN));
    }
}
