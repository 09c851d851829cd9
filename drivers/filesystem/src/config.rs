//! The options of a `filesystem` node.

use std::path::PathBuf;
use std::sync::Arc;

use dumprestore_driver::{BuildContext, Driver, DriverConfig, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::driver::Filesystem;
use crate::filter::Filter;

/// A folder with everything in it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FilesystemConfig {
    /// The folder. It may be a symbolic link to one; links below it are dumped as links.
    pub path: PathBuf,
    /// Only what matches one of these patterns, and what lies below a folder that does. `*.jpg` is a name at any
    /// depth, `a/*.jpg` a path from the top, `**` crosses folders.
    #[serde(default)]
    pub include: Vec<String>,
    /// Not what matches one of these patterns, nor what lies below it. A restore leaves it where it is.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether to leave out what is mounted below the folder.
    #[serde(default = "yes")]
    pub one_file_system: bool,
    /// What a restore swaps.
    #[serde(default)]
    pub swap: Swap,
}

fn yes() -> bool {
    true
}

/// What a restore swaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Swap {
    /// The folder itself, in one atomic step. A process that holds it open (as its working folder, or as a bind
    /// mount in a container) goes on seeing the old one.
    #[default]
    Folder,
    /// What is in the folder, entry by entry, so that the folder stays the same one. A mount point is always
    /// restored so.
    Children,
}

impl FilesystemConfig {
    /// The options with all but the path as they are by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            include: Vec::new(),
            exclude: Vec::new(),
            one_file_system: true,
            swap: Swap::default(),
        }
    }
}

impl DriverConfig for FilesystemConfig {
    const KIND: &'static str = "filesystem";
    const ABOUT: &'static str = "a folder: files, folders, links, owners, modes, times, attributes";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::config("`path` is empty").with_hint("name the folder"));
        }
        // It is not shown: a URL that was put here by mistake may hold a password.
        if self.path.to_string_lossy().contains("://") {
            return Err(
                Error::config("`path` is a URL, and must be a folder").with_hint("name a local folder")
            );
        }
        let filter = Filter::new(&self.include, &self.exclude)?;
        let path = cx.path(&self.path);
        Ok(Arc::new(Filesystem::new(path, filter, self.one_file_system, self.swap)))
    }
}
