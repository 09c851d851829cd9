//! Whether keys that others hold are those of rows here.

use dumprestore_driver::{Error, Reference, Result, Unresolved, Why, closest};

use super::kind::Kind;
use super::look::Lookup;
use crate::connect::{Row, Session};
use crate::quote;

/// The column that keys are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    database: String,
    table: String,
    name: String,
    kind: Kind,
}

const HINT: &str = "name the column that holds the keys, such as `in: customer.id`";

/// Refuses an `in:` that can't be one. Offline.
///
/// # Errors
/// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is not a table and a column.
pub(crate) fn check_within(within: Option<&str>) -> Result<&str> {
    match within {
        None => Err(Error::config("a reference to a `mysql` node needs `in:`").with_hint(HINT)),
        Some(within) if splits(within).is_empty() => {
            Err(Error::config(format!("`in: {within}` is not a table and a column")).with_hint(HINT))
        }
        Some(within) => Ok(within),
    }
}

/// All ways to read `a.b.c` as a table and a column: names may have dots in them.
fn splits(within: &str) -> Vec<(&str, &str)> {
    let dots = within.match_indices('.').map(|(at, _)| at);
    let split = |dot: usize| Some((within.get(..dot)?, within.get(dot + 1..)?));
    dots.filter_map(split).filter(|(table, column)| !table.is_empty() && !column.is_empty()).collect()
}

/// That keys can't be of this column, for its rows are left out.
pub(crate) fn without_rows(column: &Column) -> Error {
    Error::config(format!("the rows of `{}` are not in the dump", column.table))
        .with_hint("remove the reference, or the table from the excluded ones")
}

impl Column {
    /// Finds the column of `database` that `within` names. Letter case counts as it does for the server.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if there is none, or more than one.
    pub(crate) async fn find(session: &mut Session, database: &str, within: Option<&str>) -> Result<Self> {
        let within = check_within(within)?;
        let splits = splits(within);
        let tables: Vec<String> = splits.iter().map(|(table, _)| quote::literal(table)).collect();
        let sql = format!(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, NUMERIC_PRECISION, \
             NUMERIC_SCALE, @@lower_case_table_names FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME IN ({}) ORDER BY TABLE_NAME, ORDINAL_POSITION",
            quote::literal(database),
            tables.join(", ")
        );
        let rows = session.rows(sql).await?;
        let mut found = Vec::new();
        for row in &rows {
            if fits(row, &splits)? {
                found.push(row);
            }
        }
        match found[..] {
            [row] => Self::of(database, row),
            [] => Err(unknown(session, database, within, &splits, &rows).await?),
            _ => Err(Error::config(format!("`in: {within}` could be more than one column"))
                .with_hint("names with dots make it so: refer to another column that is as good")),
        }
    }

    fn of(database: &str, row: &Row) -> Result<Self> {
        let (table, name) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
        let kind = Kind::of(row, 2).ok_or_else(|| {
            Error::config(format!("values of the column `{table}.{name}` can't be keys"))
                .with_context("type", row.text(2).unwrap_or_default())
                .with_hint(HINT)
        })?;
        Ok(Self { database: database.to_owned(), table, name, kind })
    }

    /// The table or view that it is in.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Says which references are to no row. A key that can't be a value of the column is the key of none. Texts are equal
    /// if the column's collation says so, and all else if it is the same value. Memory: that of the references.
    ///
    /// # Errors
    /// If the references have digests, which no row has; if the server can't look.
    pub(crate) async fn unresolved(
        &self,
        session: &mut Session,
        references: &[Reference],
    ) -> Result<Vec<Unresolved>> {
        if let Some(reference) = references.iter().find(|reference| reference.digest.is_some()) {
            return Err(Error::config("a row has no sha256 that a reference could be compared with")
                .with_context("key", &reference.key)
                .with_hint("let `keys` of the referrer give the key alone"));
        }
        let keys: Vec<&[u8]> = references.iter().map(|reference| reference.key.as_bytes()).collect();
        let lookup = Lookup {
            table: quote::qualified(&self.database, &self.table),
            column: self.name.clone(),
            kind: &self.kind,
        };
        let found = lookup.found(session, &keys).await;
        let found = found.map_err(|error| error.with_context("table", &self.table))?;
        let missing = references.iter().zip(found).filter(|(_, found)| !found);
        Ok(missing.map(|(reference, _)| Unresolved::new(reference.clone(), Why::Missing)).collect())
    }
}

/// Whether the column of that row is one that was named.
fn fits(row: &Row, splits: &[(&str, &str)]) -> Result<bool> {
    let (table, column) = (row.text(0)?, row.text(1)?);
    let folded = row.number(7)? != 0;
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    Ok(splits.iter().any(|(of, name)| (*of == table || folded && same(of, table)) && same(name, column)))
}

async fn unknown(
    session: &mut Session,
    database: &str,
    within: &str,
    splits: &[(&str, &str)],
    rows: &[Row],
) -> Result<Error> {
    let error = Error::config(format!("there is no column `{within}`"));
    let name_at = |row: &Row, at: usize| row.text(at).unwrap_or_default().to_owned();
    let of_table = |row: &&Row| splits.iter().any(|(table, _)| *table == name_at(row, 0));
    let columns: Vec<String> = rows.iter().filter(of_table).map(|row| name_at(row, 1)).collect();
    if !columns.is_empty() {
        return Ok(error.with_hint(format!("the table's columns are `{}`", columns.join("`, `"))));
    }
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
        quote::literal(database)
    );
    let tables = session.rows(sql).await?;
    let tables: Vec<String> = tables.iter().map(|row| name_at(row, 0)).collect();
    let near =
        splits.iter().find_map(|(table, column)| Some(format!("{}.{column}", closest(table, &tables)?)));
    Ok(match near {
        Some(near) => error.with_hint(format!("there is no such table; did you mean `{near}`?")),
        None => {
            error.with_hint("there is no such table: name the table and the column, without the database")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_are_read_in_every_way() {
        assert_eq!(splits("a.b.c"), [("a", "b.c"), ("a.b", "c")]);
        for within in [None, Some("customer"), Some(".id"), Some("customer.")] {
            assert!(check_within(within).is_err(), "{within:?}");
        }
    }
}
