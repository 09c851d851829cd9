//! Whether keys that others hold are those of rows here.

use std::path::Path;

use dumprestore_driver::{Error, Reference, Result, Unresolved, Why, closest};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql};

use crate::fault::failed;
use crate::selection::Excluded;

/// The column that keys are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    table: String,
    name: String,
}

/// Refuses an `in:` that can't be one.
pub(crate) fn check_within(within: Option<&str>) -> Result<&str> {
    let hint = "name the column that holds the keys, such as `in: customer.id`";
    match within {
        None => Err(Error::config("a reference to a `sqlite` node needs `in:`").with_hint(hint)),
        Some(within) if splits(within).next().is_none() => {
            Err(Error::config(format!("`in: {within}` is not a table and a column")).with_hint(hint))
        }
        Some(within) => Ok(within),
    }
}

/// All ways to read `a.b.c` as a table and a column: names may have dots in them.
fn splits(within: &str) -> impl Iterator<Item = (&str, &str)> {
    within
        .char_indices()
        .filter(|(_, c)| *c == '.')
        .map(|(at, _)| (&within[..at], &within[at + 1..]))
        .filter(|(table, column)| !table.is_empty() && !column.is_empty())
}

impl Column {
    /// Finds the column that `within` names.
    pub(crate) fn find(
        conn: &Connection,
        path: &Path,
        within: Option<&str>,
        excluded: &Excluded,
    ) -> Result<Self> {
        let within = check_within(within)?;
        let fault = || failed("can't look for the column that keys are of", path);
        let mut unknown_column = None;
        for (table, column) in splits(within) {
            let columns = columns_of(conn, table).map_err(fault())?;
            let Some(name) = columns.iter().find(|name| name.eq_ignore_ascii_case(column)) else {
                if !columns.is_empty() {
                    unknown_column = Some(no_column(table, column, &columns));
                }
                continue;
            };
            if excluded.has(table) {
                return Err(Error::config(format!("the rows of `{table}` are not in the dump"))
                    .with_hint("remove the reference, or the table from the excluded ones"));
            }
            return Ok(Self { table: table.to_owned(), name: name.clone() });
        }
        match unknown_column {
            Some(error) => Err(error),
            None => Err(no_table(conn, within).map_err(fault())?),
        }
    }

    /// Says which references are to no row.
    pub(crate) fn unresolved(
        &self,
        conn: &Connection,
        path: &Path,
        references: &[Reference],
    ) -> Result<Vec<Unresolved>> {
        if let Some(reference) = references.iter().find(|reference| reference.digest.is_some()) {
            return Err(Error::config("a row has no sha256 that a reference could be compared with")
                .with_context("key", &reference.key)
                .with_hint("let `keys` of the referrer give the key alone"));
        }
        let found =
            self.found(conn, references).map_err(failed("can't look for keys in the database", path))?;
        let missing = references.iter().zip(found).filter(|(_, found)| !found);
        Ok(missing.map(|(reference, _)| Unresolved::new(reference.clone(), Why::Missing)).collect())
    }

