//! Looking at a database without leaving a trace.
//!
//! Even a reader changes something in SQLite: it creates the index of the log, or folds the log in when it leaves.
//! So a database is opened only where others have it open already, or where there is no log at all.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use dumprestore_driver::{Claim, Error, Inspection, Problem, Result};
use rusqlite::Connection;

use crate::driver::{Declared, Setup};
use crate::fault::is_locked;
use crate::lookup::Column;
use crate::open::{self, Patience};
use crate::place::{COMPANIONS, Place, suffixed};
use crate::prepare::is_no_database;
use crate::profile::{Journal, Profile};
use crate::selection::Excluded;
use crate::{changes, keys, pin};

/// A look must be quick, even at a database that somebody else has locked.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What could be seen.
pub(crate) struct Looked {
    pub(crate) profile: Profile,
    conn: Connection,
    /// Changes in a log that was left by a crash were not seen.
    stale: bool,
}

/// Looks at the database.
pub(crate) fn look(place: &Place, patience: &Patience) -> Result<Looked> {
    let path = place.path();
    pin::check_file(path)?;
    let patience = Patience { limit: patience.limit.min(LONGEST_WAIT), ..patience.clone() };
    let has = |suffix: &str| suffixed(path, suffix).metadata().is_ok_and(|meta| meta.len() > 0);
    let (log, index, journal) = (has("-wal"), has("-shm"), has("-journal"));
    let in_log = index && suffixed(path, "-wal").exists();
    if in_log || !(log || is_logged(path, &patience)?) {
        let conn = open::look(path, &patience)?;
        match changes::profile_of(&conn, place, &patience) {
            // A journal that only a writer may undo.
            Err(_) if journal => {}
            profile => return Ok(Looked { profile: profile?, conn, stale: false }),
        }
    }
    let conn = open::fixed(path, &patience)?;
    let mut profile = changes::profile_of(&conn, place, &patience)?;
    if !journal {
        profile.journal = Journal::Wal;
    }
    Ok(Looked { profile, conn, stale: log || journal })
}

/// Whether the file says that its transactions are kept in a log. Read by way of SQLite: a file that this process has
/// open elsewhere would lose its locks if it were opened and closed beside SQLite.
fn is_logged(path: &Path, patience: &Patience) -> Result<bool> {
    let conn = open::fixed(path, patience)?;
    let version =
        conn.query_row("SELECT substr(data, 19, 1) FROM sqlite_dbpage('main') WHERE pgno = 1", [], |row| {
            row.get::<_, Vec<u8>>(0)
        });
    match version {
        Ok(version) => Ok(version == [2]),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(false),
        // Without the page table it can't be known: as for a log, the file is then read as it lies.
        Err(_) => Ok(true),
    }
}

/// Everything that the engine wants to know before a run.
pub(crate) fn inspect(setup: &Setup, declared: &Declared) -> Result<Inspection> {
    let place = Place::find(&setup.path)?;
    let patience = Patience::new(setup.busy_timeout, dumprestore_driver::Cancel::default());
    let mut inspection = Inspection::default();
    inspection.claims = claims(&place);
    match look(&place, &patience) {
        Ok(looked) => see(looked, setup, declared, &place, &mut inspection),
        Err(error) => {
            // Neither a link that leads nowhere, nor a file that can't be looked at, is nothing.
            inspection.absent =
                place.path().symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            inspection.problems.push(unseen(&place, &error));
        }
    }
    inspection.problems.extend(in_the_way_of_writing(&place));
    Ok(inspection)
}

fn claims(place: &Place) -> Vec<Claim> {
    let companions = COMPANIONS.iter().map(|suffix| suffixed(place.path(), suffix));
    std::iter::once(place.path().to_owned()).chain(companions).map(Claim::Path).collect()
}

fn see(mut looked: Looked, setup: &Setup, declared: &Declared, place: &Place, inspection: &mut Inspection) {
    inspection.facts = looked.profile.facts();
    inspection.size = Some(looked.profile.size());
    inspection.parts = Some(1);
    if looked.stale {
        inspection.problems.push(
            Problem::warning("a crash left changes beside the database that were not looked at")
                .with_hint("the next program that opens it, or a dump, takes them in"),
        );
        return;
    }
    let excluded = match setup.selection.pick(&looked.profile.tables) {
        Ok(excluded) => excluded,
        Err(error) => return inspection.problems.push(problem(&error)),
    };
    check_declared(&mut looked.conn, place.path(), declared, &excluded, &mut inspection.problems);
}

fn check_declared(
    conn: &mut Connection,
    path: &Path,
    declared: &Declared,
    excluded: &Excluded,
    problems: &mut Vec<Problem>,
) {
    for query in &declared.keys {
        problems.extend(keys::check(conn, path, query, excluded).err().as_ref().map(unchecked));
    }
    for within in &declared.within {
        problems.extend(Column::find(conn, path, Some(within), excluded).err().as_ref().map(unchecked));
    }
}

fn problem(error: &Error) -> Problem {
    hinted(Problem::no_dump(error.to_string()), error)
}

/// What keeps references from being checked: a dump of a broken database is still to be had.
fn unchecked(error: &Error) -> Problem {
    hinted(Problem::no_certificate(error.to_string()), error)
}

fn hinted(made: Problem, error: &Error) -> Problem {
    match error.hint() {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// What keeps a dump from reading the database. A lock may be gone by then.
fn unseen(place: &Place, error: &Error) -> Problem {
    if is_locked(error) {
        return hinted(Problem::warning(error.to_string()), error);
    }
    if !place.path().exists() {
        return Problem::no_dump(format!("there is no database `{}`", place.path().display()))
            .with_hint("check `path`; a restore creates the file");
    }
    let made = match is_no_database(error) {
        true => {
            Problem::no_dump(format!("`{}` is not a database that SQLite can read", place.path().display()))
        }
        false => problem(error),
    };
    match (made.hint.is_some(), error.hint()) {
        (false, Some(hint)) => made.with_hint(hint),
        _ => made,
    }
}

fn in_the_way_of_writing(place: &Place) -> Option<Problem> {
    let (path, folder) = (place.path(), place.folder());
    if !folder.is_dir() {
        return Some(
            Problem::no_restore(format!("the folder `{}` does not exist", folder.display()))
                .with_hint("create it, owned by who uses the database"),
        );
    }
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let kept_from = if !writable(folder) {
        folder
    } else if path.exists() && !writable(path) {
        path
    } else {
        return None;
    };
    Some(
        Problem::no_restore(format!("`{}` can't be written", kept_from.display()))
            .with_hint("restore as a user who may write the database and its folder"),
    )
}
