//! What stands in the journal: enough to go on after a crash.

use dumprestore_driver::{DriverConfig, Error, Extras, Result, Selection, Token, parse_entry, parse_kept};
use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::config::MysqlConfig;

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    Planned,
    Begun,
    Prepared,
    Committed,
}

/// Where the tables come from that become live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Staged {
    /// A database that this restore makes.
    Made,
    /// One that an earlier restore has kept: its name, and the run of that restore.
    Kept { database: String, run: String },
}

/// One restore, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    version: u32,
    pub(crate) run: String,
    pub(crate) live: String,
    /// Which server it is, if it can tell: databases of the same names on another are not ours.
    server: Option<String>,
    pub(crate) step: Step,
    pub(crate) staged: Staged,
    pub(crate) extras: Extras,
    pub(crate) selection: Selection,
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
            extras: Extras::Remove,
            selection: Selection::default(),
        }
    }

    /// For putting back what an earlier restore has kept.
    pub(crate) fn of_kept(kept: &Kept, run: &str) -> Self {
        let staged = Staged::Kept { database: kept.database.clone(), run: kept.run.clone() };
        Self::new(&kept.live, run, kept.server.clone(), staged)
    }

    pub(crate) fn parse(token: &Token) -> Result<Self> {
        parse_entry(token, MysqlConfig::KIND, VERSION)
    }

    pub(crate) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(crate) fn names(&self) -> Names {
        Names::new(&self.live, &self.run)
    }

    /// The run of the restore that has made the database that the tables come from.
    pub(crate) fn run_of_staged(&self) -> &str {
        match &self.staged {
            Staged::Made => &self.run,
            Staged::Kept { run, .. } => run,
        }
    }

    /// Refuses another server than that of the entry.
    pub(crate) fn check_server(&self, server: Option<&str>) -> Result<()> {
        check_server(self.server.as_deref(), server)
    }

    /// The old state, once it is kept.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            version: VERSION,
            live: self.live.clone(),
            server: self.server.clone(),
            database: self.names().old,
            run: self.run.clone(),
        }
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
    /// The database that has its tables now.
    pub(crate) database: String,
    /// The run that has kept it.
    pub(crate) run: String,
}

impl Kept {
    pub(crate) fn parse(token: &Token) -> Result<Self> {
        parse_kept(token, MysqlConfig::KIND, VERSION)
    }

    pub(crate) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Refuses another server than that of the token.
    pub(crate) fn check_server(&self, server: Option<&str>) -> Result<()> {
        check_server(self.server.as_deref(), server)
    }
}

fn check_server(known: Option<&str>, found: Option<&str>) -> Result<()> {
    let (Some(known), Some(found)) = (known, found) else { return Ok(()) };
    let (known, found) = (kinds(known), kinds(found));
    // A cluster's nodes, and a server that came up elsewhere, are told by the best that is known of both.
    let common = known.iter().find_map(|(kind, known)| {
        let (_, found) = found.iter().find(|(other, _)| other == kind)?;
        Some((*known, *found))
    });
    match common {
        Some((known, found)) if known != found => {
            Err(Error::config("that is not the server on which the restore was begun")
                .with_context("begun on", known)
                .with_context("found", found)
                .with_hint("have `url` lead to the server that it led to then"))
        }
        _ => Ok(()),
    }
}

/// What is known of a server, by its kind.
fn kinds(identity: &str) -> Vec<(&str, &str)> {
    identity.lines().filter_map(|line| line.split_once('=')).collect()
}

#[cfg(test)]
mod tests {
    use super::check_server;

    #[test]
    fn a_server_is_told_by_what_is_known_of_it_then_and_now() {
        let known = Some("place=1 a 3306 /data");
        for same in ["uid=x\nplace=1 a 3306 /data", "uid=x", ""] {
            check_server(known, Some(same)).unwrap();
        }
        check_server(Some("uid=x\nplace=1 a 3306 /data"), Some("uid=x\nplace=1 b 3306 /data")).unwrap();
        check_server(None, known).unwrap();
        assert!(check_server(known, Some("uid=x\nplace=1 b 3306 /data")).is_err());
        assert!(check_server(Some("cluster=a\nuid=x"), Some("cluster=b\nuid=x")).is_err());
    }
}
