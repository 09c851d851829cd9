//! Connections: how each kind of file is opened, and how long locks are waited for.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::fault::{busy, failed};

/// How many steps of SQLite's machine lie between two looks at the cancel switch: about a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;

/// How long locks are waited for, and what ends the wait early.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    pub(crate) limit: Duration,
    pub(crate) cancel: Cancel,
}

impl Patience {
    pub(crate) fn new(limit: Duration, cancel: Cancel) -> Self {
        Self { limit, cancel }
    }

    /// The same, that nothing ends early: for what must be done to the end.
    pub(crate) fn unbending(&self) -> Self {
        Self { limit: self.limit, cancel: Cancel::default() }
    }
}

/// Opens a database that others use. Read-write where that is allowed: only so can SQLite undo what a crash left.
///
/// What SQLite can't read it must not open so: when it leaves, it removes the log beside it, which may be that of an
/// encrypted database and hold the only copy of what was committed last.
pub(crate) fn live(path: &Path, patience: &Patience) -> Result<Connection> {
    let foreign = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::NotADatabase);
    if let Some(error) = number(&fixed(path, patience)?, "schema_version").err().filter(foreign) {
        return Err(failed("can't read the database", path)(error));
    }
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, patience)
}

/// Opens a database that others use, to look only.
pub(crate) fn look(path: &Path, patience: &Patience) -> Result<Connection> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, patience)?;
    // Folding the log into the database is a change, even if all readers see the same before and after.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(failed("can't open the database", path))?;
    Ok(conn)
}

/// Opens a file that nobody changes: no lock is taken, no log is read, nothing is created beside it.
pub(crate) fn fixed(path: &Path, patience: &Patience) -> Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(&uri, flags).map_err(failed("can't open the database", path))?;
    equip(conn, path, patience)
}

/// Opens a file of our own that is a database, or creates it.
pub(crate) fn own(path: &Path, patience: &Patience) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, patience)
}

fn open(path: &Path, flags: OpenFlags, patience: &Patience) -> Result<Connection> {
    // Only names that begin with `file:` are taken for URIs, and ours are absolute.
    let conn = Connection::open_with_flags(path, flags).map_err(failed("can't open the database", path))?;
    equip(conn, path, patience)
}

fn equip(mut conn: Connection, path: &Path, patience: &Patience) -> Result<Connection> {
    let fault = || failed("can't set up a connection to the database", path);
    conn.busy_handler(Some(waiter(patience))).map_err(fault())?;
    watch_cancel(&mut conn, &patience.cancel).map_err(fault())?;
    // What a schema calls by itself (functions in views, triggers, checks) is not ours to trust.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(fault())?;
    Ok(conn)
}

/// Long statements end when the run is to stop.
pub(crate) fn watch_cancel(conn: &mut Connection, cancel: &Cancel) -> rusqlite::Result<()> {
    let cancel = cancel.clone();
    conn.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || cancel.is_cancelled()))
}

/// Short sleeps, so that a lock is taken soon after it is let go.
fn waiter(patience: &Patience) -> impl FnMut(i32) -> bool + Send + 'static {
    let patience = patience.clone();
    let mut since = Instant::now();
    move |tries| {
        if tries == 0 {
            since = Instant::now();
        }
        if since.elapsed() >= patience.limit || patience.cancel.is_cancelled() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(if tries < 20 { 1 } else { 5 }));
        true
    }
}

/// Begins a read transaction, and takes its snapshot at once.
pub(crate) fn begin_read(conn: &Connection, path: &Path, patience: &Patience) -> Result<()> {
    let since = Instant::now();
    loop {
        patience.cancel.check()?;
        let error = match try_begin_read(conn) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // Some waits SQLite does not put through the handler, for fear of a deadlock that we can't make.
        if !is_busy(&error) || since.elapsed() >= patience.limit {
            patience.cancel.check()?;
            return Err(failed("can't begin to read the database", path)(error));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn try_begin_read(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN")?;
    // `BEGIN` alone takes no snapshot: the first read does.
    let read = conn.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()));
    if read.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    read
}

/// Ends a transaction that wrote nothing.
pub(crate) fn end_read(conn: &Connection, path: &Path) -> Result<()> {
    if conn.is_autocommit() {
        return Ok(());
    }
    conn.execute_batch("ROLLBACK").map_err(failed("can't end reading the database", path))
}

/// Keeps writers out until the transaction ends; readers go on.
pub(crate) fn begin_lock(conn: &Connection, path: &Path, patience: &Patience) -> Result<()> {
    let what = "can't keep writers out of the database";
    conn.execute_batch("BEGIN IMMEDIATE").map_err(|error| match is_busy(&error) {
        true if patience.cancel.is_cancelled() => Error::cancelled(),
        true => busy(what, path),
        false => failed(what, path)(error),
    })
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

/// A pragma that answers with one number.
pub(crate) fn number(conn: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, pragma, |row| row.get(0))
}

/// A pragma that answers with one text.
pub(crate) fn text(conn: &Connection, pragma: &str) -> rusqlite::Result<String> {
    conn.pragma_query_value(None, pragma, |row| row.get(0))
}

/// Sets the journal mode of the file, and tells which it has now: SQLite refuses without an error.
pub(crate) fn set_journal_mode(conn: &Connection, mode: &str) -> rusqlite::Result<String> {
    conn.pragma_update_and_check(None, "journal_mode", mode, |row| row.get(0))
}
