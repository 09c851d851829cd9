//! The restore as the engine sees it.

use std::sync::PoisonError;

use dumprestore_driver::{
    ArchivedPart, Edge, Error, KeySink, LedgerEntry, Links, OldState, PartReader, Reference, Result, Secret,
    Staging, Token, Unresolved, async_trait,
};

use super::entry::{Staged, Step};
use super::{CONTENTS, Restore};
use crate::links::{Column, SearchPath, query_of, read_keys};

impl Restore {
    /// Where a query finds tables whose schema it does not name, once the database is live.
    fn search_path(&self) -> SearchPath {
        let Some(contents) = &self.contents else { return SearchPath::OfLogin };
        let settings = contents.database.settings.iter().filter(|setting| setting.name == "search_path");
        let whose = |role: &Option<String>| role.as_ref().is_none_or(|role| *role == self.server.target.user);
        let path =
            settings.filter(|setting| whose(&setting.role)).max_by_key(|setting| setting.role.is_some());
        // Sessions that were opened before know nothing of it.
        path.map_or(SearchPath::OfLogin, |setting| SearchPath::Given(setting.value.clone()))
    }

    fn refuse_nothing(&self) -> Result<()> {
        match self.entry.staged {
            Staged::Nothing => Err(Error::unsupported("what is put back is no database, and has no keys")),
            Staged::Made { .. } | Staged::Kept { .. } => Ok(()),
        }
    }
}

#[async_trait]
impl Links for Restore {
    async fn references(&self, edge: &Edge, found: &mut KeySink<'_>) -> Result<()> {
        self.refuse_nothing()?;
        let query = query_of(&edge.keys)?;
        let lane = self.lanes.take().await?;
        let failed = |error| lane.fault(error, "can't read keys of the restored database");
        lane.batch_execute("BEGIN TRANSACTION READ ONLY").await.map_err(failed)?;
        read_keys(&lane, query, &self.search_path(), found).await?;
        lane.batch_execute("COMMIT").await.map_err(failed)?;
        self.lanes.give_back(lane);
        Ok(())
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        self.refuse_nothing()?;
        let lane = self.lanes.take().await?;
        let column = Column::find(&lane, within).await?;
        let unresolved = column.unresolved(&lane, references).await?;
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
        // It was read when the restore began.
        part.name.as_str() != CONTENTS
    }

    fn keeps_order(&self) -> bool {
        true
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
