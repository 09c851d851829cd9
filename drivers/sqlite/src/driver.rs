//! The driver: what the engine asks before a run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dumprestore_driver::{
    ArchivedNode, Capabilities, Changes, Driver, DriverConfig, Formats, Inspection, Lanes, Linked,
    OpenContext, Result, Source, StageContext, Staging, Token, Undo, View, async_trait,
};

use crate::config::SqliteConfig;
use crate::entry::{Entry, Kept};
use crate::fault::blocking;
use crate::image::Route;
use crate::restore::{Origin, Restore};
use crate::selection::Selection;
use crate::snapshot::Snapshot;
use crate::{changes, inspect, keys, lookup, restore};

/// The format of the one part: a database file.
const FORMATS: Formats = Formats::only(1);

/// What the configuration says.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) path: PathBuf,
    pub(crate) selection: Selection,
    pub(crate) busy_timeout: Duration,
    /// The way that pages are read, if not the best one.
    pub(crate) route: Option<Route>,
}

/// What other nodes expect of this one, as far as the engine has asked: looked at when the database is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    pub(crate) keys: Vec<String>,
    pub(crate) within: Vec<String>,
}

/// A SQLite database.
pub(crate) struct SqliteDriver {
    setup: Setup,
    declared: Mutex<Declared>,
}

impl SqliteDriver {
    pub(crate) fn new(
        path: PathBuf,
        selection: Selection,
        busy_timeout: Duration,
        route: Option<Route>,
    ) -> Self {
        Self { setup: Setup { path, selection, busy_timeout, route }, declared: Mutex::default() }
    }

    fn declare(&self, note: impl FnOnce(&mut Declared)) {
        note(&mut self.declared.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A driver may be asked more than once.
fn add(list: &mut Vec<String>, one: String) {
    if !list.contains(&one) {
        list.push(one);
    }
}

#[async_trait]
impl Driver for SqliteDriver {
    fn kind(&self) -> &'static str {
        SqliteConfig::KIND
    }

    fn formats(&self) -> Formats {
        FORMATS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
            .with_view(View::Pinned)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::One)
            .with_linked(Linked { referrer: true, referent: true })
    }

    fn target(&self) -> String {
        self.setup.path.display().to_string()
    }

    fn check_keys(&self, keys: &serde_json::Value) -> Result<()> {
        let query = keys::query_of(keys)?.to_owned();
        self.declare(|declared| add(&mut declared.keys, query));
        Ok(())
    }

    fn check_within(&self, within: Option<&str>) -> Result<()> {
        let within = lookup::check_within(within)?.to_owned();
        self.declare(|declared| add(&mut declared.within, within));
        Ok(())
    }

    async fn inspect(&self) -> Result<Inspection> {
        let setup = self.setup.clone();
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        blocking(move || inspect::inspect(&setup, &declared)).await
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Snapshot::new(self.setup.clone(), cx)))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        FORMATS.check(SqliteConfig::KIND, &*archived)?;
        let (setup, extras) = (self.setup.clone(), cx.extras);
        blocking(move || {
            // What `stage` will refuse must not look fine in a plan.
            changes::check_extras(&setup, &*archived, extras)?;
            changes::changes(&setup, &*archived)
        })
        .await
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        FORMATS.check(SqliteConfig::KIND, &*archived)?;
        let setup = self.setup.clone();
        let restore = blocking(move || {
            changes::check_extras(&setup, &*archived, cx.extras)?;
            let expected = restore::Expected::of(&*archived)?;
            let entry = Entry::of_archive(&setup.path, &cx.run, archived.facts())?;
            Ok(Restore::new(&setup, entry, Origin::Planned, cx, Some(expected)))
        });
        Ok(Box::new(restore.await?))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let (kept, setup) = (Kept::parse(kept)?, self.setup.clone());
        let restore = blocking(move || {
            let entry = Entry::of_kept(&setup.path, &cx.run, kept)?;
            Ok(Restore::new(&setup, entry, Origin::Planned, cx, None))
        });
        Ok(Box::new(restore.await?))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        let kept = Kept::parse(kept)?;
        blocking(move || kept.discard()).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Restore::new(&self.setup, Entry::parse(token)?, Origin::Resumed, cx, None)))
    }
}
