//! The mark that a swap leaves beside the database: how far it got, for whoever comes after a crash.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dumprestore_driver::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::entry::remove;
use crate::fault::io_failed;
use crate::image::{create, sync_folder};
use crate::place::suffixed;

/// How far a swap got, and how the live state is told from the new one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) reached: Reached,
    pub(crate) swap: Swap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reached {
    /// It may have happened.
    Intended,
    /// It has happened.
    Done,
    /// It has happened, and may have been undone.
    Undoing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Swap {
    /// Pages were copied into the live file.
    Pages {
        /// The schema cookie before: a swap makes it one more.
        cookie: i64,
        page_size: i64,
    },
    /// Files changed places.
    Files {
        old: Option<Inode>,
        new: Option<Inode>,
        /// The old one had a write-ahead log, that was folded in.
        wal: bool,
    },
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inode {
    dev: u64,
    number: u64,
    /// When it was made, where the file system tells, in nanoseconds: the number of a removed file is soon given to
    /// another one.
    born: Option<u64>,
}

impl Inode {
    /// Of the file at `path`, if there is one.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>> {
        match path.symlink_metadata() {
            Ok(meta) => Ok(Some(Self { dev: meta.dev(), number: meta.ino(), born: born(&meta) })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_failed("can't look at a file", path)(error)),
        }
    }
}

fn born(meta: &std::fs::Metadata) -> Option<u64> {
    let since = meta.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

impl Mark {
    /// Reads it, if there is one.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_failed("can't read how far a swap got", path)(error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::stuck("the mark of a swap is not readable, so it can't be said whether it happened")
                .with_context("file", path.display())
                .with_source(error)
                .with_hint("look at the database: if it is as before the restore, remove that file and recover again")
        })
    }

    /// Writes it to disk, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let draft = draft(path);
        let fault = || io_failed("can't note how far the swap has come", path);
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Error::defect("a mark is no JSON").with_source(error))?;
        let mut file = create(&draft)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(fault())?;
        std::fs::rename(&draft, path).map_err(fault())?;
        sync_folder(path)
    }

    /// Writes how far it is now.
    pub(crate) fn reach(&mut self, reached: Reached, path: &Path) -> Result<()> {
        self.reached = reached;
        self.write(path)
    }

    /// Takes it away: the live state is again what it was before.
    pub(crate) fn remove(path: &Path) -> Result<()> {
        remove(&draft(path))?;
        match path.exists() {
            true => remove(path).and_then(|()| sync_folder(path)),
            false => Ok(()),
        }
    }
}

fn draft(path: &Path) -> std::path::PathBuf {
    suffixed(path, ".new")
}
