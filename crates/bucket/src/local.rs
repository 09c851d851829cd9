//! Folders of this machine as stores.

use std::io;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};
use opendal::Operator;
use opendal::services::Fs;

/// A folder that is a store.
pub(crate) struct Folder {
    /// Where files are written until they are whole, if anything can be written.
    partial: Option<PathBuf>,
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
        let can_write = match std::fs::create_dir(&partial) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
        };
        Ok(Self { partial: can_write.then_some(partial) })
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
}
