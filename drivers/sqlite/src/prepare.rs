//! All that can fail before the swap.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use dumprestore_driver::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode};

use crate::checks::{self, Damage};
use crate::entry::{Before, Form, Way};
use crate::fault::{failed, io_failed};
use crate::header::Header;
use crate::image;
use crate::old::Old;
use crate::open::{self, Patience};
use crate::place::{COMPANIONS, suffixed};
use crate::profile::Journal;
use crate::restore::Restore;

/// What is in the place of the database now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live {
    Missing,
    Database {
        journal: Journal,
        page_size: i64,
    },
    /// No database, an encrypted one, or one so damaged that SQLite can't begin to read it.
    Foreign,
}

impl Live {
    /// Looks at it, as who is about to write it.
    pub(crate) fn look(path: &Path, patience: &Patience) -> Result<Self> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::Missing),
            _ => crate::pin::check_file(path)?,
        }
        let read = open::live(path, patience).and_then(|conn| {
            open::begin_read(&conn, path, patience)?;
            let database =
                Self::of(&conn).map_err(failed("can't read the settings of the live database", path))?;
            check_writable(&conn, path)?;
            Ok(database)
        });
        match read {
            Err(error) if is_no_database(&error) => Ok(Self::Foreign),
            read => read,
        }
    }

    fn of(conn: &Connection) -> rusqlite::Result<Self> {
        Ok(Self::Database { journal: Journal::of(conn)?, page_size: open::number(conn, "page_size")? })
    }

    fn form(self) -> Form {
        match self {
            Self::Missing => Form::Absent,
            Self::Database { .. } => Form::Database,
            Self::Foreign => Form::Foreign,
        }
    }
}

fn check_writable(conn: &Connection, path: &Path) -> Result<()> {
    match conn.is_readonly("main").map_err(failed("can't open the live database", path))? {
        false => Ok(()),
        true => Err(Error::environment("the live database can't be written")
            .with_context("database", path.display())
            .with_hint("run as a user who may write the file and its folder")),
    }
}

/// Whether SQLite said so itself.
pub(crate) fn is_no_database(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<rusqlite::Error>());
    let code = cause.and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Checks what is staged, makes it fit, and copies the live state aside.
pub(crate) fn prepare(restore: &mut Restore) -> Result<Option<Old>> {
    let path = restore.place.path();
    let live = Live::look(path, &restore.patience)?;
    if restore.entry.form == Form::Database {
        check_staged(restore)?;
    }
    let wal = matches!(live, Live::Database { journal: Journal::Wal, .. });
    let meta = path.metadata().ok();
    let mode = meta.as_ref().map(|meta| meta.mode() & 0o777);
    let owner = meta.as_ref().map(|meta| (meta.uid(), meta.gid()));
    restore.entry.old = Some(Before { form: live.form(), wal, mode, owner });
    if let (Form::Database, Live::Database { journal, page_size }) = (restore.entry.form, live) {
        restore.entry.way = Some(Way::Pages);
        if journal == Journal::Wal {
            fit_pages(restore, page_size)?;
        }
        image::sync(&restore.names.staged)?;
        return restore.copy_old().map(Some);
    }
    restore.entry.way = Some(Way::Files);
    if restore.entry.form != Form::Absent {
        hand_over(restore)?;
        image::sync(&restore.names.staged)?;
    }
    Ok(None)
}

fn check_staged(restore: &Restore) -> Result<()> {
    let staged = &restore.names.staged;
    let header = Header::of_file(staged)?;
    if let Some(expected) = &restore.expected {
        let size = header.map_or(0, |header| header.pages * header.page_size);
        if size != expected.size || header.is_some_and(|header| expected.page_size != Some(header.page_size))
        {
            return Err(Error::archive(
                "the database in the archive is not the one that its manifest tells of",
            )
            .with_context("bytes", size)
            .with_context("expected", expected.size));
        }
    }
    let conn = open::live(staged, &restore.patience)?;
    let fault = || failed("can't read the staged database", staged);
    open::set_journal_mode(&conn, "DELETE").map_err(fault()).map_err(too_damaged)?;
    if header.is_none() {
        // A file without bytes is a database, but it has no pages that could be swapped in.
        conn.pragma_update(None, "user_version", 0).map_err(fault())?;
    }
    match &restore.expected {
        // What was kept is put back as it was, sound or not.
        None => Ok(()),
        Some(expected) => {
            let damage = Damage::find(&conn, staged)?;
            expected.damage.judge(&damage)?;
            match damage.is_none() {
                true => {
                    checks::mend_indexes(&conn, staged)?;
                    check_foreign_keys(&conn, staged, expected.foreign_key_violations)
                }
                false => Ok(()),
            }
        }
    }
}

/// What was read from the archive has the digest of what was dumped: the archive is not to blame.
fn too_damaged(error: Error) -> Error {
    match is_no_database(&error) {
        true => error.with_kind(ErrorKind::Unsupported).with_hint(
            "it was damaged when it was dumped: take it out with `dumprestore extract` and try \
                        `sqlite3 FILE .recover`",
        ),
        false => error,
    }
}