    /// The keys are laid into a table whose column compares as the one that is looked in: so a key is found exactly
    /// where a foreign key of SQLite would find it.
    fn found(&self, conn: &Connection, references: &[Reference]) -> rusqlite::Result<Vec<bool>> {
        let mut found = vec![false; references.len()];
        conn.execute_batch("SAVEPOINT dumprestore_wanted")?;
        let filled =
            self.create_wanted(conn).and_then(|()| self.fill_wanted(conn, references)).and_then(|()| {
                let mut statement = conn.prepare(&self.join(conn)?)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    if let Some(seen) =
                        usize::try_from(row.get::<_, i64>(0)?).ok().and_then(|at| found.get_mut(at))
                    {
                        *seen = true;
                    }
                }
                Ok(())
            });
        conn.execute_batch("ROLLBACK TO dumprestore_wanted; RELEASE dumprestore_wanted")?;
        filled.map(|()| found)
    }

    fn create_wanted(&self, conn: &Connection) -> rusqlite::Result<()> {
        // Made from the column itself, for its affinity.
        conn.execute_batch(&format!(
            "CREATE TEMP TABLE dumprestore_wanted AS SELECT {} AS key, 0 AS at FROM main.{} LIMIT 0",
            quoted(&self.name),
            quoted(&self.table)
        ))
    }

    fn fill_wanted(&self, conn: &Connection, references: &[Reference]) -> rusqlite::Result<()> {
        let mut insert = conn.prepare("INSERT INTO temp.dumprestore_wanted (key, at) VALUES (?1, ?2)")?;
        for (at, reference) in references.iter().enumerate() {
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            let key = reference.key.as_bytes();
            insert.execute((Value(ValueRef::Text(key)), at))?;
            insert.execute((Value(ValueRef::Blob(key)), at))?;
            if let Some(number) = canonical_integer(key) {
                insert.execute((number, at))?;
            }
        }
        let collation = self.collation(conn)?;
        conn.execute_batch(&format!(
            "CREATE INDEX temp.dumprestore_wanted_key ON dumprestore_wanted (key COLLATE {})",
            quoted(&collation)
        ))
    }

    /// Looks the keys up one by one where an index leads to them, else reads the table once.
    fn join(&self, conn: &Connection) -> rusqlite::Result<String> {
        let (table, column) = (quoted(&self.table), quoted(&self.name));
        if self.is_indexed(conn)? {
            return Ok(format!(
                "SELECT DISTINCT at FROM temp.dumprestore_wanted AS wanted
                 WHERE EXISTS (SELECT 1 FROM main.{table} AS there WHERE there.{column} = wanted.key)"
            ));
        }
        Ok(format!(
            "SELECT DISTINCT at FROM main.{table} AS there
             CROSS JOIN temp.dumprestore_wanted AS wanted ON there.{column} = wanted.key"
        ))
    }

    fn is_indexed(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let plan: Option<String> = conn
            .query_row(
                &format!(
                    "EXPLAIN QUERY PLAN SELECT 1 FROM main.{} AS there WHERE there.{} = ?1",
                    quoted(&self.table),
                    quoted(&self.name)
                ),
                [rusqlite::types::Null],
                |row| row.get("detail"),
            )
            .optional()?;
        Ok(plan.is_some_and(|plan| plan.starts_with("SEARCH")))
    }

    fn collation(&self, conn: &Connection) -> rusqlite::Result<String> {
        // A view has no columns of its own, and so no answer here: its values compare as bytes.
        let metadata = conn.column_metadata(Some("main"), self.table.as_str(), self.name.as_str());
        let collation = metadata.ok().and_then(|(_, collation, ..)| collation);
        Ok(collation.map_or_else(|| "BINARY".to_owned(), |name| name.to_string_lossy().into_owned()))
    }
}

struct Value<'a>(ValueRef<'a>);

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// A column without an affinity keeps integers apart from their text. Only the one way to write an integer counts:
/// the way in which a referrer gives it.
fn canonical_integer(key: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(key).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// As a name in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The names of the columns of a table, hidden ones and the row's own number included; none if there is no table.
fn columns_of(conn: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main')")?;
    let mut columns: Vec<String> =
        statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if columns.is_empty() {
        return Ok(columns);
    }
    for alias in ["rowid", "oid", "_rowid_"] {
        let select = format!("SELECT {alias} FROM main.{} LIMIT 0", quoted(table));
        if !columns.iter().any(|name| name.eq_ignore_ascii_case(alias)) && conn.prepare(&select).is_ok() {
            columns.push(alias.to_owned());
        }
    }
    Ok(columns)
}

fn no_column(table: &str, column: &str, columns: &[String]) -> Error {
    let error = Error::config(format!("the table `{table}` has no column `{column}`"));
    match closest(column, columns) {
        Some(name) => error.with_hint(format!("did you mean `{table}.{name}`?")),
        None => error.with_hint(format!("its columns are `{}`", columns.join("`, `"))),
    }
}

fn no_table(conn: &Connection, within: &str) -> rusqlite::Result<Error> {
    let tables = crate::profile::table_names(conn)?;
    let (table, column) = splits(within).last().unwrap_or((within, ""));
    let error = Error::config(format!("there is no table `{table}` for `in: {within}`"));
    Ok(match closest(table, &tables) {
        Some(name) => error.with_hint(format!("did you mean `{name}.{column}`?")),
        None => error.with_hint("see the tables with `sqlite3 FILE .tables`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_fails_leaves_no_savepoint_behind() {
        let conn = Connection::open_in_memory().unwrap();
        let column = Column { table: "gone".to_owned(), name: "id".to_owned() };
        column.found(&conn, &[Reference::to("1")]).unwrap_err();
        assert!(conn.is_autocommit());
    }
}
