//! The keys that a database holds of things elsewhere: the answer of a query.

use std::pin::pin;

use dumprestore_driver::{Digest, Error, ErrorKind, Key, KeySink, Reference, Result};
use futures_util::TryStreamExt;
use tokio_postgres::types::Type;

use crate::connect::{Connection, sqlstate};
use crate::quote;

/// The query of a `keys:` declaration. Offline.
pub(crate) fn query_of(keys: &serde_json::Value) -> Result<&str> {
    match keys.as_str().map(|query| query.trim_end_matches(|c: char| c.is_whitespace() || c == ';')) {
        Some(query) if query.trim().is_empty() => {
            Err(Error::config("`keys` is empty").with_hint("write a query whose first column is the key"))
        }
        Some(query) => Ok(query),
        None => Err(Error::config("`keys` of a `postgres` node is a query, as text")
            .with_hint("such as `keys: \"SELECT image FROM product\"`")),
    }
}

/// Where a query's tables are looked for, if it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SearchPath {
    /// Where the login and the database say.
    OfLogin,
    /// In these schemas, as the setting has them: for a database that does not have its settings yet.
    Given(String),
}

/// Hands over what the query finds. A row whose key is null refers to nothing.
///
/// The session must be in a transaction, which is as it was afterwards. What the query would write, the server refuses.
///
/// # Errors
/// [`ErrorKind::Config`] if the query does not fit.
pub(crate) async fn read_keys(
    connection: &Connection,
    query: &str,
    path: &SearchPath,
    keys: &mut KeySink<'_>,
) -> Result<()> {
    let what = "can't prepare to read keys";
    let path = match path {
        SearchPath::OfLogin => "\"search_path\" TO DEFAULT".to_owned(),
        SearchPath::Given(path) => quote::setting("search_path", path),
    };
    let begin = format!("SAVEPOINT keys; SET TRANSACTION READ ONLY; SET LOCAL {path}");
    connection.batch_execute(&begin).await.map_err(|error| connection.fault(error, what))?;
    let read = read(connection, query, keys).await;
    let end = connection.batch_execute("ROLLBACK TO keys; RELEASE keys").await;
    read?;
    end.map_err(|error| connection.fault(error, "can't end reading keys"))
}

/// Looks whether [`read_keys`] could read the keys that a query finds. Reads none.
///
/// # Errors
/// As [`read_keys`].
pub(crate) async fn check(connection: &Connection, query: &str) -> Result<()> {
    let what = "can't prepare to look at `keys`";
    let begin = "BEGIN READ ONLY; SET LOCAL search_path TO DEFAULT";
    connection.batch_execute(begin).await.map_err(|error| connection.fault(error, what))?;
    let checked = types_of(connection, query).await;
    let end = connection.batch_execute("ROLLBACK").await;
    checked?;
    end.map_err(|error| connection.fault(error, "can't end looking at `keys`"))
}

/// The types of the one or two columns of a query.
async fn types_of(connection: &Connection, query: &str) -> Result<Vec<Type>> {
    let failed = |error| told(connection.fault(error, "the query of `keys` fails"), query);
    // It is looked at as it stands: so it is one statement, and no part of another.
    let statement = connection.prepare(query).await.map_err(failed)?;
    let refuse = |why: &str| Err(Error::config(why).with_context("keys", query));
    if !statement.params().is_empty() {
        return refuse("the query of `keys` has parameters, and nothing to fill them with");
    }
    let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
    match types.len() {
        1 | 2 => Ok(types),
        0 => refuse("the query of `keys` gives no rows"),
        _ => refuse("the query of `keys` has more than two columns: a key, and its sha256"),
    }
}

async fn read(connection: &Connection, query: &str, keys: &mut KeySink<'_>) -> Result<()> {
    let failed = |error| told(connection.fault(error, "the query of `keys` fails"), query);
    let types = types_of(connection, query).await?;
    let copy = format!("COPY (\n{query}\n) TO STDOUT");
    let mut rows = pin!(connection.copy_out(&copy).await.map_err(failed)?);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        match reference(&row, &types)? {
            Row::Nothing => {}
            Row::Reference(reference) => keys.push(reference)?,
            Row::Malformed(key, what) => keys.push_malformed(key, what)?,
        }
    }
    Ok(())
}