/// Rows that referred to nothing when they were dumped are the application's affair, and no reason to refuse them.
/// More of them than then are one.
fn check_foreign_keys(conn: &Connection, staged: &Path, dumped: Option<u64>) -> Result<()> {
    let Some(dumped) = dumped else { return Ok(()) };
    match checks::foreign_key_count(conn, staged)? {
        Some(found) if found > dumped => Err(Error::archive(
            "more rows of the database in the archive refer to nothing than when it was dumped",
        )
        .with_context("then", dumped)
        .with_context("now", found)),
        _ => Ok(()),
    }
}

/// In WAL mode a database can't change the size of its pages, so the staged one gets that of the live one.
fn fit_pages(restore: &Restore, page_size: i64) -> Result<()> {
    let (staged, partial) = (&restore.names.staged, &restore.names.partial);
    let conn = open::live(staged, &restore.patience)?;
    let fault = || failed("can't give the staged database the page size of the live one", staged);
    if open::number(&conn, "page_size").map_err(fault())? == page_size {
        return Ok(());
    }
    image::create(partial)?;
    let into = partial.to_str().ok_or_else(|| {
        Error::unsupported("the page size of a database can't be changed under a path that is not UTF-8")
            .with_context("database", restore.place.path().display())
    })?;
    conn.pragma_update(None, "page_size", page_size).map_err(fault())?;
    // Into another file: only so do rows without a key of their own keep their numbers.
    conn.execute("VACUUM main INTO ?1", [into]).map_err(|error| {
        fault()(error).with_hint(
            "take the live database out of WAL mode (`PRAGMA journal_mode = DELETE`) and restore again",
        )
    })?;
    drop(conn);
    std::fs::rename(partial, staged).map_err(io_failed("can't name the staged database", staged))
}

/// Gives the staged file the owner and the rights of the one that it replaces; where there is none, those of the one
/// that was dumped. Only root may give a file away.
fn hand_over(restore: &Restore) -> Result<()> {
    let (staged, live) = (&restore.names.staged, restore.place.path());
    let fault = || io_failed("can't give the staged database its owner and rights", staged);
    let replaced = live.metadata().ok();
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = match (&replaced, restore.entry.owner) {
            (Some(meta), _) => (meta.uid(), meta.gid()),
            (None, Some(dumped)) => dumped,
            // An archive that does not tell: who uses a database must be able to write its folder.
            (None, None) => {
                let folder = restore.place.folder().metadata().map_err(fault())?;
                (folder.uid(), folder.gid())
            }
        };
        std::os::unix::fs::chown(staged, Some(uid), Some(gid)).map_err(fault())?;
    }
    match replaced.map(|meta| meta.mode()).or(restore.entry.mode) {
        Some(mode) => {
            let rights = std::fs::Permissions::from_mode(mode & 0o777);
            std::fs::set_permissions(staged, rights).map_err(fault())
        }
        None => Ok(()),
    }
}

/// Folds what a hook may have left in a log into the staged file: from here on it is one file, and stays as it is.
pub(crate) fn settle(restore: &Restore) -> Result<()> {
    if restore.entry.form != Form::Database {
        return Ok(());
    }
    let staged = &restore.names.staged;
    let in_use = || {
        Error::environment("the staged database is still open in another program")
            .with_context("file", staged.display())
            .with_hint("a hook has left it open: let it end before the swap")
    };
    let conn = open::live(staged, &restore.patience)?;
    let fault = |error: rusqlite::Error| match open::is_busy(&error) {
        true => in_use(),
        false => failed("can't close the staged database", staged)(error),
    };
    let mut wanted = vec!["delete"];
    if restore.entry.way == Some(Way::Files) && restore.entry.wal {
        wanted.push("wal");
    }
    for mode in wanted {
        if open::set_journal_mode(&conn, mode).map_err(fault)? != mode {
            return Err(in_use());
        }
    }
    conn.close().map_err(|(_, error)| fault(error))?;
    match COMPANIONS.iter().any(|suffix| suffixed(staged, suffix).exists()) {
        true => Err(in_use()),
        false => image::sync(staged),
    }
}

/// Whether the live file is still of the kind that the restore was prepared for.
pub(crate) fn check_live(restore: &Restore, old: Form) -> Result<()> {
    let now = Live::look(restore.place.path(), &restore.patience)?.form();
    if now == old {
        return Ok(());
    }
    let change = match (old, now) {
        (Form::Absent, _) => "a file has appeared where there was none",
        (_, Form::Absent) => "it was removed",
        _ => "another kind of file has taken its place",
    };
    Err(Error::environment(format!(
        "the live database is not what it was when the restore was prepared: {change}"
    ))
    .with_context("database", restore.place.path().display())
    .with_hint("stop what makes or removes it, and restore again"))
}
