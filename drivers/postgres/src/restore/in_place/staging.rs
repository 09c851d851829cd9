//! The restore as the engine sees it.

use std::sync::PoisonError;

use dumprestore_driver::{
    ArchivedPart, Edge, KeySink, LedgerEntry, Links, OldState, PartReader, Reference, Result, Staging, Token,
    Unresolved, async_trait,
};

use super::choice::Scope;
use super::{InPlace, not_begun};
use crate::connect::Connection;
use crate::links::{Column, SearchPath, query_of, read_keys};
use crate::restore::entry::Step;

impl InPlace {
    /// Where a query finds tables whose schema it does not name, once it is committed.
    fn search_path(&self) -> SearchPath {
        let Some(chosen) = self.chosen.as_ref().filter(|chosen| chosen.scope == Scope::Database) else {
            return SearchPath::OfLogin;
        };
        let settings =
            chosen.contents.database.settings.iter().filter(|setting| setting.name == "search_path");
        let whose = |role: &Option<String>| role.as_ref().is_none_or(|role| *role == self.server.target.user);
        let path =
            settings.filter(|setting| whose(&setting.role)).max_by_key(|setting| setting.role.is_some());
        path.map_or(SearchPath::OfLogin, |setting| SearchPath::Given(setting.value.clone()))
    }
}

async fn find(
    session: &Connection,
    within: Option<&str>,
    references: &[Reference],
) -> Result<Vec<Unresolved>> {
    Column::find(session, within).await?.unresolved(session, references).await
}

#[async_trait]
impl Links for InPlace {
    async fn references(&self, edge: &Edge, found: &mut KeySink<'_>) -> Result<()> {
        let query = query_of(&edge.keys)?;
        let session = self.session.lock().await;
        let session = session.as_ref().ok_or_else(not_begun)?;
        read_keys(session, query, &self.search_path(), found).await
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let session = self.session.lock().await;
        let session = session.as_ref().ok_or_else(not_begun)?;
        let failed = |error| session.fault(error, "can't look for keys in what is restored");
        session.batch_execute("SAVEPOINT resolving").await.map_err(failed)?;
        let unresolved = find(session, within, references).await;
        let end = "ROLLBACK TO resolving; RELEASE resolving";
        session.batch_execute(end).await.map_err(failed)?;
        unresolved
    }
}

#[async_trait]
impl Staging for InPlace {
    fn journal(&self) -> Token {
        self.entry.token()
    }

    async fn begin(&mut self) -> Result<()> {
        InPlace::begin(self).await
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        InPlace::wants(self, &part.name)
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        InPlace::load(self, part, from).await
    }

    async fn prepare(&mut self) -> Result<()> {
        InPlace::prepare(self).await
    }

    async fn commit(&mut self) -> Result<()> {
        InPlace::commit(self).await
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn took_effect(&mut self) -> Result<Option<bool>> {
        InPlace::took_effect(self).await
    }

    async fn rollback(&mut self) -> Result<()> {
        InPlace::rollback(self).await
    }

    /// Nothing is kept: there is no old state any more.
    async fn finish(&mut self, _: OldState) -> Result<Option<Token>> {
        match self.entry.step {
            Step::Committed => Ok(None),
            _ => Err(dumprestore_driver::Error::defect("a restore is finished that is not committed")),
        }
    }
}
