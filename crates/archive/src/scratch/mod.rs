//! What grows with the number of parts: kept in memory while it is little, then in files without a name.

mod sorted;
mod spool;
mod table;

pub(crate) use sorted::{Sorted, Sorter};
pub(crate) use spool::{Spool, SpoolReader};
pub(crate) use table::Table;

use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder for files without a name, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch(Option<Arc<Path>>);

impl Scratch {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder.map(Into::into))
    }

    /// A file that is gone when it is closed, or when the process ends. None if there is no folder, or one that takes
    /// no file: then memory has to do.
    fn file(&self) -> Option<File> {
        self.0.as_ref().and_then(|folder| tempfile::tempfile_in(folder).ok())
    }
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        Error::io(format!("{doing} a scratch file"), error).of_kind(ErrorKind::Scratch).hint(
            "make room for scratch files, and run it again: they go to `TMPDIR` when an archive is read, and to \
             `state` when one is written",
        )
    }
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at).map_err(failed("writing"))
}

fn read_at(file: &File, bytes: &mut [u8], at: u64) -> Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at).map_err(failed("reading"))
}
