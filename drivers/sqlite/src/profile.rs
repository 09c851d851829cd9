//! What a database says of itself.

use std::path::Path;

use dumprestore_driver::{Facts, Result};
use rusqlite::Connection;

use crate::fault::failed;
use crate::open;

/// Longer lists of tables are left out of the facts: they go into the manifest, which people read.
const LONGEST_LIST: usize = 16 * 1024;

/// Its settings and tables, as one connection sees them.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) page_size: i64,
    pub(crate) pages: i64,
    user_version: i64,
    application_id: i64,
    pub(crate) encoding: String,
    auto_vacuum: &'static str,
    pub(crate) journal: Journal,
    pub(crate) tables: Vec<String>,
}

/// How the file keeps its transactions. Only this much stands in the file; the rest is each connection's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    /// In a write-ahead log: readers and the writer don't wait for each other.
    Wal,
    /// In a rollback journal: a reader keeps the writer from committing.
    Rollback,
}

impl Journal {
    /// Of the database that `conn` has read from.
    pub(crate) fn of(conn: &Connection) -> rusqlite::Result<Self> {
        Ok(if open::text(conn, "journal_mode")? == "wal" { Self::Wal } else { Self::Rollback })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Rollback => "rollback",
        }
    }

    /// As it stands in the facts.
    pub(crate) fn in_facts(facts: &Facts) -> Self {
        if facts.get("journal_mode").is_some_and(|mode| mode == "wal") { Self::Wal } else { Self::Rollback }
    }
}

impl Profile {
    /// Reads them. All of one moment if `conn` is inside of a transaction.
    pub(crate) fn read(conn: &Connection, path: &Path) -> Result<Self> {
        Self::try_read(conn).map_err(failed("can't read the settings of the database", path))
    }

    fn try_read(conn: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            tables: table_names(conn)?,
            page_size: open::number(conn, "page_size")?,
            pages: open::number(conn, "page_count")?,
            user_version: open::number(conn, "user_version")?,
            application_id: open::number(conn, "application_id")?,
            encoding: open::text(conn, "encoding")?,
            auto_vacuum: match open::number(conn, "auto_vacuum")? {
                1 => "full",
                2 => "incremental",
                _ => "none",
            },
            journal: Journal::of(conn)?,
        })
    }

    /// How many bytes the image has.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.pages.saturating_mul(self.page_size)).unwrap_or(0)
    }

    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts::from(
            [
                ("sqlite_version", rusqlite::version().to_owned()),
                ("page_size", self.page_size.to_string()),
                ("pages", self.pages.to_string()),
                ("user_version", self.user_version.to_string()),
                ("application_id", self.application_id.to_string()),
                ("encoding", self.encoding.clone()),
                ("auto_vacuum", self.auto_vacuum.to_owned()),
                ("journal_mode", self.journal.as_str().to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        insert_list(&mut facts, "tables", &self.tables);
        facts
    }
}

/// Enters a list of names, unless it is too long for people.
pub(crate) fn insert_list(facts: &mut Facts, name: &str, list: &[String]) {
    if let Ok(text) = serde_json::to_string(list)
        && text.len() <= LONGEST_LIST
    {
        facts.insert(name.to_owned(), text);
    }
}

/// A list of names that [`insert_list`] entered.
pub(crate) fn list(facts: &Facts, name: &str) -> Option<Vec<String>> {
    serde_json::from_str(facts.get(name)?).ok()
}

/// The tables that people made: neither SQLite's own, nor those behind a virtual table, nor views.
pub(crate) fn table_names(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare(
        "SELECT name FROM pragma_table_list
         WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY name",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}
