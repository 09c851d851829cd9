//! What belongs to the live database while certain tables are live: kept in the database beside it that these tables
//! come from, or go to. So a swap can be made forth and back, also by a process that knows nothing else of it.

use dumprestore_driver::{Error, Result};
use serde::{Deserialize, Serialize};

use super::names::DEFINITIONS;
use crate::archived::{Database, Event, Routine, RoutineKind, Sql, Trigger, View};
use crate::connect::{Session, code};
use crate::quote;

/// As much of it goes into one row: less than any server takes in a statement, in hexadecimal as well.
const PIECE: usize = 256 * 1024;

const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_DATABASE: u16 = 1049;

/// What becomes of the database as such.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whole {
    /// It stays as it is.
    #[default]
    Untouched,
    /// There is none.
    Absent,
    Is(Database),
}

/// Of which kinds a state has all that the database has, so that what else there is goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covers {
    /// Tables, sequences and views.
    pub(crate) tables: bool,
    pub(crate) routines: bool,
    pub(crate) events: bool,
}

/// Everything that belongs to some tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The run that has made it.
    pub(crate) run: String,
    /// Of what was swapped out: the database that it was.
    #[serde(default)]
    pub(crate) live: String,
    /// Of what was swapped out: the restore is finished, and it is kept.
    #[serde(default)]
    pub(crate) kept: bool,
    /// Whether it is known in full: a swap needs that.
    pub(crate) complete: bool,
    /// What was changed in its database since it was prepared is in it.
    #[serde(default)]
    pub(crate) taken: bool,
    /// What is live is just changed back into it: so it may be any mix, wherever the tables are.
    #[serde(default)]
    pub(crate) returning: bool,
    /// Of what was swapped out: a user was told what can't be had back, and was shown it.
    #[serde(default)]
    pub(crate) told: bool,
    /// Of what was swapped out: what came in and was not there, so that it goes again.
    #[serde(default)]
    pub(crate) added: Added,
    /// Of data alone: how the live tables were made that they were loaded for.
    #[serde(default)]
    pub(crate) loaded_for: Vec<(String, Sql)>,
    /// Rights on single routines could not be read.
    #[serde(default)]
    pub(crate) grants_unknown: bool,
    /// Of what was swapped out: what was swapped in.
    #[serde(default)]
    pub(crate) incoming: Option<Box<State>>,
    pub(crate) database: Whole,
    pub(crate) covers: Covers,
    /// The tables get the triggers that those have whose place they take.
    pub(crate) live_triggers: bool,
    /// Names of tables and sequences.
    pub(crate) tables: Vec<String>,
    pub(crate) views: Vec<View>,
    /// Views that can't be made: what is live under their names stays.
    #[serde(default)]
    pub(crate) left: Vec<String>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) routines: Vec<Routine>,
    pub(crate) events: Vec<Event>,
    /// Foreign keys between these tables and others, in either direction.
    pub(crate) keys: Vec<Key>,
    pub(crate) defaults: Vec<ColumnDefault>,
    pub(crate) grants: Vec<Grant>,
}

/// Names of what one state has and the other had not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    /// Tables, sequences and views.
    pub(crate) relations: Vec<String>,
    pub(crate) routines: Vec<(RoutineKind, String)>,
    pub(crate) events: Vec<String>,
}

/// A foreign key that leads out of what is swapped, or into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The other database, if its table is in one.
    pub(crate) database: Option<String>,
    pub(crate) table: String,
    pub(crate) name: String,
    /// Where it leads to.
    pub(crate) to: (String, String),
    /// ``CONSTRAINT `name` FOREIGN KEY … REFERENCES `database`.`table` …``
    pub(crate) sql: String,
}

/// A default that can't be there before the sequence is that it takes values from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnDefault {
    pub(crate) table: String,
    pub(crate) column: String,
    /// ``nextval(`database`.`sequence`)``
    pub(crate) sql: String,
}

