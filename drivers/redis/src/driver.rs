//! The driver: what the engine asks before a run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Driver, DriverConfig, Formats, Inspection, Lanes,
    Linked, OpenContext, Partial, Placement, Result, Source, StageContext, Staging, Token, Undo, View,
    async_trait,
};

use crate::config::{Mode, RedisConfig, Setup};
use crate::dump::Snapshot;
use crate::inspect;
use crate::links::Declared;
use crate::restore::{self, Neighbour, Restore};

/// The format of the part: an RDB file, as servers write it.
const FORMATS: Formats = Formats::only(1);

impl DriverConfig for RedisConfig {
    const KIND: &'static str = "redis";
    const ABOUT: &'static str = "databases of a Redis or Valkey server, live";
    const TARGET: Option<&'static str> = Some("url");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(RedisDriver {
            setup: self.setup(cx)?,
            declared: Mutex::default(),
            planned: Mutex::default(),
        }))
    }
}

/// Databases of a server.
struct RedisDriver {
    setup: Setup,
    /// What the engine has asked about: it must be known before the data are read.
    declared: Mutex<Declared>,
    /// What the last plan counted on: the restore that follows finds it so.
    planned: Mutex<Option<Neighbour>>,
}

impl RedisDriver {
    fn declared(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Driver for RedisDriver {
    fn kind(&self) -> &'static str {
        RedisConfig::KIND
    }

    fn formats(&self) -> Formats {
        FORMATS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
            .with_view(match self.setup.mode {
                Mode::Replication => View::Once,
                Mode::Scan => View::Streamed,
            })
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::One)
            .with_partial(Partial::Things(Placement::Beside))
            .with_linked(Linked { referrer: true, referent: true })
    }

    fn target(&self) -> String {
        self.setup.target.to_string()
    }

    fn check_keys(&self, keys: &serde_json::Value) -> Result<()> {
        self.declared().note_keys(keys)
    }

    fn check_within(&self, within: Option<&str>) -> Result<()> {
        self.declared().note_within(within)
    }

    async fn inspect(&self) -> Result<Inspection> {
        inspect::inspect(&self.setup).await
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        let declared = self.declared().clone();
        Ok(Box::new(Snapshot::open(self.setup.clone(), cx, declared).await?))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        FORMATS.check(RedisConfig::KIND, &*archived)?;
        let (changes, neighbour) = restore::changes(&self.setup, archived, cx).await?;
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some(neighbour);
        Ok(changes)
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        FORMATS.check(RedisConfig::KIND, &*archived)?;
        Ok(Box::new(Restore::of_archive(&self.setup, archived, cx).await?))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Restore::of_kept(&self.setup, kept, cx).await?))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        restore::discard(&self.setup, kept).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Restore::of_token(&self.setup, token, cx)?))
    }
}
