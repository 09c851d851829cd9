//! The options of a `sqlite` node.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{BuildContext, Driver, DriverConfig, Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::driver::SqliteDriver;
use crate::image::Route;
use crate::selection::Selection;

/// A SQLite database in a file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The database file. Relative to the folder of the configuration.
    pub path: PathBuf,
    /// Tables to leave out, with their definition. Names, or patterns with `*` and `?`. A pattern that fits no table
    /// is an error.
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// Tables to dump without their rows. Names, or patterns with `*` and `?`. A pattern that fits no table is an
    /// error.
    #[serde(default)]
    pub exclude_data: Vec<String>,
    /// How many seconds to wait for another program's lock on the database.
    #[serde(default = "default_busy_timeout")]
    #[schemars(range(min = 0, max = 86400))]
    pub busy_timeout: u32,
    #[serde(skip)]
    #[schemars(skip)]
    spool: bool,
}

const LONGEST_BUSY_TIMEOUT: u32 = 86_400;

fn default_busy_timeout() -> u32 {
    30
}

impl SqliteConfig {
    /// The database in that file, whole.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            exclude_tables: Vec::new(),
            exclude_data: Vec::new(),
            busy_timeout: default_busy_timeout(),
            spool: false,
        }
    }

    /// As if SQLite had been built without its page table: for tests of the way that is then taken.
    #[doc(hidden)]
    pub fn without_page_table(mut self) -> Self {
        self.spool = true;
        self
    }
}

impl DriverConfig for SqliteConfig {
    const KIND: &'static str = "sqlite";
    const ABOUT: &'static str = "a SQLite database file, live";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        check_path(&self.path)?;
        if self.busy_timeout > LONGEST_BUSY_TIMEOUT {
            return Err(Error::config("`busy_timeout` is too long")
                .with_context("seconds", self.busy_timeout)
                .with_hint("at most 86400: a day"));
        }
        Ok(Arc::new(SqliteDriver::new(
            cx.path(&self.path),
            Selection::of(&self.exclude_tables, &self.exclude_data),
            Duration::from_secs(u64::from(self.busy_timeout)),
            self.spool.then_some(Route::Spool),
        )))
    }
}

fn check_path(path: &Path) -> Result<()> {
    let refuse = |why: &str, hint: &str| {
        Err(Error::config(why).with_context("path", path.display()).with_hint(hint.to_owned()))
    };
    let text = path.to_string_lossy();
    if text.is_empty() {
        return refuse(
            "`path` is empty: SQLite would make a temporary database of it",
            "name the database file",
        );
    }
    if text.starts_with(":memory:") || text.starts_with("file::memory:") {
        return refuse(
            "a database in memory lives in one connection of its program, and nobody else can read it",
            "dump from within that program, or let it keep its data in a file",
        );
    }
    if text.starts_with("file:") {
        return refuse(
            "`path` is a URI, and its options would change what is read",
            "give the plain path of the file",
        );
    }
    if text.contains("://") {
        // It is not shown: a URL that was put here by mistake may hold a password.
        return Err(
            Error::config("`path` is a URL, and must be a database file").with_hint("name the local file")
        );
    }
    if text.ends_with('/') {
        return refuse("`path` is a folder, not a database file", "name the database file");
    }
    Ok(())
}
