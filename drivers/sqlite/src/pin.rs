//! Holding a view of one moment, with as little as possible in the way of writers.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use dumprestore_driver::{Error, Facts, Result};
use rusqlite::Connection;
use tempfile::TempPath;

use crate::driver::Setup;
use crate::fault::{failed, io_failed};
use crate::image::{self, Route, View};
use crate::open::{self, Patience};
use crate::place::Place;
use crate::profile::{Journal, Profile, insert_list};
use crate::selection::Excluded;

/// A log that has grown by more than this under our view is folded in by us, not by the next writer.
const LARGE_LOG: u64 = 4 << 20;

/// Longer than the granularity of any clock that stamps files.
const SETTLED: Duration = Duration::from_millis(100);

/// A view that is held until it is released.
pub(crate) struct Pinned {
    // First, so that it is closed before its file is removed.
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
    pub(crate) route: Route,
    pub(crate) profile: Profile,
    pub(crate) excluded: Excluded,
    hold: Hold,
}

enum Hold {
    /// A read transaction on the live database, in a log of that many bytes.
    Transaction { log: PathBuf, size: u64 },
    /// Nobody may write to the file, so far as we can tell, and we can't lock it.
    Still(Stamp),
    /// A copy of our own.
    Copy { _file: TempPath },
}

impl Pinned {
    /// Opens the view. In a write-ahead log a read transaction holds it, and nobody waits. With a rollback journal
    /// such a transaction would keep writers waiting for as long as the dump lasts: it is copied at once instead.
    pub(crate) fn take(setup: &Setup, patience: &Patience, scratch: &Path) -> Result<(Self, Facts)> {
        let place = Place::find(&setup.path)?;
        check_file(place.path())?;
        let (pinned, waited) = Self::hold(setup, &place, patience, scratch)?;
        let mut facts = pinned.profile.facts();
        facts.insert("writers_waited_ms".to_owned(), waited.as_millis().to_string());
        if !pinned.excluded.is_empty() {
            insert_list(&mut facts, "excluded_tables", &pinned.excluded.tables);
            insert_list(&mut facts, "excluded_data", &pinned.excluded.data);
        }
        if let Ok(meta) = place.path().metadata() {
            facts.insert("mode".to_owned(), format!("{:04o}", meta.mode() & 0o7777));
            facts.insert("uid".to_owned(), meta.uid().to_string());
            facts.insert("gid".to_owned(), meta.gid().to_string());
        }
        Ok((pinned, facts))
    }

    fn hold(setup: &Setup, place: &Place, patience: &Patience, scratch: &Path) -> Result<(Self, Duration)> {
        let path = place.path();
        let conn = open::live(path, patience)?;
        if let Err(error) = open::begin_read(&conn, path, patience) {
            drop(conn);
            return match can_be_read_still(place) {
                true => Ok((Self::hold_still(setup, place, patience)?, Duration::ZERO)),
                false => Err(error),
            };
        }
        let since = Instant::now();
        let profile = Profile::read(&conn, path)?;
        let size = log_size(&place.log());
        let transaction = Hold::Transaction { log: place.log(), size };
        let pinned = Self::new(setup, conn, path.to_owned(), profile, transaction)?;
        match pinned.profile.journal {
            Journal::Wal => Ok((pinned, Duration::ZERO)),
            Journal::Rollback => pinned.into_copy(patience, scratch, since),
        }
    }

    fn new(setup: &Setup, conn: Connection, path: PathBuf, profile: Profile, hold: Hold) -> Result<Self> {
        let excluded = setup.selection.pick(&profile.tables)?;
        let route = setup.route.unwrap_or_else(|| Route::of(&conn));
        Ok(Self { conn, path, route, profile, excluded, hold })
    }

    fn into_copy(self, patience: &Patience, scratch: &Path, since: Instant) -> Result<(Self, Duration)> {
        let file = image::scratch_file(scratch)?;
        let view = View { conn: &self.conn, path: &self.path, route: self.route, cancel: &patience.cancel };
        view.save(&file)?;
        open::end_read(&self.conn, &self.path)?;
        let waited = since.elapsed();
        let conn = open::fixed(&file, patience)?;
        let copy = Self { conn, path: file.to_path_buf(), hold: Hold::Copy { _file: file }, ..self };
        open::begin_read(&copy.conn, &copy.path, patience)?;
        Ok((copy, waited))
    }

