//! A connection of a restore: one thing after the other, or some at once, or all or nothing.

use std::io::{BufRead as _, Write as _};

use dumprestore_driver::{Cancel, Error, Result};
use redis::{Arg, Cmd};

use crate::connect::{Info, Reply, Target, Wire};

/// A connection of a restore.
pub(super) struct Line {
    pub(super) wire: Wire,
}

/// What became of a transaction.
pub(super) enum Executed {
    /// It was executed: the answers of its commands, refusals as well.
    Done(Vec<Reply>),
    /// Nothing of it was: somebody has changed what was watched.
    Changed,
}

impl Line {
    /// # Errors
    /// If the server can't be reached, or lets nobody in.
    pub(super) fn open(target: &Target, cancel: &Cancel) -> Result<Self> {
        Ok(Self { wire: Wire::open(target, cancel)? })
    }

    pub(super) fn send(&mut self, cmd: &Cmd) -> Result<()> {
        self.wire.write_all(&cmd.get_packed_command()).map_err(|error| self.wire.lost(error))
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// If the server refuses, or the connection is lost.
    pub(super) fn ask(&mut self, cmd: &Cmd) -> Result<Reply> {
        self.send(cmd)?;
        let reply = self.wire.reply()?;
        self.accept(reply, cmd)
    }

    /// Asks many things at once, and takes refusals for answers.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn replies(&mut self, cmds: &[Cmd]) -> Result<Vec<Reply>> {
        cmds.iter().try_for_each(|cmd| self.send(cmd))?;
        cmds.iter().map(|_| self.wire.reply()).collect()
    }

    /// Asks many things at once.
    ///
    /// # Errors
    /// The first refusal, or if the connection is lost.
    pub(super) fn ask_all(&mut self, cmds: &[Cmd]) -> Result<Vec<Reply>> {
        let replies = self.replies(cmds)?;
        replies.into_iter().zip(cmds).map(|(reply, cmd)| self.accept(reply, cmd)).collect()
    }

    /// Has all commands executed with nobody else's in between, or none.
    ///
    /// # Errors
    /// If the server won't, and nothing was changed; or if the connection is lost: then it may or may not be executed.
    pub(super) fn transact(&mut self, cmds: &[Cmd]) -> Result<Executed> {
        self.send(&redis::cmd("MULTI"))?;
        cmds.iter().try_for_each(|cmd| self.send(cmd))?;
        self.send(&redis::cmd("EXEC"))?;
        let begun = self.wire.reply()?;
        let queued = cmds.iter().map(|_| self.wire.reply()).collect::<Result<Vec<_>>>()?;
        let executed = self.wire.reply()?;
        self.accept(begun, &redis::cmd("MULTI"))?;
        for (reply, cmd) in queued.into_iter().zip(cmds) {
            self.accept(reply, cmd)?;
        }
        match self.accept(executed, &redis::cmd("EXEC"))? {
            Reply::Array(replies) if replies.len() == cmds.len() => Ok(Executed::Done(replies)),
            Reply::Null => Ok(Executed::Changed),
            _ => Err(not_understood()),
        }
    }

    /// The same, where nothing is watched.
    ///
    /// # Errors
    /// The same, and the first refusal of a command that was executed: those before and after it have been, too.
    pub(super) fn transact_all(&mut self, cmds: &[Cmd]) -> Result<Vec<Reply>> {
        match self.transact(cmds)? {
            Executed::Done(replies) => {
                replies.into_iter().zip(cmds).map(|(reply, cmd)| self.accept(reply, cmd)).collect()
            }
            Executed::Changed => Err(not_understood()),
        }
    }

    /// Has the server say whether it would execute these commands, without executing them.
    ///
    /// # Errors
    /// If it would not: they are not granted, not known, or nothing may be written.
    pub(super) fn rehearse(&mut self, cmds: &[Cmd]) -> Result<()> {
        // Ended without a command in it, the one that ends it is tried as well.
        let exec = redis::cmd("EXEC");
        for reply in self.replies(&[redis::cmd("MULTI"), exec.clone()])? {
            let reply = match reply {
                Reply::Error(text) => {
                    Reply::Error(text.replacen("EXECABORT Transaction discarded because of: ", "", 1))
                }
                reply => reply,
            };
            self.accept(reply, &exec)?;
        }
        self.ask(&redis::cmd("MULTI"))?;
        let queued = self.replies(cmds)?;
        self.ask(&redis::cmd("DISCARD"))?;
        queued.into_iter().zip(cmds).try_for_each(|(reply, cmd)| self.accept(reply, cmd).map(drop))
    }

