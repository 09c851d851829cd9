//! The keys that a database holds of things elsewhere: the answer of a query.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Digest, Error, Key, KeySink, Reference, Result};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;

use crate::fault::failed;
use crate::selection::Excluded;

/// The query of a `keys:` declaration.
pub(crate) fn query_of(keys: &serde_json::Value) -> Result<&str> {
    match keys.as_str().map(str::trim) {
        Some("") => {
            Err(Error::config("`keys` is empty").with_hint("write a query whose first column is the key"))
        }
        Some(query) => Ok(query),
        None => Err(Error::config("`keys` of a `sqlite` node is a query, as text")
            .with_hint("such as `keys: \"SELECT image FROM product\"`")),
    }
}

/// Hands over what the query finds. A row whose key is `NULL` refers to nothing.
///
/// # Errors
/// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if the query does not fit.
pub(crate) fn read(
    conn: &mut Connection,
    path: &Path,
    query: &str,
    excluded: &Excluded,
    keys: &mut KeySink<'_>,
) -> Result<()> {
    guarded(conn, path, query, excluded, |statement| {
        let mut rows = statement.query([]).map_err(failed("can't run the query of `keys`", path))?;
        let columns = rows.as_ref().map_or(1, |statement| statement.column_count());
        while let Some(row) = rows.next().map_err(failed("can't read on in the query of `keys`", path))? {
            let key = match key_of(row.get_ref(0).map_err(failed("can't read a key", path))?) {
                Held::Nothing => continue,
                Held::Value(key) => key,
                Held::Malformed(key, what) => {
                    keys.push_malformed(Key::new(key), what)?;
                    continue;
                }
            };
            let digest = match columns {
                1 => Held::Nothing,
                _ => digest_of(row.get_ref(1).map_err(failed("can't read a digest", path))?),
            };
            match digest {
                Held::Nothing => keys.push(Reference { key, digest: None })?,
                Held::Value(digest) => keys.push(Reference { key, digest: Some(digest) })?,
                Held::Malformed(_, what) => keys.push_malformed(key, what)?,
            }
        }
        Ok(())
    })
}

/// Says what is wrong with the query, without running it.
pub(crate) fn check(conn: &mut Connection, path: &Path, query: &str, excluded: &Excluded) -> Result<()> {
    guarded(conn, path, query, excluded, |_| Ok(()))
}

/// What the authorizer saw while the query was prepared.
#[derive(Debug, Default)]
struct Seen {
    /// Something that reads, and yet changes the connection.
    refused: bool,
    tables: Vec<String>,
}

fn guarded(
    conn: &mut Connection,
    path: &Path,
    query: &str,
    excluded: &Excluded,
    work: impl FnOnce(&mut rusqlite::Statement<'_>) -> Result<()>,
) -> Result<()> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let set = |error| failed("can't guard the query of `keys`", path)(error);
    conn.authorizer(Some(authorizer(Arc::clone(&seen)))).map_err(set)?;
    let done = prepare(conn, query, &seen, excluded).and_then(|mut statement| work(&mut statement));
    conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(set)?;
    done
}

fn authorizer(seen: Arc<Mutex<Seen>>) -> impl FnMut(AuthContext<'_>) -> Authorization + Send + 'static {
    move |asked| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.action {
            AuthAction::Read { table_name, .. } => seen.tables.push(table_name.to_owned()),
            // A full-text index asks for this by itself.
            AuthAction::Pragma { pragma_name: "data_version", pragma_value: None } => {}
            AuthAction::Pragma { .. } | AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
                seen.refused = true;
                return Authorization::Deny;
            }
            // What else writes is not read-only, which is looked at when all is known. Virtual tables prepare
            // statements of their own here, which write but are not run.
            _ => {}
        }
        Authorization::Allow
    }
}

fn prepare<'c>(
    conn: &'c Connection,
    query: &str,
    seen: &Mutex<Seen>,
    excluded: &Excluded,
) -> Result<rusqlite::Statement<'c>> {
    let prepared = conn.prepare(query);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let refuse = |why: &str| Err(Error::config(why).with_context("keys", query));
    if seen.refused {
        return refuse("the query of `keys` may only read")
            .map_err(|error| error.with_hint("write one `SELECT` whose first column is the key"));
    }
    if let Some(table) = seen.tables.iter().find(|table| excluded.has(table)) {
        return refuse(&format!("the query of `keys` reads the table `{table}`, which is not in the dump"))
            .map_err(|error| error.with_hint("remove the reference, or the table from the excluded ones"));
    }
    let statement = match prepared {
        Ok(statement) => statement,
        Err(rusqlite::Error::MultipleStatement) => return refuse("`keys` has more than one statement"),
        Err(error) => {
            return Err(Error::config("the query of `keys` does not fit the database")
                .with_context("keys", query)
                .with_source(error)
                .with_hint(
                    "correct `keys`; if a release has broken the database, and it is to be dumped as it is, take the \
                     reference out of the configuration for that",
                ));
        }
    };
    match (statement.column_count(), statement.readonly(), statement.parameter_count()) {
        (1 | 2, true, 0) => Ok(statement),
        (0, ..) => refuse("`keys` has no statement that gives rows"),
        (1 | 2, true, _) => refuse("the query of `keys` has parameters, and nothing to fill them with"),
        (1 | 2, false, _) => refuse("the query of `keys` may only read"),
        _ => refuse("the query of `keys` has more than two columns: a key, and its sha256"),
    }
}

/// What a row holds in one of its columns.
enum Held<T> {
    Nothing,
    Value(T),
    /// What stands there, as far as it can be a key, and what is wrong with it: the row is at fault, not the
    /// configuration.
    Malformed(String, &'static str),
}

/// A key: an integer in decimal, a text as it is, bytes as they are. A number with a fraction has no one way to be
/// written, so it refers to nothing.
fn key_of(value: ValueRef<'_>) -> Held<Key> {
    match value {
        ValueRef::Null => Held::Nothing,
        ValueRef::Integer(number) => Held::Value(Key::new(number.to_string())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Held::Value(Key::new(bytes)),
        ValueRef::Real(number) => Held::Malformed(
            number.to_string(),
            "a row holds a number with a fraction where a key is expected: cast it in the query of `keys`",
        ),
    }
}

/// The digest that stands beside a key: 64 hexadecimal digits, or 32 bytes. `NULL` and nothing at all mean that none is
/// known. Anything else promises a content that nothing can have.
fn digest_of(value: ValueRef<'_>) -> Held<Digest> {
    let digest = match value {
        ValueRef::Null | ValueRef::Text([]) | ValueRef::Blob([]) => return Held::Nothing,
        // A text of 32 characters is an MD5, not 32 bytes.
        ValueRef::Text(text) if text.len() == 64 => Digest::parse(text),
        ValueRef::Blob(bytes) => Digest::parse(bytes),
        _ => None,
    };
    let malformed = || {
        Held::Malformed(
            String::new(),
            "a row holds something else where a sha256 is expected: 64 hexadecimal digits, 32 bytes, or `NULL`",
        )
    };
    digest.map_or_else(malformed, Held::Value)
}
