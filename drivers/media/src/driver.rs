//! The driver: what a `media` node can do.

use std::sync::Arc;

use async_trait::async_trait;
use dumprestore_driver::{
    ArchivedNode, Capabilities, Changes, Driver, DriverConfig, Formats, Inspection, Lanes, Linked,
    OpenContext, Partial, Placement, Result, Source, StageContext, Staging, Token, Undo, View,
};

use crate::config::MediaConfig;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::{inspect, restore};

/// The objects below one prefix of one store.
pub(crate) struct Media {
    site: Site,
}

impl Media {
    pub(crate) fn new(site: Site) -> Self {
        Self { site }
    }
}

#[async_trait]
impl Driver for Media {
    fn kind(&self) -> &'static str {
        MediaConfig::KIND
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
            .with_view(View::Captured)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::Many)
            .with_partial(Partial::Things(Placement::Beside))
            .with_linked(Linked { referrer: false, referent: true })
    }

    fn target(&self) -> String {
        self.site.bucket.address()
    }

    async fn inspect(&self) -> Result<Inspection> {
        inspect::look(&self.site).await
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Snapshot::open(self.site.clone(), cx).await?))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        self.formats().check(self.kind(), &*archived)?;
        restore::changes(&self.site, archived, cx).await
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        self.formats().check(self.kind(), &*archived)?;
        restore::stage(&self.site, archived, cx).await
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        restore::stage_previous(&self.site, kept, cx).await
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        restore::discard_previous(&self.site, kept).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        restore::resume(&self.site, token, cx).await
    }
}