/// A right on a routine: it goes when the routine is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) kind: RoutineKind,
    pub(crate) routine: String,
    pub(crate) user: String,
    pub(crate) host: String,
    /// Such as `Execute,Alter Routine,Grant`.
    pub(crate) rights: String,
}

impl State {
    /// One of which only is known whose it is.
    pub(crate) fn of_run(run: &str) -> Self {
        Self { run: run.to_owned(), ..Self::default() }
    }

    /// Writes it into a database, in the place of what is there.
    pub(crate) async fn store(&self, session: &mut Session, database: &str) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::defect("definitions can't be written down").with_source(error))?;
        let table = quote::qualified(database, DEFINITIONS);
        session
            .run(format!(
                "CREATE TABLE IF NOT EXISTS {table} (part INT UNSIGNED NOT NULL PRIMARY KEY, content LONGBLOB NOT NULL) \
                 ENGINE=InnoDB"
            ))
            .await?;
        session.run("START TRANSACTION").await?;
        session.run(format!("DELETE FROM {table}")).await?;
        for (part, piece) in text.chunks(PIECE).enumerate() {
            session.run(format!("INSERT INTO {table} VALUES ({part}, {})", quote::hex(piece))).await?;
        }
        session.run("COMMIT").await?;
        // With `innodb_flush_log_at_trx_commit` other than 1 that need not be on disk, where what is done next may well be: a
        // trigger that is dropped, say. To build the table anew writes all of the log there (a mere comment does not).
        session.run(format!("ALTER TABLE {table} ENGINE=InnoDB")).await.map(drop)
    }

    /// Reads what a database has. `None`: it has none, or there is no such database.
    ///
    /// # Errors
    /// If it can't be read: then nobody knows what belongs to the tables in it.
    pub(crate) async fn load(session: &mut Session, database: &str) -> Result<Option<Self>> {
        let asked = format!("SELECT content FROM {} ORDER BY part", quote::qualified(database, DEFINITIONS));
        let rows = match session.rows(asked).await {
            Ok(rows) => rows,
            Err(error) if matches!(code(&error), Some(NO_SUCH_TABLE | NO_SUCH_DATABASE)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if rows.is_empty() {
            return Ok(None);
        }
        let text: Vec<u8> = rows.iter().filter_map(|row| row.bytes(0)).flatten().copied().collect();
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::stuck("what a restore has noted of a database can't be read")
                .with_context("table", format!("{database}.{DEFINITIONS}"))
                .with_hint("somebody has changed it, or another version of dumprestore has written it")
                .with_source(error)
        })
    }

    /// What it has, and another one has not.
    pub(crate) fn added_to(&self, other: &Self) -> Added {
        let views = self.views.iter().map(|view| view.name.clone());
        let relations = self.tables.iter().cloned().chain(views);
        let lower = |name: &str| name.to_lowercase();
        let routines = self.routines.iter().filter(|one| {
            !other
                .routines
                .iter()
                .any(|found| found.kind == one.kind && lower(&found.name) == lower(&one.name))
        });
        let events = self
            .events
            .iter()
            .filter(|one| !other.events.iter().any(|found| lower(&found.name) == lower(&one.name)));
        Added {
            relations: relations.filter(|name| !other.has_table(name) && !other.has_view(name)).collect(),
            routines: routines.map(|one| (one.kind, one.name.clone())).collect(),
            events: events.map(|one| one.name.clone()).collect(),
        }
    }

    /// Whether it has a table or sequence of that name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table == name)
    }

    /// Whether it has a view of that name, or would, if that could be made.
    pub(crate) fn has_view(&self, name: &str) -> bool {
        self.views.iter().any(|view| view.name == name) || self.left.iter().any(|left| left == name)
    }

    /// How many of programs and views there are.
    pub(crate) fn programs(&self) -> usize {
        self.views.len() + self.triggers.len() + self.routines.len() + self.events.len()
    }
}
