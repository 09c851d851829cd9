//! The restore as the engine sees it.

use std::sync::Arc;

use async_trait::async_trait;
use dumprestore_driver::{
    ArchivedPart, Error, LedgerEntry, Links, OldState, PartReader, Reference, Result, Staging, Token,
    Unresolved,
};

use super::Restore;
use super::entry::Kept;

#[async_trait]
impl Staging for Restore {
    fn journal(&self) -> Token {
        self.entry.token()
    }

    async fn begin(&mut self) -> Result<()> {
        self.loading = self.work.begin().await?.map(Arc::new);
        Ok(())
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        // The list is read by ourselves.
        self.loading.as_ref().is_some_and(|loading| loading.needed.may_have(&part.name))
    }

    fn keeps_order(&self) -> bool {
        // The list is read beside the parts.
        true
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        match &self.loading {
            Some(loading) => self.work.load(loading, part, from).await,
            None => Err(Error::defect("a part is loaded into a staging that was not begun")),
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        Restore::prepare(self).await
    }

    async fn commit(&mut self) -> Result<()> {
        self.work.commit().await
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.work.tally.entries()
    }

    async fn rollback(&mut self) -> Result<()> {
        self.loading = None;
        self.work.rollback().await
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        let kept = Restore::finish(self, old).await?;
        Ok(kept.as_ref().map(Kept::token))
    }
}

#[async_trait]
impl Links for Restore {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        self.work.unresolved(references).await
    }
}
