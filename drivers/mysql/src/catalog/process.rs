//! Sessions of others. Not from `information_schema.processlist`: MySQL can't list it while any session runs a statement
//! with bytes in it that are not UTF-8 (error 3854).

use dumprestore_driver::Result;

use crate::connect::{Row, Session};

/// A session, as far as the login may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: u64,
    /// `user@host`.
    pub(crate) who: String,
    pub(crate) database: String,
    pub(crate) command: String,
    /// For how many seconds it has been at what it does.
    pub(crate) seconds: u64,
    pub(crate) state: String,
}

impl Process {
    fn read(row: &Row) -> Result<Self> {
        let text = |column| String::from_utf8_lossy(row.bytes(column).unwrap_or_default()).into_owned();
        Ok(Self {
            id: row.number(0)?,
            who: format!("{}@{}", text(1), text(2)),
            database: text(3),
            command: text(4),
            // Negative for a moment, where clocks differ.
            seconds: text(5).parse().unwrap_or(0),
            state: text(6),
        })
    }

    /// Whether it runs a statement, or may: that of an event has another `command` than that of a client.
    pub(crate) fn is_at_work(&self) -> bool {
        const IDLE: [&str; 4] = ["Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID"];
        // What a replica takes over is work, but not to wait for more of it.
        let waits_for_work =
            self.who.starts_with("system user") && self.state.contains("aiting for") && !self.waits();
        !IDLE.contains(&self.command.as_str()) && !waits_for_work
    }

    /// Whether it waits for a lock.
    pub(crate) fn waits(&self) -> bool {
        self.state.starts_with("Waiting for") && self.state.ends_with("lock")
    }
}

/// All sessions but this one.
pub(crate) async fn processes(session: &mut Session) -> Result<Vec<Process>> {
    let ours = session.id();
    let rows = session.rows("SHOW PROCESSLIST").await?;
    let processes: Result<Vec<Process>> = rows.iter().map(Process::read).collect();
    Ok(processes?.into_iter().filter(|process| process.id != ours).collect())
}