fn told(error: Error, query: &str) -> Error {
    let code = sqlstate(&error).unwrap_or_default().to_owned();
    let error = error.with_context("keys", query);
    match code.as_str() {
        "25006" => error
            .with_kind(ErrorKind::Config)
            .with_hint("it may only read: write one `SELECT` whose first column is the key"),
        "42501" => error,
        code if code.starts_with("42") => error
            .with_kind(ErrorKind::Config)
            .with_hint(
                "it does not fit the database: write one `SELECT` whose first column is the key; if a release has broken \
                 the database, and it is to be dumped as it is, take the reference out of the configuration for that",
            ),
        _ => error,
    }
}

/// What a row holds.
#[derive(Debug, PartialEq)]
enum Row {
    Nothing,
    Reference(Reference),
    /// The row is at fault, not the configuration.
    Malformed(Key, &'static str),
}

/// One row in the text form of `COPY`.
fn reference(row: &[u8], types: &[Type]) -> Result<Row> {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    let mut fields = row.split(|byte| *byte == b'\t');
    let Some(key) = fields.next().and_then(field) else { return Ok(Row::Nothing) };
    let is_bytes = |at: usize| types.get(at) == Some(&Type::BYTEA);
    let key = Key::new(if is_bytes(0) { bytes_of(key)? } else { key });
    let Some(held) = fields.next().and_then(field).filter(|held| !held.is_empty()) else {
        return Ok(Row::Reference(Reference { key, digest: None }));
    };
    let held = if is_bytes(1) { bytes_of(held)? } else { held };
    // A text of 32 characters is an MD5, not 32 bytes.
    let digest = match (is_bytes(1), held.len()) {
        (true, 0) => return Ok(Row::Reference(Reference { key, digest: None })),
        (true, _) | (false, 64) => Digest::parse(&held),
        _ => None,
    };
    Ok(match digest {
        Some(_) => Row::Reference(Reference { key, digest }),
        None => Row::Malformed(
            key,
            "a row holds something else where a sha256 is expected: 64 hexadecimal digits, 32 bytes, or `NULL`",
        ),
    })
}

/// The value of a field; `None` is null.
fn field(field: &[u8]) -> Option<Vec<u8>> {
    if field == br"\N" {
        return None;
    }
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    Some(value)
}

/// Bytes, of the form `\x00ff`.
fn bytes_of(text: Vec<u8>) -> Result<Vec<u8>> {
    let digits = text.strip_prefix(br"\x").unwrap_or(&text);
    hex::decode(digits)
        .map_err(|error| Error::environment("a server sent bytes in no known form").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: &[u8], types: &[Type]) -> Option<Reference> {
        match reference(row, types).unwrap() {
            Row::Reference(reference) => Some(reference),
            _ => None,
        }
    }

    #[test]
    fn fields_are_read_as_copy_writes_them() {
        let of = |row: &[u8]| read(row, &[Type::TEXT]).map(|found| found.key.as_bytes().to_vec());
        assert_eq!(of(b"a\\tb\\\\c\\nd\n"), Some(b"a\tb\\c\nd".to_vec()));
        assert_eq!(of(b"\\N\n"), None);
        assert_eq!(of(b"\\\\N\n"), Some(b"\\N".to_vec()));
        assert_eq!(of(b"\n"), Some(Vec::new()));
        assert_eq!(read(b"\\\\x00ff\n", &[Type::BYTEA]).unwrap().key.as_bytes(), [0, 255]);
    }

    #[test]
    fn a_digest_is_hexadecimal_text_or_bytes_and_nothing_else() {
        let hex = "ab".repeat(32);
        let digest = Digest::parse(hex.as_bytes());
        let types = [Type::TEXT, Type::TEXT];
        assert_eq!(read(format!("k\t{hex}\n").as_bytes(), &types).unwrap().digest, digest);
        let types_of_bytes = [Type::TEXT, Type::BYTEA];
        let row = format!("k\t\\\\x{hex}\n");
        assert_eq!(read(row.as_bytes(), &types_of_bytes).unwrap().digest, digest);
        assert_eq!(read(b"k\t\\N\n", &types).unwrap().digest, None);
        let md5 = format!("k\t{}\n", "a".repeat(32));
        assert!(
            matches!(reference(md5.as_bytes(), &types).unwrap(), Row::Malformed(key, _) if key.as_bytes() == b"k")
        );
    }
}
