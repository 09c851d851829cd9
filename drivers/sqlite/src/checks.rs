//! Whether a database is sound.

use std::path::Path;
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Facts, Result};
use rusqlite::{Connection, ErrorCode};

use crate::fault::failed;
use crate::open::watch_cancel;

/// How long a dump may look for rows that refer to nothing: it only notes their number.
const QUICK: Duration = Duration::from_millis(250);

/// How many findings are told, and how many characters of each.
const FINDINGS: usize = 5;
const LONGEST_FINDING: usize = 200;

/// Under this name the facts tell what a dump found: `none`, or the findings.
const FACT: &str = "damage";
const SOUND: &str = "none";

/// What is damaged in a database: the first findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage(Vec<String>);

impl Damage {
    /// Reads all of the database and looks whether it is whole. What its rows hold is not looked at: neither indexes
    /// against their tables, which takes many times as long, nor the application's own `CHECK`s.
    pub(crate) fn find(conn: &Connection, path: &Path) -> Result<Self> {
        Self::find_by(conn, path, "quick_check")
    }

    /// The same, indexes compared with their tables.
    fn find_all(conn: &Connection, path: &Path) -> Result<Self> {
        Self::find_by(conn, path, "integrity_check")
    }

    fn find_by(conn: &Connection, path: &Path, pragma: &str) -> Result<Self> {
        let findings = match findings(conn, pragma) {
            Err(error) if is_beyond_us(&error) => check_pages(conn).map(|()| Vec::new()),
            done => done,
        };
        match findings {
            Err(error) if is_corrupt(&error) => Ok(Self(vec![error.to_string()])),
            done => done.map(Self).map_err(failed("can't check whether the database is whole", path)),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&self) -> String {
        self.0.join("; ")
    }

    /// Enters it in the facts of a dump.
    pub(crate) fn record(&self, facts: &mut Facts) {
        let text = if self.is_none() { SOUND.to_owned() } else { self.text() };
        facts.insert(FACT.to_owned(), text);
    }
}

/// Compares the indexes of a staged database with their tables, and makes those anew that don't fit: they hold nothing
/// that the tables do not, and a dump, which does not compare them, has them as they were.
///
/// # Errors
/// If they can't be made to fit: two rows have a key that must be unique, for example.
pub(crate) fn mend_indexes(conn: &Connection, path: &Path) -> Result<()> {
    let found = Damage::find_all(conn, path)?;
    if found.is_none() {
        return Ok(());
    }
    let refused = |left: String| {
        Error::unsupported(
            "indexes of the database did not fit their tables when it was dumped, and can't be mended",
        )
        .with_context("integrity_check", left)
        .with_hint("take the file out with `dumprestore extract` and try `sqlite3 FILE .recover`")
    };
    conn.execute_batch("REINDEX").map_err(|error| refused(found.text()).with_source(error))?;
    let left = Damage::find_all(conn, path)?;
    if left.is_none() { Ok(()) } else { Err(refused(left.text())) }
}

/// What a dump found out about damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It did not look.
    Nothing,
    /// There was none.
    Sound,
    /// This.
    Damaged(String),
}

impl Recorded {
    pub(crate) fn in_facts(facts: &Facts) -> Self {
        match facts.get(FACT).map(String::as_str) {
            None => Self::Nothing,
            Some(SOUND) => Self::Sound,
            Some(text) => Self::Damaged(text.to_owned()),
        }
    }

    /// What was damaged when it was dumped is restored so. The archive is not to blame for any damage: what is read
    /// from it is what was dumped, or is refused by its digest.
    ///
    /// # Errors
    /// With the first findings, if there is damage that the dump does not tell of.
    pub(crate) fn judge(&self, found: &Damage) -> Result<()> {
        let error = match self {
            _ if found.is_none() => return Ok(()),
            Self::Damaged(_) => return Ok(()),
            Self::Nothing => Error::unsupported("the database was damaged when it was dumped")
                .with_hint("take the file out with `dumprestore extract` and try `sqlite3 FILE .recover`"),
            Self::Sound => {
                Error::environment("the staged database is damaged, though it was whole when it was dumped")
                    .with_hint(
                        "see whether the disk and the memory of this machine are sound, and restore again",
                    )
            }
        };
        Err(error.with_context("quick_check", found.text()))
    }
}

fn findings(conn: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    // Rows that break a `CHECK` are the application's affair, and would fill the list.
    conn.pragma_update(None, "ignore_check_constraints", true)?;
    let mut statement = conn.prepare(&format!("PRAGMA main.{pragma}({FINDINGS})"))?;
    let mut found: Vec<String> = Vec::new();
    for row in statement.query_map([], |row| row.get(0))? {
        match row {
            // The check itself gives up where there is nothing left to read.
            Err(error) if is_corrupt(&error) => found.push(error.to_string()),
            row => found.push(row?),
        }
    }
    let lines = found.iter().flat_map(|text| text.lines());
    let lines = lines.filter(|line| *line != "ok" && !line.starts_with("*** in database"));
    Ok(lines.take(FINDINGS).map(|line| line.chars().take(LONGEST_FINDING).collect()).collect())
}

/// Walks all pages: what can be checked when the schema needs a collation or a function that only the application
/// has.
fn check_pages(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("SELECT count(*), sum(unused) FROM dbstat('main')", [], |_| Ok(()))
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
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
