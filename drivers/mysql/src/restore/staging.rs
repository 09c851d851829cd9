//! The restore as the engine sees it.

use std::sync::PoisonError;

use dumprestore_driver::{
    ArchivedPart, Edge, KeySink, LedgerEntry, Links, OldState, PartReader, Reference, Result, Secret,
    Staging, Token, Unresolved, async_trait,
};

use super::Restore;
use super::entry::{Staged, Step};
use crate::archived::CONTENTS;
use crate::links::{Column, query_of, read_keys};

#[async_trait]
impl Links for Restore {
    async fn references(&self, edge: &Edge, found: &mut KeySink<'_>) -> Result<()> {
        let query = query_of(&edge.keys)?;
        let mut lane = self.lanes.take().await?;
        lane.run("START TRANSACTION READ ONLY").await?;
        read_keys(&mut lane, query, found).await?;
        lane.run("COMMIT").await?;
        self.lanes.give_back(lane);
        Ok(())
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let mut lane = self.lanes.take().await?;
        let column = Column::find(&mut lane, self.source(), within).await?;
        let unresolved = column.unresolved(&mut lane, references).await?;
        self.lanes.give_back(lane);
        Ok(unresolved)
    }
}

#[async_trait]
impl Staging for Restore {
    fn journal(&self) -> Token {
        self.entry.token()
    }

    async fn begin(&mut self) -> Result<()> {
        Restore::begin(self).await
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        // What was read when the restore began is not read again.
        part.name.as_str() != CONTENTS
            && (self.choice.is_none() || self.parts.contains_key(part.name.as_str()))
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        Restore::load(self, part, from).await
    }

    async fn prepare(&mut self) -> Result<()> {
        Restore::prepare(self).await
    }

    fn address(&self) -> Option<Secret> {
        let is_there =
            self.entry.staged == Staged::Made && (Step::Begun..Step::Committed).contains(&self.entry.step);
        is_there.then(|| self.server.setup.target.with_database(&self.names.staging).url())
    }

    async fn commit(&mut self) -> Result<()> {
        Restore::commit(self).await
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn rollback(&mut self) -> Result<()> {
        Restore::rollback(self).await
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        Ok(Restore::finish(self, old).await?.map(|kept| kept.token()))
    }
}
