//! A copy in a local folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dumprestore_archive::{Existing, FileOutput, Output, RangeRead};
use dumprestore_driver::{Cancel, Error, ErrorKind, Result};

use super::check::{Checked, Written};
use super::lane::Copying;
use super::pace::Pace;

pub(crate) struct LocalCopy {
    file: Box<FileOutput>,
    path: PathBuf,
    /// How fast it may be written, where nothing else of the archive is on its way.
    pace: Option<Pace>,
    cancel: Cancel,
}

impl LocalCopy {
    pub(crate) fn create(
        path: &Path,
        existing: Existing,
        pace: Option<Pace>,
        cancel: Cancel,
    ) -> Result<Self> {
        let file = FileOutput::create(path, existing).map_err(|error| failed(error, path))?;
        Ok(Self { file: Box::new(file), path: path.to_owned(), pace, cancel })
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

/// Removes what was published and is not what was written: under its name it would be taken for an archive.
fn take_back(why: Error, path: &Path) -> Error {
    match std::fs::remove_file(path) {
        Ok(()) => why,
        Err(error) => why
            .with_context("still there", path.display())
            .with_hint(format!("remove the file, it can't be trusted; that failed here: {error}")),
    }
}

impl Copying for LocalCopy {
    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn write(&mut self, block: Bytes) -> Result<()> {
        if let Some(pace) = &self.pace {
            pace.wait(block.len() as u64, &self.cancel)?;
        }
        let wrote = self.file.write_all(&block);
        wrote.map_err(|error| {
            Error::io("can't write the archive", error).with_context("file", self.path.display())
        })
    }

    fn publish(self: Box<Self>, written: &Written) -> Result<Checked> {
        let Self { file, path, .. } = *self;
        file.publish().map_err(|error| failed(error, &path))?;
        let opened = File::open(&path).map(|file| Arc::new(file) as Arc<dyn RangeRead>);
        let opened = opened.map_err(|error| Error::io("can't look at the archive", error));
        match opened.and_then(|file| written.compare(file)) {
            Err(error) if error.kind() == ErrorKind::Archive => Err(take_back(error, &path)),
            checked => Ok(checked.unwrap_or_else(Checked::Unknown)),
        }
    }

    fn abort(self: Box<Self>) {
        self.file.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Content;

    #[test]
    fn a_file_that_is_not_what_was_written_is_a_failure_and_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.zip");
        for (tail, stays) in [("ten", true), ("end", false)] {
            let mut copy =
                Box::new(LocalCopy::create(&path, Existing::Replace, None, Cancel::default()).unwrap());
            copy.write(Bytes::from_static(b"written")).unwrap();
            let written =
                Written { bytes: 7, tail: Bytes::from_static(tail.as_bytes()), content: Content::Sealed };
            assert_eq!((copy.publish(&written).is_ok(), path.exists()), (stays, stays), "{tail}");
        }
    }
}
