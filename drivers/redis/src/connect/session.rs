//! A connection that is asked one thing after the other.

use std::io::Write as _;

use dumprestore_driver::{Cancel, Error, Result};
use redis::{Arg, Cmd, FromRedisValue, Pipeline};

use super::fault;
use super::info::Info;
use super::reply::Reply;
use super::target::Target;
use super::wire::Wire;

/// A session, for one thread. It waits for an answer as long as it takes: who may not, opens it for a run that can be
/// stopped.
pub(crate) struct Session {
    wire: Wire,
}

impl Session {
    /// Connects, logs in, and enters the database of the target.
    ///
    /// # Errors
    /// If the server can't be reached, or lets nobody in.
    pub(crate) fn open(target: &Target) -> Result<Self> {
        Self::open_for(target, &Cancel::default())
    }

    /// The same, for as long as the run goes on.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn open_for(target: &Target, cancel: &Cancel) -> Result<Self> {
        Ok(Self { wire: Wire::open(target, cancel)? })
    }

    /// Where it leads: of sentinels, the server that they named.
    pub(crate) fn target(&self) -> &Target {
        self.wire.target()
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// If the server refuses ([`code`](fault::code) says how), or its answer is no `T`, or the connection is lost.
    pub(crate) fn query<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T> {
        self.wire.write_all(&cmd.get_packed_command()).map_err(|error| self.wire.lost(error))?;
        match self.wire.reply()? {
            Reply::Error(text) => Err(fault::of_command(&text, &name_of(cmd), self.target())),
            reply => T::from_redis_value(reply.into()).map_err(|_| {
                // What the crate says of it holds the value.
                Error::environment("the server's answer is not understood")
                    .with_context("server", &self.target().place)
                    .with_context("command", name_of(cmd))
            }),
        }
    }

    /// Asks many things at once, for all answers as they are, refusals as well. Of a transaction, they are those of its
    /// commands; if it was not executed, they are what kept it from that.
    ///
    /// # Errors
    /// If the connection is lost, or a transaction was given up since a watched key changed.
    pub(crate) fn replies(&mut self, pipeline: &Pipeline) -> Result<Vec<Reply>> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let packed = pipeline.get_packed_pipeline();
        self.wire.write_all(&packed).map_err(|error| self.wire.lost(error))?;
        if !pipeline.is_transaction() {
            return (0..pipeline.len()).map(|_| self.wire.reply()).collect();
        }
        let begun = self.wire.reply()?;
        let queued = (0..pipeline.len()).map(|_| self.wire.reply()).collect::<Result<Vec<_>>>()?;
        match self.wire.reply()? {
            Reply::Array(replies) => Ok(replies),
            Reply::Null => {
                Err(Error::environment("a transaction was given up: somebody changed what was watched")
                    .with_context("server", &self.target().place))
            }
            refused => Ok(match begun {
                Reply::Error(_) => vec![begun],
                _ if queued.iter().any(|reply| matches!(reply, Reply::Error(_))) => queued,
                _ => vec![refused],
            }),
        }
    }

    /// Enters another database.
    ///
    /// # Errors
    /// If there is none of that index, or the login may not enter it.
    pub(crate) fn select(&mut self, index: u64) -> Result<()> {
        self.query(redis::cmd("SELECT").arg(index))
    }

    /// What the server tells of itself, in its ordinary sections.
    ///
    /// # Errors
    /// If the login may not ask, or the connection is lost.
    pub(crate) fn info(&mut self) -> Result<Info> {
        let text: Vec<u8> = self.query(&redis::cmd("INFO"))?;
        Ok(Info::parse(&String::from_utf8_lossy(&text)))
    }

    /// A setting of the server (`CONFIG GET`). `None`: it has none of that name, or the login may not ask for settings, as
    /// with many hosters.
    ///
    /// # Errors
    /// If the connection is lost, or the server refuses for another reason.
    pub(crate) fn setting(&mut self, name: &str) -> Result<Option<String>> {
        match self.query::<Vec<String>>(redis::cmd("CONFIG").arg("GET").arg(name)) {
            Ok(pair) => Ok(pair.into_iter().nth(1)),
            Err(error) if fault::is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn name_of(cmd: &Cmd) -> String {
    let parts = cmd.args_iter().take(2).map(|arg| match arg {
        Arg::Simple(bytes) => bytes,
        _ => b"".as_slice(),
    });
    fault::name_of(&parts.collect::<Vec<_>>())
}
