//! Whether keys that others hold are those of rows here.

use dumprestore_driver::{Error, Reference, Result, Unresolved, Why};
use tokio_postgres::types::ToSql;

use crate::connect::Connection;
use crate::quote;

/// How many keys are looked up by one statement.
const AT_ONCE: usize = 5_000;

/// The column that keys are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    relation: u32,
    schema: String,
    table: String,
    name: String,
    kind: Kind,
}

/// How keys are compared with its values: in its own type where that is known here, so that an index is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An integer of at most that size, of that type.
    Integer {
        most: i64,
        name: &'static str,
    },
    Uuid,
    Numeric,
    /// Compared as it is, or as the text that the server would print.
    Text {
        cast: &'static str,
    },
    PaddedText,
    Bytes,
}

impl Kind {
    fn of(type_name: &str) -> Self {
        match type_name {
            "int2" => Self::Integer { most: i16::MAX.into(), name: "int2" },
            "int4" => Self::Integer { most: i32::MAX.into(), name: "int4" },
            "int8" => Self::Integer { most: i64::MAX, name: "int8" },
            "uuid" => Self::Uuid,
            "numeric" => Self::Numeric,
            "text" | "varchar" => Self::Text { cast: "" },
            "bpchar" => Self::PaddedText,
            "bytea" => Self::Bytes,
            _ => Self::Text { cast: "::text" },
        }
    }
}

const HINT: &str = "name the column that holds the keys, such as `in: customer.id` or `in: shop.customer.id`";

/// Refuses an `in:` that can't be one. Offline.
pub(crate) fn check_within(within: Option<&str>) -> Result<&str> {
    match within {
        None => Err(Error::config("a reference to a `postgres` node needs `in:`").with_hint(HINT)),
        Some(within) if splits(within).is_empty() => {
            Err(Error::config(format!("`in: {within}` is not a table and a column")).with_hint(HINT))
        }
        Some(within) => Ok(within),
    }
}

/// All ways to read `a.b.c` as perhaps a schema, a table, and a column: names may have dots in them.
fn splits(within: &str) -> Vec<(Option<&str>, &str, &str)> {
    let dots: Vec<usize> = within.match_indices('.').map(|(at, _)| at).collect();
    let mut found = Vec::new();
    for (place, &last) in dots.iter().enumerate() {
        let (table, column) = (&within[..last], &within[last + 1..]);
        found.push((None, table, column));
        found.extend(dots[..place].iter().map(|&dot| (Some(&table[..dot]), &table[dot + 1..], column)));
    }
    found.retain(|(schema, table, column)| *schema != Some("") && !table.is_empty() && !column.is_empty());
    found
}

/// That keys can't be of this column, for its rows are left out.
pub(crate) fn without_rows(column: &Column) -> Error {
    Error::config(format!("the rows of `{}` are not in the dump", column.table_label()))
        .with_hint("remove the reference, or the table from the excluded ones")
}

