//! The keys that a database holds of things elsewhere: the answer of a query.

use dumprestore_driver::{Digest, Error, ErrorKind, Key, KeySink, Reference, Result};

use crate::connect::{RawRow, Session, code};
use crate::quote;

/// The query of a `keys:` declaration. Offline.
///
/// # Errors
/// [`ErrorKind::Config`] if it is none.
pub(crate) fn query_of(keys: &serde_json::Value) -> Result<&str> {
    match keys.as_str().map(|query| query.trim_end_matches(|c: char| c.is_whitespace() || c == ';')) {
        Some(query) if query.trim().is_empty() => {
            Err(Error::config("`keys` is empty").with_hint("write a query whose first column is the key"))
        }
        Some(query) if locks(query) => {
            Err(Error::config("the query of `keys` locks what it reads, and would not read it as of the cut")
                .with_context("keys", query)
                .with_hint("leave out `FOR UPDATE`, `FOR SHARE` and `LOCK IN SHARE MODE`"))
        }
        Some(query) => Ok(query),
        None => Err(Error::config("`keys` of a `mysql` node is a query, as text")
            .with_hint("such as `keys: \"SELECT image FROM product\"`")),
    }
}

/// Whether a query asks for locks, whatever its server takes a backslash for.
fn locks(query: &str) -> bool {
    [true, false].into_iter().any(|escapes| {
        let words = words(query, escapes);
        let has = |phrase: &[&str]| words.windows(phrase.len()).any(|words| words == phrase);
        has(&["for", "update"]) || has(&["for", "share"]) || has(&["lock", "in", "share", "mode"])
    })
}

