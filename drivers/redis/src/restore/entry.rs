//! What stands in the journal: enough to go on after a crash.

use dumprestore_driver::{DriverConfig, Extras, Result, Token, parse_entry, parse_kept};
use serde::{Deserialize, Serialize};

use crate::config::RedisConfig;

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    Planned,
    Begun,
    Prepared,
    Committed,
}

/// How the new keys become live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    /// They are made in databases that nobody uses, which then change places with the live ones.
    Swap,
    /// They are made in the live databases under other names, and renamed.
    Rename,
    /// The same in a cluster, where each primary has its own.
    Cluster,
}

/// Where the keys come from that become live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Staged {
    /// From an archive.
    Made,
    /// They were live before that restore, which has kept them.
    Kept { run: String },
}

/// One database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pair {
    /// Its index in the archive. `None`: the archive has no such database, and none of its keys is to stay.
    pub(super) archived: Option<u64>,
    /// Its index.
    pub(super) live: u64,
    /// Where its new keys are made, once that is known.
    pub(super) spare: Option<u64>,
}

/// One restore, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    version: u32,
    pub(super) run: String,
    /// Which start of which server it is.
    pub(super) server: String,
    pub(super) step: Step,
    pub(super) method: Method,
    pub(super) staged: Staged,
    pub(super) extras: Extras,
    /// Whether it is of the whole node: functions belong to that.
    pub(super) whole: bool,
    pub(super) pairs: Vec<Pair>,
    /// Databases that were empty when the restore was planned: new keys are made in no other.
    pub(super) spares: Vec<u64>,
}

const VERSION: u32 = 1;

impl Entry {
    pub(super) fn new(run: &str, server: &str, method: Method, pairs: Vec<Pair>, spares: Vec<u64>) -> Self {
        Self {
            version: VERSION,
            run: run.to_owned(),
            server: server.to_owned(),
            step: Step::Planned,
            method,
            staged: Staged::Made,
            extras: Extras::Remove,
            whole: true,
            pairs,
            spares,
        }
    }

    /// For putting back what an earlier restore has kept.
    pub(super) fn of_kept(kept: Kept, run: &str, server: &str) -> Self {
        let staged = Staged::Kept { run: kept.run };
        Self { staged, ..Self::new(run, server, kept.method, kept.pairs, Vec::new()) }
    }

    pub(super) fn parse(token: &Token) -> Result<Self> {
        parse_entry(token, RedisConfig::KIND, VERSION)
    }

    pub(super) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Where the new keys of a database can be.
    pub(super) fn candidates(&self, pair: &Pair) -> Vec<u64> {
        pair.spare.map_or_else(|| self.spares.clone(), |spare| vec![spare])
    }

    /// The old state, once it is kept in these databases.
    pub(super) fn kept(&self, pairs: Vec<Pair>) -> Kept {
        Kept { version: VERSION, run: self.run.clone(), method: self.method, pairs }
    }
}

/// An old state that outlives its restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    version: u32,
    /// The run that has kept it.
    pub(super) run: String,
    pub(super) method: Method,
    pub(super) pairs: Vec<Pair>,
}

impl Kept {
    pub(super) fn parse(token: &Token) -> Result<Self> {
        parse_kept(token, RedisConfig::KIND, VERSION)
    }

    pub(super) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }
}
