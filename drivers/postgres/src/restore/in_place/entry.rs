//! What stands in the journal of a restore in place.

use dumprestore_driver::{DriverConfig, Result, Token, parse_entry};
use serde::{Deserialize, Serialize};

use super::super::entry::{Step, check_server};
use super::super::names::Names;
use crate::config::PostgresConfig;

/// What tells its tokens from those of a restore beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Placed {
    InPlace,
}

/// The one transaction of a restore, as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transaction {
    /// `txid_current()`: no other transaction of the server ever has it.
    pub(super) id: i64,
    /// The history of the server that it belongs to: a standby that is promoted begins another.
    pub(super) timeline: String,
    /// Which server it is, if the login may know.
    pub(super) server: Option<String>,
}

/// One restore, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    version: u32,
    placement: Placed,
    run: String,
    pub(super) live: String,
    pub(super) step: Step,
    /// Known once it is begun.
    pub(super) transaction: Option<Transaction>,
}

const VERSION: u32 = 1;

impl Entry {
    pub(super) fn new(live: &str, run: &str) -> Self {
        Self {
            version: VERSION,
            placement: Placed::InPlace,
            run: run.to_owned(),
            live: live.to_owned(),
            step: Step::Planned,
            transaction: None,
        }
    }

    /// `None`: it is the token of another kind of restore.
    pub(super) fn parse(token: &Token) -> Result<Option<Self>> {
        if token.get("placement").is_none() {
            return Ok(None);
        }
        parse_entry(token, PostgresConfig::KIND, VERSION).map(Some)
    }

    pub(super) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(super) fn names(&self) -> Names {
        Names::new(&self.live, &self.run)
    }
}

impl Transaction {
    /// Refuses another server than the one that it was begun on.
    pub(super) fn check_server(&self, found: Option<&str>) -> Result<()> {
        check_server(self.server.as_deref(), found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_token_is_told_from_that_of_a_restore_beside() {
        let entry = Entry::new("shop", "run");
        assert_eq!(Entry::parse(&entry.token()).unwrap(), Some(entry.clone()));
        let beside = super::super::super::entry::Entry::new(
            "shop",
            "run",
            None,
            super::super::super::entry::Staged::Nothing,
        );
        assert_eq!(Entry::parse(&beside.token()).unwrap(), None);
        let mut newer = entry.token();
        newer["version"] = serde_json::json!(2);
        assert!(Entry::parse(&newer).is_err());
    }
}