/// The words of a query outside of quotes and comments, in lower case; all else between two of them is an empty word.
fn words(query: &str, escapes: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$')).unwrap_or(rest.len());
        let length = match first {
            _ if word > 0 => {
                words.extend(rest.get(..word).map(str::to_lowercase));
                word
            }
            '\'' | '"' | '`' => {
                words.push(String::new());
                quoted(rest, first, escapes && first != '`')
            }
            // What is in `/*! … */` is no comment.
            '/' if rest.starts_with("/*") && !rest.starts_with("/*!") && !rest.starts_with("/*M!") => {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            }
            '/' if rest.starts_with("/*") => {
                rest.find('!').map_or(2, |at| at + 1)
                    + rest.split_once('!').map_or(0, |(_, of)| {
                        of.len() - of.trim_start_matches(|c: char| c.is_ascii_digit()).len()
                    })
            }
            '*' if rest.starts_with("*/") => 2,
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '-' if rest.starts_with("-- ") || rest.starts_with("--\n") || rest.starts_with("--\t") => {
                rest.find('\n').unwrap_or(rest.len())
            }
            other => {
                if !other.is_whitespace() {
                    words.push(String::new());
                }
                other.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    words
}

/// How long a text in quotes is. A quote that is doubled ends one, and begins the next.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escapes => drop(chars.next()),
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Hands over what the query finds. A row whose key is null refers to nothing.
///
/// The session must be in a transaction that only reads, and in the database that the query is about. It is read as one of
/// the application's would be, in the server's own modes, but in UTC; afterwards the session is as it was. If `keys` takes
/// no more, the session is of no more use.
///
/// # Errors
/// [`ErrorKind::Config`] if the query does not fit.
pub(crate) async fn read_keys(session: &mut Session, query: &str, keys: &mut KeySink<'_>) -> Result<()> {
    as_application(session).await?;
    let read = read(session, query, keys).await;
    let back = as_before(session, read.is_err()).await;
    read?;
    back
}

/// Looks whether [`read_keys`] could read the keys that a query finds. Reads none.
///
/// # Errors
/// As [`read_keys`].
pub(crate) async fn check(session: &mut Session, query: &str) -> Result<()> {
    as_application(session).await?;
    let checked = check_columns(session, query).await;
    let back = as_before(session, checked.is_err()).await;
    checked?;
    back
}

async fn as_application(session: &mut Session) -> Result<()> {
    let sql = "SET @dumprestore_results = @@SESSION.character_set_results, @dumprestore_modes = @@SESSION.sql_mode, \
               SESSION character_set_results = utf8mb4, SESSION sql_mode = @@GLOBAL.sql_mode";
    session.run(sql).await.map(drop)
}

async fn as_before(session: &mut Session, failed: bool) -> Result<()> {
    if failed && session.is_gone() {
        return Ok(());
    }
    let sql =
        "SET SESSION character_set_results = @dumprestore_results, SESSION sql_mode = @dumprestore_modes";
    session.run(sql).await.map(drop)
}

/// The query as a table: so it is one that reads, and nothing that would end the transaction.
fn within(query: &str) -> String {
    format!("SELECT * FROM (\n{query}\n) AS keys_of_references")
}

/// Finds out how many columns it has, without any row.
async fn check_columns(session: &mut Session, query: &str) -> Result<()> {
    const OTHER_COLUMNS: u16 = 1222;
    let refuse = |why: &str| Err(Error::config(why).with_context("keys", query));
    check_alone(session, query).await.map_err(|error| told(error, query))?;
    for nulls in ["NULL", "NULL, NULL"] {
        let sql = format!("SELECT {nulls} FROM DUAL WHERE FALSE UNION ALL {} WHERE FALSE", within(query));
        match session.run(sql).await {
            Ok(_) => return Ok(()),
            Err(error) if code(&error) == Some(OTHER_COLUMNS) => {}
            Err(error) => return Err(told(error, query)),
        }
    }
    refuse("the query of `keys` has more than two columns: a key, and its sha256")
}

/// A query that is one by itself ends no parenthesis around it, and nothing follows it: a server takes several statements
/// at once, but makes one of them ready only.
async fn check_alone(session: &mut Session, query: &str) -> Result<()> {
    session.run(format!("SET @dumprestore_keys = {}", quote::portable(query))).await?;
    session.run("PREPARE dumprestore_keys FROM @dumprestore_keys").await?;
    session.run("DEALLOCATE PREPARE dumprestore_keys").await.map(drop)
}

async fn read(session: &mut Session, query: &str, keys: &mut KeySink<'_>) -> Result<()> {
    check_columns(session, query).await?;
    let mut stopped = None;
    let taken = session
        .each(within(query), |row| {
            let taken = match reference(row) {
                Found::Nothing => Ok(()),
                Found::Reference(reference) => keys.push(reference),
                Found::Malformed(key, what) => keys.push_malformed(key, what),
            };
            taken.map_err(|error| {
                stopped = Some(error);
                Error::environment("no more keys are taken")
            })
        })
        .await;
    match (stopped, taken) {
        (Some(stopped), _) => Err(stopped),
        (None, Err(error)) => Err(told(error, query)),
        (None, Ok(_)) => Ok(()),
    }
}

fn told(error: Error, query: &str) -> Error {
    let failed = code(&error);
    let error = error.with_context("keys", query);
    let misfit = |hint: &str, error: Error| error.with_kind(ErrorKind::Config).with_hint(hint.to_owned());
    match failed {
        Some(1792) => misfit("it may only read: write one `SELECT` whose first column is the key", error),
        Some(1060) => misfit("give its two columns different names, by `AS`", error),
        // Syntax, and names of what is not there, or is there twice.
        Some(
            1046 | 1052 | 1054 | 1055 | 1056 | 1064 | 1065 | 1066 | 1109 | 1140 | 1146 | 1222 | 1241 | 1295
            | 1305 | 1356,
        ) => misfit(
            "it does not fit the database: write one `SELECT` whose first column is the key; if a release has broken \
             the database, and it is to be dumped as it is, take the reference out of the configuration for that",
            error,
        ),
        _ => error,
    }
}

/// What a row holds.
#[derive(Debug, PartialEq)]
enum Found {
    Nothing,
    Reference(Reference),
    /// The row is at fault, not the configuration.
    Malformed(Key, &'static str),
}

fn reference(row: &RawRow<'_>) -> Found {
    let Some(key) = row.get(0).map(Key::new) else { return Found::Nothing };
    let Some(held) = row.get(1) else {
        return Found::Reference(Reference { key, digest: None });
    };
    // A text of 32 characters is an MD5, not 32 bytes.
    match Digest::parse(held).filter(|_| held.len() != 32 || !held.is_ascii()) {
        Some(digest) => Found::Reference(Reference { key, digest: Some(digest) }),
        None => Found::Malformed(
            key,
            "a row holds something else where a sha256 is expected: 64 hexadecimal digits, 32 bytes, or `NULL`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_locks_is_none_for_keys() {
        for locking in [
            "SELECT id FROM t FOR UPDATE",
            "SELECT id FROM t for\n /* */ share NOWAIT",
            "SELECT id FROM t LOCK IN -- so it is\n SHARE MODE",
            "SELECT id FROM t WHERE x = 'it''s' /*!80000 FOR SHARE */ LIMIT 1",
            "SELECT id FROM (SELECT id FROM t FOR UPDATE) AS x",
            // For one server the text ends at the second quote, for the other at the last.
            "SELECT '\\' FROM t FOR UPDATE -- '",
        ] {
            assert_eq!(query_of(&locking.into()).unwrap_err().kind(), ErrorKind::Config, "{locking}");
        }
        for reading in [
            "SELECT 'FOR UPDATE', \"a \"\" for share\", `lock in share mode` FROM t",
            "SELECT id FROM t -- FOR UPDATE\n # FOR SHARE\n /* LOCK IN SHARE MODE */",
            "SELECT for_update, share FROM t USE INDEX FOR JOIN (a)",
        ] {
            query_of(&reading.into()).unwrap();
        }
    }
}
