//! The driver: what the engine asks before a run.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Driver, DriverConfig, Formats, Inspection, Lanes,
    Linked, OpenContext, Partial, Placement, Result, Selection, Source, StageContext, Staging, Token, Undo,
    View, async_trait,
};

use crate::config::{PostgresConfig, Setup};
use crate::dump::Snapshot;
use crate::export;
use crate::inspect::{self, Declared};
use crate::links;
use crate::restore::{self, InPlace, Restore};

/// The format of the parts: see `archived/`.
const FORMATS: Formats = Formats::only(1);

impl DriverConfig for PostgresConfig {
    const KIND: &'static str = "postgres";
    const ABOUT: &'static str = "a PostgreSQL database, live";
    const TARGET: Option<&'static str> = Some("url");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        let setup = self.setup(cx)?;
        Ok(Arc::new(PostgresDriver { setup, declared: Mutex::default() }))
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

/// A PostgreSQL database.
struct PostgresDriver {
    setup: Setup,
    declared: Mutex<Declared>,
}

impl PostgresDriver {
    fn declared(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Driver for PostgresDriver {
    fn kind(&self) -> &'static str {
        PostgresConfig::KIND
    }

    fn formats(&self) -> Formats {
        FORMATS
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
            .with_view(View::Pinned)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::Many)
            .with_in_place(dumprestore_driver::InPlace::Yes { undo: Undo::BeforeCommit, lanes: Lanes::One })
            .with_partial(Partial::SchemaOrData(Placement::InPlace))
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
        FORMATS.check(PostgresConfig::KIND, &*archived)?;
        match cx.placement {
            Placement::Beside => restore::changes(&self.setup, archived, cx).await,
            Placement::InPlace => InPlace::changes(&self.setup, archived, cx).await,
        }
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        FORMATS.check(PostgresConfig::KIND, &*archived)?;
        Ok(match cx.placement {
            Placement::Beside => Box::new(Restore::of_archive(&self.setup, archived, cx).await?),
            Placement::InPlace => Box::new(InPlace::of_archive(&self.setup, archived, cx)),
        })
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Restore::of_kept(&self.setup, kept, cx)?))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        restore::discard(&self.setup, kept).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(match InPlace::of_token(&self.setup, token, cx.clone())? {
            Some(in_place) => Box::new(in_place),
            None => Box::new(Restore::of_token(&self.setup, token, cx)?),
        })
    }
}
