//! A copy in a local folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dumprestore_archive::{Existing, FileOutput, Output, RangeRead};
use dumprestore_driver::{Error, Result};

use super::check::{Checked, Written};
use super::lane::Copying;

pub(crate) struct LocalCopy {
    file: Box<FileOutput>,
    path: PathBuf,
}

impl LocalCopy {
    pub(crate) fn create(path: &Path, existing: Existing) -> Result<Self> {
        let file = FileOutput::create(path, existing).map_err(|error| failed(error, path))?;
        Ok(Self { file: Box::new(file), path: path.to_owned() })
    }

    /// Where the bytes go before it is published.
    pub(crate) fn partial_path(&self) -> &Path {
        self.file.partial_path()
    }
}

fn failed(error: dumprestore_archive::Error, path: &Path) -> Error {
    let made = Error::environment(error.to_string()).with_context("file", path.display());
    match error.hint_text() {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

impl Copying for LocalCopy {
    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn write(&mut self, block: Bytes) -> Result<()> {
        let wrote = self.file.write_all(&block);
        wrote.map_err(|error| {
            Error::io("can't write the archive", error).with_context("file", self.path.display())
        })
    }

    fn publish(self: Box<Self>, written: &Written) -> Result<Checked> {
        let Self { file, path } = *self;
        file.publish().map_err(|error| failed(error, &path))?;
        let opened = File::open(&path).map(|file| Arc::new(file) as Arc<dyn RangeRead>);
        let opened = opened.map_err(|error| Error::io("can't look at the archive", error));
        Ok(match opened {
            Ok(file) => written.compare(file).unwrap_or_else(Checked::Unknown),
            Err(error) => Checked::Unknown(error),
        })
    }

    fn abort(self: Box<Self>) {
        self.file.abort();
    }
}
