//! The swap: the staged pages are copied into the live file, in one transaction, under connections that stay open.
//!
//! Between the copy of the old state and the swap nothing may be written that would be in neither. So the live
//! database is locked first, then it is looked whether it is still what was copied, and only then it is overwritten.

use std::time::Duration;

use dumprestore_driver::{Cancel, Error, Result};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;

use crate::fault::{busy, failed};
use crate::mark::{Mark, Reached};
use crate::old::Old;
use crate::open::{self, Patience};
use crate::place::suffixed;
use crate::profile::Journal;
use crate::restore::Restore;

/// How often the old state is copied while writers go on. After that they wait.
const TRIES: usize = 3;

const WHAT: &str = "can't swap the restored database in";

enum Outcome {
    Swapped,
    /// Somebody wrote after the old state was copied.
    Outdated(Old),
}

/// Swaps the staged database in. `old` is the copy that was made when all was prepared, if that was in this run.
pub(crate) fn swap_in(restore: &Restore, old: Option<Old>) -> Result<()> {
    let mut old = old.map_or_else(|| restore.copy_old(), Ok)?;
    for tries in 1..=TRIES {
        if !old.is_current()? && tries < TRIES {
            old.copy_again(&restore.names)?;
        }
        let last = tries == TRIES;
        let outcome = match old.journal {
            Journal::Wal => swap_logged(restore, old, last)?,
            Journal::Rollback => swap_journalled(restore, old, last)?,
        };
        match outcome {
            Outcome::Swapped => return Ok(()),
            Outcome::Outdated(again) => old = again,
        }
    }
    Err(busy(WHAT, restore.place.path()))
}

/// In WAL mode: one connection keeps writers out, while another one reads.
fn swap_logged(restore: &Restore, mut old: Old, last: bool) -> Result<Outcome> {
    let path = restore.place.path();
    let source = open::fixed(&restore.names.staged, &restore.patience)?;
    check_page_size(&source, &old, restore)?;
    let mut live = open::live(path, &restore.patience)?;
    // What is committed must be on disk when the mark says so.
    live.pragma_update(None, "synchronous", "FULL").map_err(failed(WHAT, path))?;
    // To fold the log in would double the time of the swap; that is left to `finish`.
    for conn in [&live, &old.conn] {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed(WHAT, path))?;
    }
    let backup = Backup::new(&source, &mut live).map_err(failed(WHAT, path))?;
    // A step of no pages locks the destination, and does nothing else.
    match backup.step(0).map_err(failed(WHAT, path))? {
        StepResult::More => {}
        StepResult::Done => return Err(Error::defect("a staged database has no pages")),
        _ => return Err(restore.patience.cancel.check().err().unwrap_or_else(|| busy(WHAT, path))),
    }
    if !old.is_current()? {
        if !last {
            return Ok(Outcome::Outdated(old));
        }
        old.copy_again(&restore.names)?;
    }
    overwrite(restore, &old, &backup)
}

/// With a rollback journal nobody can read while the database is locked, except the connection that has locked it:
/// it stays locked between its transactions.
fn swap_journalled(restore: &Restore, mut old: Old, last: bool) -> Result<Outcome> {
    let path = restore.place.path();
    let fault = || failed(WHAT, path);
    let source = open::fixed(&restore.names.staged, &restore.patience)?;
    old.conn.pragma_update(None, "synchronous", "EXTRA").map_err(fault())?;
    let locked = old.conn.execute_batch("BEGIN EXCLUSIVE");
    locked.map_err(|error| match restore.patience.cancel.is_cancelled() {
        true => Error::cancelled(),
        false => fault()(error),
    })?;
    // Not before: who waits for a lasting lock lets nothing go while waiting, and a writer would wait for us in turn.
    set_locking(&old.conn, "EXCLUSIVE").map_err(fault())?;
    let current = old.is_current()?;
    let journal = Journal::of(&old.conn).map_err(fault())?;
    old.conn.execute_batch("COMMIT").map_err(fault())?;
    if journal == Journal::Wal || (!current && !last) {
        // Closing is the surest way to let the lock go.
        drop(old);
        return restore.copy_old().map(Outcome::Outdated);
    }
    if !current {
        old.copy_again(&restore.names)?;
    }
    // Under a lasting lock a journal is emptied, not removed, unless it is told to go.
    open::set_journal_mode(&old.conn, "TRUNCATE").map_err(fault())?;
    let mark = old.swap();
    let backup = Backup::new(&source, &mut old.conn).map_err(fault())?;
    overwrite_from(restore, mark, &backup)?;
    drop(backup);
    // The swap is done. An empty journal that stays is no harm, and the lock goes with the connection.
    let _ = set_locking(&old.conn, "NORMAL").and_then(|()| open::set_journal_mode(&old.conn, "DELETE"));
    Ok(Outcome::Swapped)
}

