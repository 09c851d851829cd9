//! The restore as the engine sees it.

use std::sync::PoisonError;

use dumprestore_driver::{
    ArchivedPart, Edge, KeySink, LedgerEntry, Links, OldState, PartReader, Reference, Result, Staging, Token,
    Unresolved, async_trait,
};

use super::entry::{Kept, Method, Step};
use super::{Restore, aside};

#[async_trait]
impl Links for Restore {
    async fn references(&self, edge: &Edge, found: &mut KeySink<'_>) -> Result<()> {
        self.find_references(edge, found)
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        self.unresolved(within, references)
    }
}

impl Restore {
    /// Does a step where it may block.
    async fn step(&mut self, step: fn(&mut Self) -> Result<()>) -> Result<()> {
        let mut restore = self.clone();
        self.entry = aside(move || step(&mut restore).map(|()| restore.entry)).await?;
        Ok(())
    }
}

#[async_trait]
impl Staging for Restore {
    fn journal(&self) -> Token {
        self.entry.token()
    }

    async fn begin(&mut self) -> Result<()> {
        self.step(|restore| match restore.entry.method {
            Method::Swap => restore.begin(),
            Method::Rename => restore.begin_rename(),
            Method::Cluster => restore.begin_cluster(),
        })
        .await
    }

    fn keeps_order(&self) -> bool {
        true
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        match self.entry.method {
            Method::Cluster => self.load_cluster(part, from),
            _ => Restore::load(self, part, from),
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        self.step(Restore::prepare).await
    }

    async fn commit(&mut self) -> Result<()> {
        self.step(|restore| match restore.entry.method {
            Method::Swap => restore.commit(),
            Method::Rename => restore.commit_rename(),
            Method::Cluster => restore.commit_cluster(),
        })
        .await
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn rollback(&mut self) -> Result<()> {
        let restore = self.clone();
        aside(move || match restore.entry.method {
            Method::Swap => restore.rollback(),
            Method::Rename => restore.rollback_rename(),
            Method::Cluster => restore.rollback_cluster(),
        })
        .await?;
        self.entry.step = Step::Planned;
        Ok(())
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        let restore = self.clone();
        let kept = aside(move || match restore.entry.method {
            Method::Swap => restore.finish(old),
            Method::Rename => restore.finish_rename(old),
            Method::Cluster => restore.finish_cluster(old),
        })
        .await?;
        Ok(kept.as_ref().map(Kept::token))
    }
}
