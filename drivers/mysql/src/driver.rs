//! The driver: what the engine asks before a run.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Driver, DriverConfig, Formats, Inspection, Lanes,
    Linked, OpenContext, Partial, Placement, Result, Selection, Source, StageContext, Staging, Token, Undo,
    View, async_trait,
};

use crate::config::{MysqlConfig, Setup};
use crate::dump::Snapshot;
use crate::export;
use crate::inspect::{self, Declared};
use crate::links;
use crate::restore::{self, Restore};

/// The format of the parts: see `archived/`.
const FORMATS: Formats = Formats::only(1);

impl DriverConfig for MysqlConfig {
    const KIND: &'static str = "mysql";
    const ABOUT: &'static str = "a MySQL or MariaDB database, live";
    const TARGET: Option<&'static str> = Some("url");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        let setup = self.setup(cx)?;
        Ok(Arc::new(MysqlDriver { setup, declared: Mutex::default() }))
    }

    fn export_sql(
        archived: &dyn ArchivedNode,
        selection: &Selection,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
        FORMATS.check(Self::KIND, archived)?;
        export::export(archived, selection, out)
    }
}

/// A MySQL or MariaDB database.
struct MysqlDriver {
    setup: Setup,
    declared: Mutex<Declared>,
}

impl MysqlDriver {
    fn declared(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Driver for MysqlDriver {
    fn kind(&self) -> &'static str {
        MysqlConfig::KIND
    }

    fn formats(&self) -> Formats {
        FORMATS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
            .with_view(View::Pinned)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::Many)
            .with_partial(Partial::SchemaOrData(Placement::Beside))
            .with_linked(Linked { referrer: true, referent: true })
    }

    fn target(&self) -> String {
        self.setup.target.to_string()
    }

    fn check_keys(&self, keys: &serde_json::Value) -> Result<()> {
        self.declared().note_keys(links::query_of(keys)?);
        Ok(())
    }

    fn check_within(&self, within: Option<&str>) -> Result<()> {
        self.declared().note_within(links::check_within(within)?);
        Ok(())
    }

    async fn inspect(&self) -> Result<Inspection> {
        let declared = self.declared().clone();
        inspect::inspect(&self.setup, &declared).await
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Snapshot::new(self.setup.clone(), cx)))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        FORMATS.check(MysqlConfig::KIND, &*archived)?;
        restore::changes(&self.setup, archived, cx).await
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        FORMATS.check(MysqlConfig::KIND, &*archived)?;
        Ok(Box::new(Restore::of_archive(&self.setup, archived, cx).await?))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Restore::of_kept(&self.setup, kept, cx)?))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        restore::discard(&self.setup, kept).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Restore::of_token(&self.setup, token, cx)?))
    }
}
