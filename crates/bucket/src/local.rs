//! Folders of this machine as stores.

use std::io;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};
use opendal::Operator;
use opendal::services::Fs;

use crate::s3::UnfinishedUpload;

/// A folder that is a store.
pub(crate) struct Folder {
    /// Where files are written until they are whole, if anything can be written.
    partial: Option<PathBuf>,
    made: bool,
}

/// What only looked leaves nothing behind. Whoever else writes makes it again.
impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(partial) = self.partial.as_ref().filter(|_| self.made) {
            // With something in it, it stays.
            let _empty = std::fs::remove_dir(partial);
        }
    }
}

/// The folder in which files of a folder are written until they are whole: within it, so that a rename can't lead to
/// another file system. Listings show it.
pub const PARTIAL_FOLDER: &str = ".dumprestore-partial";

impl Folder {
    /// That folder, which has to be there: whatever should be mounted in its place might not be.
    ///
    /// # Errors
    /// If it isn't.
    pub(crate) fn new(path: &str) -> Result<Self> {
        let path = Path::new(path);
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Error::config("a store is no folder").with_context("path", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::config("there is no such folder")
                    .with_context("path", path.display())
                    .with_hint("make it, or mount what belongs there"));
            }
            Err(error) => {
                return Err(Error::io("can't look at a folder", error).with_context("path", path.display()));
            }
        }
        let partial = path.join(PARTIAL_FOLDER);
        let made = std::fs::create_dir(&partial);
        let is_there = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        let can_write = made.as_ref().map_or_else(is_there, |()| true);
        Ok(Self { partial: can_write.then_some(partial), made: made.is_ok() })
    }

    /// An operator whose root is that absolute path.
    pub(crate) fn operator(&self, root: &str) -> Result<Operator> {
        let mut builder = Fs::default().root(root);
        if let Some(partial) = &self.partial {
            builder = builder.atomic_write_dir(&partial.to_string_lossy());
        }
        Operator::new(builder).map_err(|error| {
            Error::environment(format!("can't use a folder as a store: {}", error.message()))
                .with_context("path", root)
        })
    }

    /// What a killed process left of files that it was writing. To which prefix each belongs is not known.
    pub(crate) async fn unfinished(&self) -> Result<Vec<UnfinishedUpload>> {
        let Some(partial) = self.partial.clone() else { return Ok(Vec::new()) };
        let shown = partial.display().to_string();
        let failed = |error| Error::io("can't list unfinished files", error).with_context("path", &shown);
        blocking(move || leftovers(&partial)).await.map_err(failed)
    }

    /// Removes one of these. If it is gone already, all is well.
    pub(crate) async fn remove_unfinished(&self, name: &str) -> Result<()> {
        let Some(partial) = self.partial.clone().filter(|_| !name.contains('/') && name != "..") else {
            return Ok(());
        };
        let path = partial.join(name);
        let shown = path.display().to_string();
        let failed = |error| Error::io("can't remove an unfinished file", error).with_context("path", &shown);
        let removed = blocking(move || match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        });
        removed.await.map_err(failed)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn leftovers(partial: &Path) -> io::Result<Vec<UnfinishedUpload>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Names of ours are text, and end with a dot and letters by chance.
        let Ok(id) = entry.file_name().into_string() else { continue };
        let key = id.rsplit_once('.').map_or(id.as_str(), |(key, _)| key).to_owned();
        match entry.metadata() {
            Ok(about) if about.is_file() => {
                found.push(UnfinishedUpload { key, id, initiated: about.modified()? });
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(found)
}
