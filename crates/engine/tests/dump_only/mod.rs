//! Drivers of tests that are only dumped.

use std::sync::Arc;

use dumprestore::driver::{
    ArchivedNode, Capabilities, Changes, Driver, Error, Formats, Inspection, Lanes, Linked, OpenContext,
    Result, Source, StageContext, Staging, Token, View, async_trait,
};

/// Opens a clone of its source for each dump.
pub(crate) struct DumpOnly<S> {
    kind: &'static str,
    view: View,
    source: S,
}

impl<S> DumpOnly<S> {
    pub(crate) fn new(kind: &'static str, view: View, source: S) -> Arc<Self> {
        Arc::new(Self { kind, view, source })
    }
}

#[async_trait]
impl<S: Source + Clone + 'static> Driver for DumpOnly<S> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        let linked = Linked { referrer: true, referent: true };
        Capabilities::streamed().with_view(self.view).with_lanes(Lanes::Many).with_linked(linked)
    }

    fn target(&self) -> String {
        self.kind.to_owned()
    }

    fn check_keys(&self, _keys: &serde_json::Value) -> Result<()> {
        Ok(())
    }

    async fn inspect(&self) -> Result<Inspection> {
        Ok(Inspection::default())
    }

    async fn open(&self, _cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.source.clone()))
    }

    async fn changes(&self, _: Arc<dyn ArchivedNode>, _: &StageContext) -> Result<Changes> {
        Err(Error::unsupported("it is only dumped"))
    }

    async fn stage(&self, _: Arc<dyn ArchivedNode>, _: StageContext) -> Result<Box<dyn Staging>> {
        Err(Error::unsupported("it is only dumped"))
    }

    async fn resume(&self, _: &Token, _: StageContext) -> Result<Box<dyn Staging>> {
        Err(Error::unsupported("it is only dumped"))
    }
}