    fn hold_still(setup: &Setup, place: &Place, patience: &Patience) -> Result<Self> {
        let path = place.path();
        let stamp = Stamp::settled(path)?;
        let conn = open::fixed(path, patience)?;
        open::begin_read(&conn, path, patience)?;
        let mut profile = Profile::read(&conn, path)?;
        // A fixed file is read without its log, and says that it has none.
        profile.journal = Journal::Wal;
        Self::new(setup, conn, path.to_owned(), profile, Hold::Still(stamp))
    }

    /// Whether what was read since the pin is of one state.
    pub(crate) fn check_still(&self) -> Result<()> {
        match &self.hold {
            Hold::Still(stamp) if Stamp::of(&self.path)? != *stamp => {
                Err(Error::environment("the database was changed by another user while it was read")
                    .with_context("database", self.path.display())
                    .with_hint(
                        "run as a user who may write the folder: only so can SQLite hold a view of it",
                    ))
            }
            _ => Ok(()),
        }
    }

    /// Lets the view go.
    pub(crate) fn release(mut self) -> Result<()> {
        // What is left to do is short, and is to be done after a cancelled run as well.
        self.conn
            .progress_handler(0, None::<fn() -> bool>)
            .map_err(failed("can't end reading the database", &self.path))?;
        open::end_read(&self.conn, &self.path)?;
        if let Hold::Transaction { log, size } = &self.hold
            && log_size(log) > size + LARGE_LOG
        {
            // Else the next writer would, within its commit. If it can't be done now it is done by whoever commits
            // later, as ever: so its failure is none.
            let _ = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        Ok(())
    }
}

/// Keeps writers out, from before the pin until it is released.
pub(crate) struct Lock {
    conn: Connection,
    path: PathBuf,
    since: Instant,
}

impl Lock {
    pub(crate) fn take(path: &Path, patience: &Patience) -> Result<Self> {
        let place = Place::find(path)?;
        check_file(place.path())?;
        let conn = open::live(place.path(), patience)?;
        open::begin_lock(&conn, place.path(), patience)?;
        Ok(Self { conn, path: place.path().to_owned(), since: Instant::now() })
    }

    /// Lets writers go on, and says how long they had to wait.
    pub(crate) fn release(self) -> Result<Duration> {
        open::end_read(&self.conn, &self.path)?;
        Ok(self.since.elapsed())
    }
}

/// Nothing but a regular file can be a database.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => {
            Err(Error::environment("the database is not a regular file")
                .with_context("database", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::environment("there is no database").with_context("database", path.display()))
        }
        Err(error) => Err(io_failed("can't look at the database", path)(error)),
    }
}

fn log_size(log: &Path) -> u64 {
    log.metadata().map_or(0, |meta| meta.len())
}

/// A database with a write-ahead log can be read without one if nobody has it open and we may not make a log.
fn can_be_read_still(place: &Place) -> bool {
    log_size(&place.log()) == 0 && rustix::fs::access(place.folder(), rustix::fs::Access::WRITE_OK).is_err()
}

/// What changes with every write to a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    log: u64,
}

impl Stamp {
    /// Of the file, once its time of change is so old that another write would change it.
    fn settled(path: &Path) -> Result<Self> {
        let modified = path.metadata().and_then(|meta| meta.modified());
        let modified = modified.map_err(io_failed("can't look at the database", path))?;
        if SystemTime::now().duration_since(modified).is_ok_and(|age| age < SETTLED) {
            std::thread::sleep(SETTLED);
        }
        Self::of(path)
    }

    fn of(path: &Path) -> Result<Self> {
        let meta = path.metadata().map_err(io_failed("can't look at the database", path))?;
        let log = log_size(&Place::at(path.to_owned()).log());
        Ok(Self { inode: meta.ino(), size: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()), log })
    }
}
