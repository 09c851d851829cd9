//! How a server is to send its data.

use std::time::Duration;

use dumprestore_driver::Result;

use crate::connect::Session;

/// How a server sends its data to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// It saves them in its own file, at once, and sends that.
    File,
    /// It sends them while it saves them, and begins after a delay, for more replicas might come.
    Stream { delay: Duration },
}

impl Transfer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stream { .. } => "stream",
        }
    }
}

/// What the server's settings say of it. `None`: they are not to be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    diskless: Option<bool>,
    delay: Option<u64>,
    /// Whether it leaves no file with its data by itself.
    keeps_nothing: Option<bool>,
}

impl Settings {
    /// Asks for them.
    pub(super) fn of(session: &mut Session) -> Result<Self> {
        let mut is = |name: &str, value: &str| -> Result<Option<bool>> {
            Ok(session.setting(name)?.map(|set| set == value))
        };
        let diskless = is("repl-diskless-sync", "yes")?;
        let without_saves = is("save", "")?;
        let without_log = is("appendonly", "no")?;
        let removes_files = is("rdb-del-sync-files", "yes")?;
        let all = without_saves.zip(without_log);
        Ok(Self {
            diskless,
            delay: session.setting("repl-diskless-sync-delay")?.and_then(|delay| delay.parse().ok()),
            keeps_nothing: all.map(|(saves, log)| saves && log && removes_files != Some(true)),
        })
    }

    /// The way that begins at once, if there is one. But a server that is to keep nothing is not made to leave a file: the
    /// next time it starts, it would load what it had then.
    pub(super) fn transfer(&self) -> Transfer {
        match self.stream() {
            Some(stream) if self.delay == Some(0) || self.keeps_nothing == Some(true) => stream,
            _ => Transfer::File,
        }
    }

    /// Has a server that is to keep nothing remove the file that it is about to write. Gives whether it had to be told.
    ///
    /// # Errors
    /// If it can't be told.
    pub(super) fn leave_no_file(&self, session: &mut Session) -> Result<bool> {
        if self.keeps_nothing != Some(true) {
            return Ok(false);
        }
        // It changes nothing else where nothing is kept. Set back too early, it would have the file stay.
        let set = redis::cmd("CONFIG").arg(&["SET", "rdb-del-sync-files", "yes"]).clone();
        let () = session.query(&set).map_err(|error| {
            error.with_hint(
                "the server is to keep no file (`save` and `appendonly` are off), and would load that of this dump at its \
                 next start: set its `repl-diskless-sync` or its `rdb-del-sync-files` to `yes`",
            )
        })?;
        Ok(true)
    }

    /// The way that needs no file, if the server has it.
    pub(super) fn stream(&self) -> Option<Transfer> {
        let delay = Duration::from_secs(self.delay.unwrap_or_default());
        (self.diskless == Some(true)).then_some(Transfer::Stream { delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_begins_at_once_unless_it_would_leave_a_file_that_was_not_to_be() {
        let settings = |diskless, delay, keeps_nothing| Settings {
            diskless: Some(diskless),
            delay: Some(delay),
            keeps_nothing: Some(keeps_nothing),
        };
        let stream = |seconds| Transfer::Stream { delay: Duration::from_secs(seconds) };
        assert_eq!(settings(true, 5, false).transfer(), Transfer::File);
        assert_eq!(settings(true, 0, false).transfer(), stream(0));
        assert_eq!(settings(true, 5, true).transfer(), stream(5));
        // It is told to remove it.
        assert_eq!(settings(false, 0, true).transfer(), Transfer::File);
        assert_eq!(Settings::default().transfer(), Transfer::File);
    }
}