    /// Whether the next answer is this one. If not, it is still to be read.
    pub(super) fn takes(&mut self, answer: &[u8]) -> Result<bool> {
        // An answer that has not come whole is read the long way.
        let is_so = match self.wire.fill_buf() {
            Ok(there) => there.starts_with(answer),
            Err(error) => return Err(self.wire.lost(error)),
        };
        if is_so {
            self.wire.consume(answer.len());
        }
        Ok(is_so)
    }

    /// Turns a refusal into an error.
    pub(super) fn accept(&self, reply: Reply, cmd: &Cmd) -> Result<Reply> {
        match reply {
            Reply::Error(text) => Err(self.wire.refused(&text, &name_of(cmd))),
            reply => Ok(reply),
        }
    }

    pub(super) fn select(&mut self, index: u64) -> Result<()> {
        self.ask(&select(index)).map(drop)
    }

    pub(super) fn info(&mut self, section: &str) -> Result<Info> {
        let reply = self.ask(redis::cmd("INFO").arg(section))?;
        Ok(Info::parse(&String::from_utf8_lossy(&bytes(reply).unwrap_or_default())))
    }

    /// How many keys a database has, with and without a time at which they expire.
    pub(super) fn count(&mut self, index: u64) -> Result<Count> {
        Ok(Count::of(&self.info("keyspace")?, index))
    }
}

/// The keys of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) lasting: u64,
    pub(super) expiring: u64,
}

impl Count {
    pub(super) fn of(keyspace: &Info, index: u64) -> Self {
        let line = keyspace.get(&format!("db{index}")).unwrap_or_default();
        let number = |name: &str| -> u64 {
            let found = line.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.and_then(|digits| digits.parse().ok()).unwrap_or(0)
        };
        let expiring = number("expires");
        Self { lasting: number("keys").saturating_sub(expiring), expiring }
    }

    /// How many keys have fields that expire, where the server tells.
    pub(super) fn fading(keyspace: &Info, index: u64) -> u64 {
        let line = keyspace.get(&format!("db{index}")).unwrap_or_default();
        // Redis, and Valkey.
        let number = ["subexpiry=", "keys_with_volatile_items="]
            .iter()
            .find_map(|name| line.split(',').find_map(|pair| pair.strip_prefix(name)));
        number.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    pub(super) fn all(self) -> u64 {
        self.lasting + self.expiring
    }
}

/// What enters a database.
pub(super) fn select(index: u64) -> Cmd {
    let mut cmd = redis::cmd("SELECT");
    cmd.arg(index);
    cmd
}

pub(super) fn integer(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn bytes(reply: Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Bulk(bytes) => Some(bytes),
        _ => None,
    }
}

pub(super) fn not_understood() -> Error {
    Error::environment("the server's answer is not understood")
}

fn name_of(cmd: &Cmd) -> String {
    let words = cmd.args_iter().take(1).map(|arg| match arg {
        Arg::Simple(bytes) => bytes.escape_ascii().to_string(),
        _ => String::new(),
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_whether_they_expire() {
        let info = Info::parse(
            "# Keyspace\r\ndb1:keys=7,expires=2,avg_ttl=0,subexpiry=0\r\ndb11:keys=9,expires=9\r\n",
        );
        assert_eq!(Count::of(&info, 1), Count { lasting: 5, expiring: 2 });
        assert_eq!(Count::of(&info, 11), Count { lasting: 0, expiring: 9 });
        assert_eq!(Count::of(&info, 2).all(), 0);
        let info = Info::parse(
            "db1:keys=7,expires=2,avg_ttl=0,subexpiry=4\r\ndb2:keys=7,keys_with_volatile_items=3\r\n",
        );
        assert_eq!((Count::fading(&info, 1), Count::fading(&info, 2), Count::fading(&info, 3)), (4, 3, 0));
    }
}
