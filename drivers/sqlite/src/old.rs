//! The old state: copied aside before the swap, and watched until then.

use std::path::{Path, PathBuf};

use dumprestore_driver::Result;
use rusqlite::Connection;

use crate::fault::{failed, io_failed};
use crate::image::{self, Route, View};
use crate::mark::Swap;
use crate::open::{self, Patience};
use crate::place::Names;
use crate::profile::Journal;

/// A connection to the live database that has copied it, and can tell whether it has changed since.
pub(crate) struct Old {
    pub(crate) conn: Connection,
    path: PathBuf,
    route: Option<Route>,
    patience: Patience,
    /// What this connection calls the state that it copied. Not comparable with what another one says.
    version: i64,
    pub(crate) cookie: i64,
    pub(crate) page_size: i64,
    pub(crate) journal: Journal,
}

impl Old {
    /// Copies the live database aside. In WAL mode nobody waits; with a rollback journal writers wait for the copy.
    pub(crate) fn copy(
        path: &Path,
        names: &Names,
        route: Option<Route>,
        patience: &Patience,
    ) -> Result<Self> {
        let conn = open::live(path, patience)?;
        let mut old = Self {
            conn,
            path: path.to_owned(),
            route,
            patience: patience.clone(),
            version: 0,
            cookie: 0,
            page_size: 0,
            journal: Journal::Rollback,
        };
        old.copy_again(names)?;
        Ok(old)
    }

    /// Copies it once more, over the copy that is outdated.
    pub(crate) fn copy_again(&mut self, names: &Names) -> Result<()> {
        open::begin_read(&self.conn, &self.path, &self.patience)?;
        self.note().map_err(failed("can't read the state of the live database", &self.path))?;
        let route = self.route.unwrap_or_else(|| Route::of(&self.conn));
        let view = View { conn: &self.conn, path: &self.path, route, cancel: &self.patience.cancel };
        view.save(&names.partial)?;
        open::end_read(&self.conn, &self.path)?;
        image::sync(&names.partial)?;
        std::fs::rename(&names.partial, &names.previous)
            .map_err(io_failed("can't name the copy of the old state", &names.previous))?;
        image::sync_folder(&names.previous)
    }

    fn note(&mut self) -> rusqlite::Result<()> {
        self.version = open::number(&self.conn, "data_version")?;
        self.cookie = open::number(&self.conn, "schema_version")?;
        self.page_size = open::number(&self.conn, "page_size")?;
        self.journal = Journal::of(&self.conn)?;
        Ok(())
    }

    /// Whether the copy is still what the live database holds.
    pub(crate) fn is_current(&self) -> Result<bool> {
        let version = open::number(&self.conn, "data_version");
        version
            .map(|version| version == self.version)
            .map_err(failed("can't see whether the live database has changed", &self.path))
    }

    /// How the copied state is told from the one that replaces it.
    pub(crate) fn swap(&self) -> Swap {
        Swap::Pages { cookie: self.cookie, page_size: self.page_size }
    }
}
