//! A driver whose every call is a moment at which something can happen.

use std::sync::Arc;

use async_trait::async_trait;
use dumprestore::driver::{
    ArchivedNode, ArchivedPart, Capabilities, Changes, CutContext, Driver, Dumped, Edge, Facts, Formats,
    Inspection, KeySink, LedgerEntry, Links, OldState, OpenContext, Part, PartReader, PartStream, PartWriter,
    Reference, Result, Secret, Source, StageContext, Staging, Token, Unresolved,
};
use dumprestore_testkit::Faulty;

/// The same driver, under the eyes of `faults`: before and after each of its calls there is a moment.
pub fn watch(driver: Arc<dyn Driver>, faults: &Arc<Faulty>) -> Arc<dyn Driver> {
    Arc::new(Watched { inner: driver, faults: faults.clone(), ledger: Vec::new() })
}

/// The same driver, whose dumps are degraded: `what` could not be read, it says.
pub fn degrade(driver: Arc<dyn Driver>, what: &str) -> Arc<dyn Driver> {
    let ledger = vec![LedgerEntry::degrading(what, "it can't be read")];
    Arc::new(Watched { inner: driver, faults: Arc::new(Faulty::never()), ledger })
}

struct Watched<T> {
    inner: T,
    faults: Arc<Faulty>,
    ledger: Vec<LedgerEntry>,
}

/// A moment, the call, and another moment.
macro_rules! moments {
    ($self:ident, $name:literal, $call:expr) => {{
        $self.faults.before(concat!("before ", $name))?;
        let answer = $call;
        $self.faults.before(concat!("after ", $name))?;
        answer
    }};
}

impl Watched<Arc<dyn Driver>> {
    fn source(&self, inner: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(Watched { inner, faults: self.faults.clone(), ledger: self.ledger.clone() })
    }

    fn staging(&self, inner: Box<dyn Staging>) -> Box<dyn Staging> {
        Box::new(Watched { inner, faults: self.faults.clone(), ledger: Vec::new() })
    }
}

#[async_trait]
impl Driver for Watched<Arc<dyn Driver>> {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn formats(&self) -> Formats {
        self.inner.formats()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn target(&self) -> String {
        self.inner.target()
    }

    fn check_keys(&self, keys: &serde_json::Value) -> Result<()> {
        self.inner.check_keys(keys)
    }

    fn check_within(&self, within: Option<&str>) -> Result<()> {
        self.inner.check_within(within)
    }

    async fn inspect(&self) -> Result<Inspection> {
        moments!(self, "inspect", self.inner.inspect().await)
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        let inner = moments!(self, "open", self.inner.open(cx).await)?;
        Ok(self.source(inner))
    }

    async fn thaw(&self) -> Result<()> {
        self.inner.thaw().await
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        self.inner.changes(archived, cx).await
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        let inner = moments!(self, "stage", self.inner.stage(archived, cx).await)?;
        Ok(self.staging(inner))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let inner = moments!(self, "stage_previous", self.inner.stage_previous(kept, cx).await)?;
        Ok(self.staging(inner))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        self.inner.discard_previous(kept).await
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let inner = moments!(self, "resume", self.inner.resume(token, cx).await)?;
        Ok(self.staging(inner))
    }
}

#[async_trait]
impl Links for Watched<Box<dyn Source>> {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        moments!(self, "references", self.inner.references(edge, keys).await)
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        moments!(self, "resolve", self.inner.resolve(within, references).await)
    }
}

#[async_trait]
impl Source for Watched<Box<dyn Source>> {
    async fn capture(&mut self) -> Result<PartStream> {
        moments!(self, "capture", self.inner.capture().await)
    }

    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        moments!(self, "pin", self.inner.pin(cut).await)
    }

    async fn unlock(&mut self) -> Result<()> {
        moments!(self, "unlock", self.inner.unlock().await)
    }

    async fn unpin(&mut self) -> Result<()> {
        moments!(self, "unpin", self.inner.unpin().await)
    }

    fn facts(&self) -> Facts {
        self.inner.facts()
    }

    async fn parts(&mut self) -> Result<PartStream> {
        moments!(self, "parts", self.inner.parts().await)
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        moments!(self, "dump", self.inner.dump(part, out).await)
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.inner.ledger().into_iter().chain(self.ledger.clone()).collect()
    }

    async fn release(&mut self) -> Result<()> {
        moments!(self, "release", self.inner.release().await)
    }
}

#[async_trait]
impl Links for Watched<Box<dyn Staging>> {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        moments!(self, "staged references", self.inner.references(edge, keys).await)
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        moments!(self, "staged resolve", self.inner.resolve(within, references).await)
    }
}

#[async_trait]
impl Staging for Watched<Box<dyn Staging>> {
    fn journal(&self) -> Token {
        self.inner.journal()
    }

    async fn begin(&mut self) -> Result<()> {
        moments!(self, "begin", self.inner.begin().await)
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        self.inner.wants(part)
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        moments!(self, "load", self.inner.load(part, from).await)
    }

    async fn prepare(&mut self) -> Result<()> {
        moments!(self, "prepare", self.inner.prepare().await)
    }

    fn address(&self) -> Option<Secret> {
        self.inner.address()
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.inner.ledger()
    }

    async fn took_effect(&mut self) -> Result<Option<bool>> {
        moments!(self, "took_effect", self.inner.took_effect().await)
    }

    async fn commit(&mut self) -> Result<()> {
        moments!(self, "commit", self.inner.commit().await)
    }

    async fn rollback(&mut self) -> Result<()> {
        moments!(self, "rollback", self.inner.rollback().await)
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        moments!(self, "finish", self.inner.finish(old).await)
    }
}
