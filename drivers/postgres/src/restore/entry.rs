//! What stands in the journal: enough to go on after a crash.

use dumprestore_driver::{DriverConfig, Error, Result, Token, parse_entry, parse_kept};
use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::config::PostgresConfig;

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    Planned,
    Begun,
    Prepared,
    Committed,
}

/// What is put in the place of the live database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Staged {
    /// A database that this restore makes. Its OID is known once it is there.
    Made { oid: Option<u32> },
    /// One that an earlier restore has kept; and whether it let anybody in before.
    Kept { oid: u32, open: bool },
    /// None: before that earlier restore there was none.
    Nothing,
}

impl Staged {
    pub(crate) fn oid(self) -> Option<u32> {
        match self {
            Self::Made { oid } => oid,
            Self::Kept { oid, .. } => Some(oid),
            Self::Nothing => None,
        }
    }
}

/// The live database of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Old {
    Absent,
    Database {
        oid: u32,
        /// Whether it lets anybody in.
        open: bool,
    },
}

impl Old {
    pub(crate) fn oid(self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Database { oid, .. } => Some(oid),
        }
    }

    /// Whether the database that takes its place lets anybody in.
    pub(crate) fn open(self) -> bool {
        !matches!(self, Self::Database { open: false, .. })
    }
}

/// One restore, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    version: u32,
    run: String,
    live: String,
    /// Which server it is: numbers of databases mean nothing on another.
    server: Option<String>,
    pub(crate) step: Step,
    pub(crate) staged: Staged,
    /// Known once all is prepared.
    pub(crate) old: Option<Old>,
    /// `CONNECTION LIMIT` of what was made, from the swap on. Known once all is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<i32>,
}

const VERSION: u32 = 1;

impl Entry {
    pub(crate) fn new(live: &str, run: &str, server: Option<String>, staged: Staged) -> Self {
        Self {
            version: VERSION,
            run: run.to_owned(),
            live: live.to_owned(),
            server,
            step: Step::Planned,
            staged,
            old: None,
            limit: None,
        }
    }

    /// For putting back what an earlier restore has kept.
    pub(crate) fn of_kept(kept: &Kept, run: &str) -> Self {
        Self::new(&kept.live, run, kept.server.clone(), kept.staged())
    }

    pub(crate) fn parse(token: &Token) -> Result<Self> {
        parse_entry(token, PostgresConfig::KIND, VERSION)
    }

    pub(crate) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(crate) fn names(&self) -> Names {
        Names::new(&self.live, &self.run)
    }

    /// Refuses another server than that of the entry.
    pub(crate) fn check_server(&self, server: Option<&str>) -> Result<()> {
        check_server(self.server.as_deref(), server)
    }

    /// The old state that is kept, once it is.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let (oid, open) = match self.old? {
            Old::Absent => (None, true),
            Old::Database { oid, open } => (Some(oid), open),
        };
        Some(Kept { version: VERSION, live: self.live.clone(), server: self.server.clone(), oid, open })
    }
}

/// An old state that outlives its restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    version: u32,
    /// The database that it was.
    pub(crate) live: String,
    server: Option<String>,
    /// None: there was no database.
    pub(crate) oid: Option<u32>,
    /// Whether it let anybody in.
    open: bool,
}

impl Kept {
    pub(crate) fn parse(token: &Token) -> Result<Self> {
        parse_kept(token, PostgresConfig::KIND, VERSION)
    }

    pub(crate) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(crate) fn staged(&self) -> Staged {
        match self.oid {
            Some(oid) => Staged::Kept { oid, open: self.open },
            None => Staged::Nothing,
        }
    }

    /// Refuses another server than that of the token.
    pub(crate) fn check_server(&self, server: Option<&str>) -> Result<()> {
        check_server(self.server.as_deref(), server)
    }
}

/// Refuses another server than the known one.
pub(super) fn check_server(known: Option<&str>, found: Option<&str>) -> Result<()> {
    match (known, found) {
        (Some(known), Some(found)) if known != found => {
            Err(Error::config("that is not the server on which the restore was begun")
                .with_context("begun on", known)
                .with_context("found", found)
                .with_hint("have `url` lead to the server that it led to then"))
        }
        _ => Ok(()),
    }
}
