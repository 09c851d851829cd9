//! `pg_dump` at work.

use std::collections::VecDeque;
use std::process::Stdio;

use dumprestore_driver::{Error, Result};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::PgDump;
use crate::connect::{Target, VARIABLES};

/// As much of its complaints as is kept: the last of them.
const MOST_SAID: usize = 8 * 1024;

/// A run. Dropped before its end, it is killed.
pub(crate) struct Running {
    child: Child,
    output: ChildStdout,
    said: JoinHandle<String>,
    program: String,
}

impl PgDump {
    /// Starts it on a database, with these arguments. How to connect, and the password, it learns from its environment.
    ///
    /// `target` is that of an open session, [`Connection::target`](crate::connect::Connection::target): a snapshot
    /// is known on one server only.
    pub(crate) fn start(&self, target: &Target, arguments: &[String]) -> Result<Running> {
        let mut command = Command::new(&self.path);
        command.arg("--no-password").args(arguments);
        for (name, _) in VARIABLES {
            command.env_remove(name);
        }
        command.envs(target.variables());
        // Its complaints are for our messages, and its output for us.
        command
            .env("LC_MESSAGES", "C")
            .env_remove("LC_ALL")
            .env_remove("LANGUAGE")
            .env("PGCLIENTENCODING", "UTF8");
        command.env("PG_COLOR", "never");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let program = self.path.display().to_string();
        let mut child = command
            .spawn()
            .map_err(|error| Error::io("can't start `pg_dump`", error).with_context("program", &program))?;
        let missing = || Error::defect("a process has no pipe that was asked for");
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        Ok(Running { child, output, said: tokio::spawn(listen(errors)), program })
    }
}

impl Running {
    /// What it writes.
    pub(crate) fn output(&mut self) -> &mut ChildStdout {
        &mut self.output
    }

    /// Waits for its end, and gives its warnings. What it would still write is lost.
    ///
    /// # Errors
    /// If it failed: with what it said.
    pub(crate) async fn finish(mut self) -> Result<Vec<String>> {
        // If nobody reads on, it must not wait for somebody who does.
        drop(self.output);
        let status = self.child.wait().await.map_err(|error| Error::io("`pg_dump` is lost", error))?;
        let said = self.said.await.unwrap_or_default();
        if status.success() {
            return Ok(warnings(&said));
        }
        let words: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let error = Error::environment(format!("`pg_dump` failed: {}", words.join("; ")))
            .with_context("program", &self.program)
            .with_context("ended with", status);
        Err(match hint_for(&said) {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

/// Each with what was said after it, on one line.
fn warnings(said: &str) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.strip_prefix("pg_dump: ").unwrap_or(line);
        match (line.strip_prefix("warning: "), warnings.last_mut()) {
            (Some(warning), _) => warnings.push(warning.to_owned()),
            (None, Some(last)) => *last = format!("{last}; {line}"),
            (None, None) => warnings.push(line.to_owned()),
        }
    }
    warnings
}

fn hint_for(said: &str) -> Option<&'static str> {
    let has = |words: &str| said.contains(words);
    if has("permission denied") {
        Some("use a login that may read everything, or leave out what it may not with `exclude_tables`")
    } else if has("invalid byte sequence") {
        Some(
            "the database's encoding is `SQL_ASCII`, which checks nothing: mend the name, comment or statement that is \
             not valid UTF-8",
        )
    } else if has("lock timeout") {
        Some("somebody holds a lock for long: end that session, or raise `lock_timeout`")
    } else if has("server version mismatch") {
        Some("install the client programs of the server's version")
    } else {
        None
    }
}

/// The last of what comes, for there may be a line for each of many tables.
async fn listen(mut errors: ChildStderr) -> String {
    let mut kept = VecDeque::new();
    let mut buffer = [0; 1024];
    while let Ok(read) = errors.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        kept.extend(buffer.iter().take(read).copied());
        let surplus = kept.len().saturating_sub(MOST_SAID);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_with_what_belongs_to_them() {
        let said = "pg_dump: warning: one thing is odd\npg_dump: detail: why\n\npg_dump: warning: another\n";
        assert_eq!(warnings(said), ["one thing is odd; detail: why", "another"]);
        assert_eq!(warnings("unasked\n"), ["unasked"]);
        assert!(warnings("").is_empty());
    }
}
