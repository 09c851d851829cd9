//! The restore as the engine sees it.

use std::sync::PoisonError;

use dumprestore_driver::{
    ArchivedPart, LedgerEntry, Links, OldState, PartReader, Result, Secret, Staging, Token, async_trait,
};

use super::entry::{Staged, Step};
use super::{CONTENTS, Restore};

#[async_trait]
impl Links for Restore {}

#[async_trait]
impl Staging for Restore {
    fn journal(&self) -> Token {
        self.entry.token()
    }

    async fn begin(&mut self) -> Result<()> {
        Restore::begin(self).await
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        // It was read when the restore began.
        part.name.as_str() != CONTENTS
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        Restore::load(self, part, from).await
    }

    async fn prepare(&mut self) -> Result<()> {
        Restore::prepare(self).await
    }

    fn address(&self) -> Option<Secret> {
        let is_there =
            matches!(self.entry.staged, Staged::Made { oid: Some(_) }) && self.entry.step < Step::Committed;
        is_there.then(|| self.server.target.with_database(&self.names.staged).url())
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
