//! Whether a database is sound.

use std::path::Path;
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Result};
use rusqlite::{Connection, ErrorCode};

use crate::fault::failed;
use crate::open::watch_cancel;

/// How long a dump may look for rows that refer to nothing: it only notes their number.
const QUICK: Duration = Duration::from_millis(250);

/// How many findings are told.
const FINDINGS: usize = 5;

/// Reads all of the database and looks whether it is whole.
///
/// # Errors
/// [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive) with the first findings.
pub(crate) fn check_integrity(conn: &Connection, path: &Path) -> Result<()> {
    let findings = match findings(conn) {
        Err(error) if is_beyond_us(&error) => check_pages(conn).map(|()| Vec::new()),
        done => done,
    };
    let findings = match findings {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            vec![error.to_string()]
        }
        done => done.map_err(failed("can't check the staged database", path))?,
    };
    match findings.is_empty() {
        true => Ok(()),
        false => Err(Error::archive("the database in the archive is damaged: it was so when it was dumped")
            .with_context("integrity_check", findings.join("; "))
            .with_hint("take the file out with `dumprestore extract` and try `sqlite3 FILE .recover`")),
    }
}

fn findings(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(&format!("PRAGMA main.integrity_check({FINDINGS})"))?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// Walks all pages: what can be checked when the schema needs a collation or a function that only the application
/// has.
fn check_pages(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("SELECT count(*), sum(unused) FROM dbstat('main')", [], |_| Ok(()))
}

fn is_beyond_us(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code == ErrorCode::Unknown,
        rusqlite::Error::SqlInputError { .. } => true,
        _ => false,
    }
}

/// How many rows refer to nothing. `None` if the schema does not allow to say.
pub(crate) fn foreign_key_count(conn: &Connection, path: &Path) -> Result<Option<u64>> {
    match count(conn) {
        Err(error) if is_beyond_us(&error) => Ok(None),
        counted => {
            counted.map(Some).map_err(failed("can't check the foreign keys of the staged database", path))
        }
    }
}

/// The same, if that can be told quickly.
pub(crate) fn quick_foreign_key_count(conn: &mut Connection, cancel: &Cancel) -> Result<Option<u64>> {
    let since = Instant::now();
    let watched = cancel.clone();
    let defect = |error: rusqlite::Error| Error::defect("can't watch the clock").with_source(error);
    conn.progress_handler(1_000, Some(move || watched.is_cancelled() || since.elapsed() > QUICK))
        .map_err(defect)?;
    // Whatever keeps us from counting keeps nobody from restoring: a restore compares only what was counted.
    let counted = count(conn).ok();
    watch_cancel(conn, cancel).map_err(defect)?;
    cancel.check()?;
    Ok(counted)
}

fn count(conn: &Connection) -> rusqlite::Result<u64> {
    let counted = conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0));
    counted.map(i64::unsigned_abs)
}