fn overwrite(restore: &Restore, old: &Old, backup: &Backup<'_, '_>) -> Result<Outcome> {
    overwrite_from(restore, old.swap(), backup)?;
    Ok(Outcome::Swapped)
}

fn overwrite_from(restore: &Restore, swap: crate::mark::Swap, backup: &Backup<'_, '_>) -> Result<()> {
    let mut mark = Mark { reached: Reached::Intended, swap };
    mark.write(&restore.names.mark)?;
    copy_all(backup, restore.place.path(), &restore.patience)?;
    mark.reach(Reached::Done, &restore.names.mark)
}

fn copy_all(backup: &Backup<'_, '_>, path: &std::path::Path, patience: &Patience) -> Result<()> {
    match backup.step(-1).map_err(failed(WHAT, path))? {
        StepResult::Done => Ok(()),
        StepResult::More => Err(Error::defect("a copy of all pages left some")),
        _ => Err(patience.cancel.check().err().unwrap_or_else(|| busy(WHAT, path))),
    }
}

fn set_locking(conn: &Connection, mode: &str) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "locking_mode", mode, |_| Ok(()))
}

/// A database in WAL mode can't change the size of its pages; the staged one was made to fit when it was prepared.
fn check_page_size(source: &Connection, old: &Old, restore: &Restore) -> Result<()> {
    let staged = open::number(source, "page_size").map_err(failed(WHAT, &restore.names.staged))?;
    if staged == old.page_size {
        return Ok(());
    }
    Err(Error::environment(
        "the staged database has another page size than the live one, which is in WAL mode",
    )
    .with_context("staged", staged)
    .with_context("live", old.page_size)
    .with_hint("it was changed after it was prepared: by a hook, or by who uses the live one; try again"))
}

/// Puts the old state back into the live file. Waits for locks, but for nothing else.
pub(crate) fn swap_back(restore: &Restore) -> Result<()> {
    let path = restore.place.path();
    let patience = restore.patience.unbending();
    let what = "can't put the old state of the database back";
    let source = open::fixed(&restore.names.previous, &patience)?;
    let mut live = open::live(path, &patience)?;
    live.pragma_update(None, "synchronous", "EXTRA").map_err(failed(what, path))?;
    let backup = Backup::new(&source, &mut live).map_err(failed(what, path))?;
    match backup.step(-1).map_err(failed(what, path))? {
        StepResult::Done => Ok(()),
        _ => Err(busy(what, path)),
    }
}

/// Tidies up after a swap: folds a log as large as the database into it, which the next writer would have to do
/// otherwise, and removes the journal of a swap that was killed before anything depended on it.
pub(crate) fn tidy(restore: &Restore) {
    let path = restore.place.path();
    // All of this is a kindness: what fails here harms nobody, and is done by SQLite later.
    let Ok(conn) = open::live(path, &Patience::new(Duration::from_millis(100), Cancel::default())) else {
        return;
    };
    for mode in ["PASSIVE", "TRUNCATE"] {
        let _ = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    }
    if suffixed(path, "-journal").exists() {
        // On its way from the one mode to the other SQLite removes the file, under a lock: it may be a writer's.
        let _ =
            open::set_journal_mode(&conn, "TRUNCATE").and_then(|_| open::set_journal_mode(&conn, "DELETE"));
    }
}
