//! SQLite's errors, turned into ours: who must act, and how.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dumprestore_driver::{Error, ErrorKind, Result};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// For `map_err`: `what` failed on the database at `path`.
pub(crate) fn failed<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(rusqlite::Error) -> Error + 'a {
    move |error| of_sqlite(what, path, error)
}

/// For `map_err`: `what` failed on the file at `path`.
pub(crate) fn io_failed<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| Error::io(what, error).with_context("file", path.display())
}

fn of_sqlite(what: &str, path: &Path, error: rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    if code == Some(ErrorCode::OperationInterrupted) {
        return Error::cancelled();
    }
    if matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        return busy(what, path);
    }
    let hint = code.and_then(|code| hint_for(code, extended(&error)));
    let made = Error::environment(what).with_context("database", path.display()).with_source(error);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

fn extended(error: &rusqlite::Error) -> i32 {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.extended_code,
        _ => 0,
    }
}

fn hint_for(code: ErrorCode, extended: i32) -> Option<&'static str> {
    if matches!(extended, ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY) {
        return Some(
            "a crash left a journal beside it, and only a user who may write can undo it: run as such a user",
        );
    }
    Some(match code {
        ErrorCode::NotADatabase => "it is no SQLite database, or an encrypted one: check `path`",
        ErrorCode::DatabaseCorrupt => {
            "it is damaged: see what `PRAGMA integrity_check` says, and `sqlite3 FILE .recover`"
        }
        ErrorCode::DiskFull => "make room and run it again",
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            "run as a user who may write the file and its folder"
        }
        ErrorCode::CannotOpen => {
            "check that the file and its folder can be read, and written where SQLite keeps a log"
        }
        _ => return None,
    })
}

/// Somebody else holds a lock for longer than we wait.
pub(crate) fn busy(what: &str, path: &Path) -> Error {
    let made = Error::environment(what).with_context("database", path.display());
    let holders = holders(path);
    if holders.is_empty() {
        return made
            .with_source(Locked)
            .with_hint("another program has it locked: end it, or raise `busy_timeout`");
    }
    made.with_context("held by", holders.join(", "))
        .with_source(Locked)
        .with_hint("end what holds the lock, or raise `busy_timeout`")
}

/// Whether that is what an error is about.
pub(crate) fn is_locked(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Locked>())
}

#[derive(Debug)]
struct Locked;

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database is locked")
    }
}

impl std::error::Error for Locked {}

/// The other processes that hold a lock on the file, as far as the system tells.
fn holders(path: &Path) -> Vec<String> {
    let (Ok(meta), Ok(locks)) = (path.metadata(), std::fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let (dev, inode) = (meta.dev(), meta.ino());
    let id = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(dev), rustix::fs::minor(dev));
    let mut pids: Vec<u32> = locks
        .lines()
        .filter(|line| line.split_whitespace().any(|field| field == id))
        .filter_map(|line| line.split_whitespace().rev().nth(3)?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(describe).collect()
}

fn describe(pid: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("`{}` (pid {pid})", name.trim_end()),
        Err(_) => format!("pid {pid}"),
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::new(ErrorKind::Defect, "the `sqlite` driver panicked").with_source(error)),
    }
}
