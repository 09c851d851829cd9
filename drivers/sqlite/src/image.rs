//! The image of a database: its pages one after the other, byte for byte what the file would be if all of the log
//! were folded in.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dumprestore_driver::{Cancel, Error, Result};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::fault::{busy, failed, io_failed};
use crate::open::{self, Patience};

/// What is read and written at once.
pub(crate) const BLOCK: usize = 1 << 20;

/// How many pages the backup API copies between two looks at the cancel switch.
const PAGES_AT_ONCE: i32 = 1024;

/// How the pages are got out of SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Straight from the connection, through the `sqlite_dbpage` table.
    Pages,
    /// By way of a copy in a file: for a SQLite that was built without that table.
    Spool,
}

impl Route {
    /// The best that this SQLite can do.
    pub(crate) fn of(conn: &Connection) -> Self {
        match conn.prepare("SELECT data FROM sqlite_dbpage('main') LIMIT 0") {
            Ok(_) => Self::Pages,
            Err(_) => Self::Spool,
        }
    }
}

/// An open view of one state of a database: a connection inside of a read transaction, or of a fixed file.
pub(crate) struct View<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) path: &'a Path,
    pub(crate) route: Route,
    pub(crate) cancel: &'a Cancel,
}

impl View<'_> {
    /// Writes the image to `out`, and says how many bytes it has. A scratch file goes to `scratch` if need be.
    pub(crate) fn stream(&self, scratch: &Path, out: &mut dyn Write) -> Result<u64> {
        match self.route {
            Route::Pages => self.stream_pages(out),
            Route::Spool => {
                let spooled = scratch_file(scratch)?;
                self.spool(&spooled)?;
                copy(&mut reopen(&spooled)?, out, self.cancel)
            }
        }
    }

    /// Writes the image to a file of our own, which is made anew, readable by its owner only. Not yet on disk: see
    /// [`sync`].
    pub(crate) fn save(&self, into: &Path) -> Result<()> {
        let mut file = create(into)?;
        match self.route {
            Route::Pages => self.stream_pages(&mut file).map(drop),
            Route::Spool => self.spool(into),
        }
    }

    fn stream_pages(&self, out: &mut dyn Write) -> Result<u64> {
        let fault = || failed("can't read the pages of the database", self.path);
        let mut statement =
            self.conn.prepare("SELECT data FROM sqlite_dbpage('main') ORDER BY pgno").map_err(fault())?;
        let mut rows = statement.query([]).map_err(fault())?;
        let mut block = Vec::with_capacity(BLOCK + 65_536);
        let mut size = 0;
        while let Some(row) = rows.next().map_err(fault())? {
            let page = row.get_ref(0).map_err(fault())?;
            let page =
                page.as_blob().map_err(|error| Error::defect("a page is not bytes").with_source(error))?;
            block.extend_from_slice(page);
            if block.len() >= BLOCK {
                size += flush(&mut block, out, self.cancel)?;
            }
        }
        size += flush(&mut block, out, self.cancel)?;
        self.check_size(size)?;
        Ok(size)
    }

    /// A row that was left out without an error would shift all that follows.
    fn check_size(&self, size: u64) -> Result<()> {
        let fault = || failed("can't count the pages of the database", self.path);
        let pages = open::number(self.conn, "page_count").map_err(fault())?;
        let page = open::number(self.conn, "page_size").map_err(fault())?;
        if u64::try_from(pages * page) == Ok(size) {
            return Ok(());
        }
        Err(Error::environment("the database has another size than its header says")
            .with_context("database", self.path.display())
            .with_context("pages", pages)
            .with_context("page size", page)
            .with_context("bytes read", size)
            .with_hint("it is damaged: see what `PRAGMA integrity_check` says, and `sqlite3 FILE .recover`"))
    }

    fn spool(&self, into: &Path) -> Result<()> {
        let patience = Patience::new(std::time::Duration::ZERO, self.cancel.clone());
        let mut copy = open::own(into, &patience)?;
        let fault = || failed("can't copy the database", self.path);
        // The copy is thrown away if this does not end well: nothing in it needs to survive.
        open::set_journal_mode(&copy, "OFF").map_err(fault())?;
        copy.pragma_update(None, "synchronous", "OFF").map_err(fault())?;
        let backup = Backup::new(self.conn, &mut copy).map_err(fault())?;
        loop {
            self.cancel.check()?;
            match backup.step(PAGES_AT_ONCE).map_err(fault())? {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                _ => return Err(busy("can't copy the database", self.path)),
            }
        }
    }
}

fn flush(block: &mut Vec<u8>, out: &mut dyn Write, cancel: &Cancel) -> Result<u64> {
    cancel.check()?;
    out.write_all(block).map_err(|error| Error::io("can't write the image of the database", error))?;
    let size = block.len() as u64;
    block.clear();
    Ok(size)
}

/// Copies a stream, in constant memory.
pub(crate) fn copy(from: &mut dyn Read, out: &mut dyn Write, cancel: &Cancel) -> Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        cancel.check()?;
        let mut filled = 0;
        while filled < block.len() {
            match from.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("can't read the image of the database", error)),
            }
        }
        out.write_all(&block[..filled])
            .map_err(|error| Error::io("can't write the image of the database", error))?;
        size += filled as u64;
        if filled < block.len() {
            return Ok(size);
        }
    }
}

/// A file of our own, made anew; readable by its owner only.
pub(crate) fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        // A link that somebody laid under our name is not written through.
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(io_failed("can't create a file beside the database", path))
}

/// Waits until a file of our own, and its name, are on disk.
pub(crate) fn sync(path: &Path) -> Result<()> {
    let fault = || io_failed("can't write a file to disk", path);
    File::open(path).map_err(fault())?.sync_all().map_err(fault())?;
    sync_folder(path)
}

/// Waits until the names in the folder of `path` are on disk.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let fault = || io_failed("can't write a folder to disk", folder);
    File::open(folder).map_err(fault())?.sync_all().map_err(fault())
}

/// A scratch file: gone when it is dropped.
pub(crate) fn scratch_file(folder: &Path) -> Result<tempfile::TempPath> {
    std::fs::create_dir_all(folder)
        .map_err(io_failed("can't create the folder for scratch files", folder))?;
    tempfile::Builder::new()
        .prefix("dumprestore-")
        .suffix(".sqlite")
        .tempfile_in(folder)
        .map(tempfile::NamedTempFile::into_temp_path)
        .map_err(io_failed("can't create a scratch file", folder))
}

fn reopen(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(io_failed("can't read a scratch file", path))
}