const COLUMNS: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, a.attname::text, COALESCE(b.typname, t.typname)::text
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
    WHERE c.relname = ANY ($1::text[]::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relpersistence <> 't' AND pg_catalog.left(n.nspname::text, 3) <> 'pg_'
        AND n.nspname <> 'information_schema'";

impl Column {
    /// Finds the column that `within` names.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if there is none, or more than one.
    pub(crate) async fn find(connection: &Connection, within: Option<&str>) -> Result<Self> {
        let within = check_within(within)?;
        let splits = splits(within);
        let tables: Vec<&str> = splits.iter().map(|(_, table, _)| *table).collect();
        let rows = connection.query(COLUMNS, &[&tables]).await;
        let rows =
            rows.map_err(|error| connection.fault(error, "can't look for the column that keys are of"))?;
        let all: Vec<Self> = rows
            .iter()
            .map(|row| Self {
                relation: row.get(0),
                schema: row.get(1),
                table: row.get(2),
                name: row.get(3),
                kind: Kind::of(row.get(4)),
            })
            .collect();
        let fits = |column: &&Self| splits.iter().any(|split| column.is(*split));
        let mut found: Vec<&Self> = all.iter().filter(fits).collect();
        if found.len() > 1 && found.iter().any(|column| column.schema == "public") {
            found.retain(|column| column.schema == "public");
        }
        match found[..] {
            [column] => Ok(column.clone()),
            [] => Err(unknown(within, &splits, &all)),
            _ => Err(Error::config(format!("`in: {within}` could be more than one column"))
                .with_hint("name its schema as well, such as `in: shop.customer.id`")),
        }
    }

    fn is(&self, (schema, table, column): (Option<&str>, &str, &str)) -> bool {
        schema.is_none_or(|schema| schema == self.schema) && table == self.table && column == self.name
    }

    /// The number of the table it is in.
    pub(crate) fn relation(&self) -> u32 {
        self.relation
    }

    /// The table it is in, for people.
    pub(crate) fn table_label(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Says which references are to no row. A key that can't be a value of the column is the key of none.
    pub(crate) async fn unresolved(
        &self,
        connection: &Connection,
        references: &[Reference],
    ) -> Result<Vec<Unresolved>> {
        if let Some(reference) = references.iter().find(|reference| reference.digest.is_some()) {
            return Err(Error::config("a row has no sha256 that a reference could be compared with")
                .with_context("key", &reference.key)
                .with_hint("let `keys` of the referrer give the key alone"));
        }
        let mut unresolved = Vec::new();
        for references in references.chunks(AT_ONCE) {
            let found = self.found(connection, references).await?;
            let missing = references.iter().zip(found).filter(|(_, found)| !found);
            unresolved.extend(missing.map(|(reference, _)| Unresolved::new(reference.clone(), Why::Missing)));
        }
        Ok(unresolved)
    }

    async fn found(&self, connection: &Connection, references: &[Reference]) -> Result<Vec<bool>> {
        let keys = references.iter().map(|reference| reference.key.as_bytes()).enumerate();
        let mut found = vec![false; references.len()];
        match self.kind {
            Kind::Integer { most, name } => {
                let keys = keys.filter_map(|(at, key)| Some((at, integer(key, most)?)));
                self.mark(connection, keys, "int8", &format!("::{name}"), "", &mut found).await?;
            }
            Kind::Uuid => {
                let keys = keys.filter_map(|(at, key)| Some((at, uuid(key)?)));
                self.mark(connection, keys, "text", "::uuid", "", &mut found).await?;
            }
            Kind::Numeric => {
                let keys = keys.filter_map(|(at, key)| Some((at, numeric(key)?)));
                self.mark(connection, keys, "text", "::numeric", "", &mut found).await?;
            }
            Kind::PaddedText => {
                let keys = keys.filter_map(|(at, key)| Some((at, text(key)?)));
                self.mark(connection, keys, "text", "::bpchar", "", &mut found).await?;
            }
            Kind::Text { cast } => {
                let keys = keys.filter_map(|(at, key)| Some((at, text(key)?)));
                self.mark(connection, keys, "text", "", cast, &mut found).await?;
            }
            Kind::Bytes => self.mark(connection, keys, "bytea", "", "", &mut found).await?,
        }
        Ok(found)
    }

    /// Marks the keys that are there. `$1` has them as an array of `sent`; each is cast by `cast`, and the column by
    /// `column_cast`.
    async fn mark<T>(
        &self,
        connection: &Connection,
        keys: impl Iterator<Item = (usize, T)>,
        sent: &str,
        cast: &str,
        column_cast: &str,
        found: &mut [bool],
    ) -> Result<()>
    where
        T: ToSql + Sync + Send,
    {
        let (places, keys): (Vec<usize>, Vec<T>) = keys.unzip();
        if keys.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT k.place FROM pg_catalog.unnest($1::{sent}[]) WITH ORDINALITY AS k (key, place) \
             WHERE EXISTS (SELECT FROM {} AS t WHERE t.{}{column_cast} = k.key{cast})",
            quote::qualified(&self.schema, &self.table),
            quote::name(&self.name),
        );
        let rows = connection.query(&sql, &[&keys]).await;
        let rows = rows.map_err(|error| {
            connection.fault(error, "can't look for keys").with_context("table", self.table_label())
        })?;
        for row in rows {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).ok().and_then(|at| places.get(at));
            if let Some(seen) = place.and_then(|place| found.get_mut(*place)) {
                *seen = true;
            }
        }
        Ok(())
    }
}

/// What the server can hold as a text.
fn text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok().filter(|key| !key.contains('\0'))
}

fn integer(key: &[u8], most: i64) -> Option<i64> {
    let number: i64 = text(key)?.trim().parse().ok()?;
    (-most - 1..=most).contains(&number).then_some(number)
}

/// 32 hexadecimal digits, wherever hyphens stand between them.
fn uuid(key: &[u8]) -> Option<String> {
    let digits: String = text(key)?.trim().chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    (digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit())).then_some(digits)
}

/// Digits with perhaps a sign and a point. Longer ones are no keys.
fn numeric(key: &[u8]) -> Option<&str> {
    let key = text(key)?.trim();
    let digits = key.strip_prefix(['-', '+']).unwrap_or(key);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    (all_digits && !whole.is_empty() && digits.len() <= 1000).then_some(key)
}

fn unknown(within: &str, splits: &[(Option<&str>, &str, &str)], all: &[Column]) -> Error {
    let of_table: Vec<&str> = all
        .iter()
        .filter(|column| splits.iter().any(|(schema, table, _)| column.is((*schema, table, &column.name))))
        .map(|column| column.name.as_str())
        .collect();
    let error = Error::config(format!("there is no column `{within}`"));
    match of_table[..] {
        [] => error.with_hint("there is no such table; letter case counts"),
        _ => error.with_hint(format!("the table's columns are `{}`", of_table.join("`, `"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_are_read_in_every_way() {
        let found = splits("a.b.c");
        assert!(found.contains(&(Some("a"), "b", "c")));
        assert!(found.contains(&(None, "a.b", "c")));
        assert!(found.contains(&(None, "a", "b.c")));
        assert!(check_within(Some("customer")).is_err());
        assert!(check_within(Some(".id")).is_err());
        assert!(check_within(None).is_err());
    }

    #[test]
    fn a_key_that_is_not_of_the_type_is_the_key_of_nothing() {
        assert_eq!(integer(b"12", i16::MAX.into()), Some(12));
        assert_eq!(integer(b"40000", i16::MAX.into()), None);
        assert_eq!(integer(b"-9223372036854775808", i64::MAX), Some(i64::MIN));
        assert_eq!(integer(b"1.0", i64::MAX), None);
        assert_eq!(uuid(b"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11").unwrap().len(), 32);
        assert_eq!(uuid(b"a0eebc99"), None);
        assert_eq!(numeric(b"-1.50"), Some("-1.50"));
        assert_eq!(numeric(b"NaN; DROP"), None);
        assert_eq!(text(b"a\0b"), None);
        assert_eq!(text(b"\xff"), None);
    }
}
