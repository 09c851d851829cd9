//! A copy of a database without the tables that are left out.

use std::path::Path;

use dumprestore_driver::{Error, LedgerEntry, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension};

use crate::fault::failed;
use crate::lookup::quoted;
use crate::open::{self, Patience};
use crate::selection::Excluded;

/// Takes the excluded tables out of the copy at `copy`, and writes what remains to `into`, a file without any bytes.
/// Says what of the rest is the worse for it.
///
/// What was deleted leaves its bytes behind in free pages, so the rest is written anew.
pub(crate) fn reduce(
    copy: &Path,
    into: &Path,
    excluded: &Excluded,
    patience: &Patience,
) -> Result<Vec<LedgerEntry>> {
    let conn = open::own(copy, patience)?;
    let fault = || failed("can't leave tables out of the dump", copy);
    open::set_journal_mode(&conn, "OFF").map_err(fault())?;
    conn.pragma_update(None, "synchronous", "OFF").map_err(fault())?;
    conn.pragma_update(None, "foreign_keys", true).map_err(fault())?;
    let broken_before = broken(&conn).map_err(fault())?;
    remove(&conn, excluded)?;
    let mut broken = broken(&conn).map_err(fault())?;
    broken.retain(|one| !broken_before.iter().any(|before| before.what == one.what));
    let ledger = broken.into_iter().map(Broken::judged).collect::<Result<_>>()?;
    let into_text = into
        .to_str()
        .ok_or_else(|| Error::environment("the folder for scratch files has a name that is not UTF-8"))?;
    conn.execute("VACUUM main INTO ?1", [into_text]).map_err(rewriting(copy))?;
    Ok(ledger)
}

fn rewriting(copy: &Path) -> impl FnOnce(rusqlite::Error) -> Error + '_ {
    |error| {
        failed("can't write the database anew without the excluded tables", copy)(error).with_hint(
            "what its schema uses beyond SQLite itself is not here: dump it whole, without exclusions",
        )
    }
}

fn remove(conn: &Connection, excluded: &Excluded) -> Result<()> {
    let fault = |table: &str, error: rusqlite::Error| {
        Error::unsupported(format!("can't leave out the table `{table}`")).with_source(error)
    };
    let config = |enabled| {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, enabled)
            .and_then(|_| conn.pragma_update(None, "foreign_keys", enabled))
            .map_err(|error| fault("", error))
    };
    config(false)?;
    for table in &excluded.tables {
        let drop = format!("DROP TABLE main.{}", quoted(table));
        conn.execute_batch(&drop).map_err(|error| fault(table, error))?;
    }
    for table in &excluded.data {
        empty(conn, table).map_err(|error| fault(table, error))?;
    }
    config(true)
}

fn empty(conn: &Connection, table: &str) -> rusqlite::Result<()> {
    let sql = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 AND rootpage = 0";
    let virtual_table: Option<String> = conn.query_row(sql, [table], |row| row.get(0)).optional()?;
    match virtual_table {
        // A full-text index keeps the words of deleted rows; a new one has none.
        Some(sql) => conn.execute_batch(&format!("DROP TABLE main.{}; {sql}", quoted(table)))?,
        None => conn.execute_batch(&format!("DELETE FROM main.{}", quoted(table)))?,
    }
    // The statistics hold samples of the rows.
    for statistics in ["sqlite_stat1", "sqlite_stat3", "sqlite_stat4"] {
        let there = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
        if conn.prepare(there)?.exists([statistics])? {
            conn.execute(&format!("DELETE FROM main.{statistics} WHERE tbl = ?1 COLLATE NOCASE"), [table])?;
        }
    }
    Ok(())
}

/// A use of the schema that does not work.
struct Broken {
    what: String,
    kind: Use,
    why: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

impl Broken {
    /// A view that can't be read is the user's choice, and a line in the ledger. A table that can't be written any
    /// more is a broken application.
    fn judged(self) -> Result<LedgerEntry> {
        let Self { what, kind, why } = self;
        match kind {
            Use::Read => Ok(LedgerEntry::note(what, format!("a restored copy can't read it: {why}"))),
            Use::Write => Err(Error::config(
                "without the excluded tables, the application could not write others",
            )
            .with_context("table", what)
            .with_context("why", why)
            .with_hint(
                "a trigger or a foreign key needs them: use `exclude_data`, which keeps the definition",
            )),
        }
    }
}

/// Tries out, without running anything, what can be read and written.
fn broken(conn: &Connection) -> rusqlite::Result<Vec<Broken>> {
    let mut found = Vec::new();
    let mut tables = conn.prepare(
        "SELECT name, type FROM pragma_table_list
         WHERE schema = 'main' AND type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let mut rows = tables.query([])?;
    while let Some(row) = rows.next()? {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let table = quoted(&name);
        try_out(conn, &name, Use::Read, &format!("SELECT * FROM main.{table}"), &mut found);
        if kind == "table" {
            // Preparing a write compiles its triggers, and looks up the tables of its foreign keys.
            try_out(conn, &name, Use::Write, &format!("INSERT INTO main.{table} DEFAULT VALUES"), &mut found);
            try_out(conn, &name, Use::Write, &format!("DELETE FROM main.{table}"), &mut found);
            if let Some(update) = update_of(conn, &name)? {
                try_out(conn, &name, Use::Write, &update, &mut found);
            }
        }
    }
    Ok(found)
}

fn update_of(conn: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0")?;
    let columns: Vec<String> =
        statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let set: Vec<String> = columns.iter().map(|name| format!("{0} = {0}", quoted(name))).collect();
    Ok((!set.is_empty()).then(|| format!("UPDATE main.{} SET {}", quoted(table), set.join(", "))))
}

fn try_out(conn: &Connection, name: &str, kind: Use, sql: &str, found: &mut Vec<Broken>) {
    if let Err(error) = conn.prepare(sql) {
        let known = found.iter().any(|one| one.what == name && one.kind == kind);
        if !known {
            found.push(Broken { what: name.to_owned(), kind, why: error.to_string() });
        }
    }
}
