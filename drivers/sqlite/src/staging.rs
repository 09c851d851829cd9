//! The restore as the engine sees it: each step handed to a thread that may block.

use dumprestore_driver::{
    ArchivedPart, Edge, Error, KeySink, Links, OldState, PartReader, Reference, Result, Secret, Staging,
    Token, Unresolved, async_trait,
};
use rusqlite::Connection;

use crate::entry::Form;
use crate::fault::blocking;
use crate::lookup::Column;
use crate::restore::Restore;
use crate::selection::Excluded;
use crate::{keys, open};

impl Restore {
    /// Runs a step on a copy of this restore, and becomes what the copy became, also where the step failed: what it
    /// has done until then is done.
    async fn step<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut copy = self.clone();
        let (copy, done) = blocking(move || {
            let done = step(&mut copy);
            Ok((copy, done))
        })
        .await?;
        *self = copy;
        done
    }

    fn staged(&self) -> Result<Connection> {
        match self.entry.form {
            Form::Database => open::live(&self.names.staged, &self.patience),
            _ => Err(Error::unsupported("what is put back is no database, and has no keys")),
        }
    }
}

#[async_trait]
impl Links for Restore {
    async fn references(&self, edge: &Edge, found: &mut KeySink<'_>) -> Result<()> {
        let query = keys::query_of(&edge.keys)?;
        keys::read(&mut self.staged()?, &self.names.staged, query, &Excluded::default(), found)
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let (conn, path) = (self.staged()?, &self.names.staged);
        Column::find(&conn, path, within, &Excluded::default())?.unresolved(&conn, path, references)
    }
}

#[async_trait]
impl Staging for Restore {
    fn journal(&self) -> Token {
        self.entry.token()
    }

    async fn begin(&mut self) -> Result<()> {
        self.step(Restore::begin).await
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        Restore::load(self, part, from)
    }

    async fn prepare(&mut self) -> Result<()> {
        self.step(Restore::prepare).await
    }

    fn address(&self) -> Option<Secret> {
        match self.entry.form {
            Form::Database => self.names.staged.to_str().map(Secret::new),
            _ => None,
        }
    }

    async fn commit(&mut self) -> Result<()> {
        self.step(Restore::commit).await
    }

    async fn rollback(&mut self) -> Result<()> {
        self.step(Restore::rollback).await
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        let kept = self.step(move |restore| restore.finish(old)).await?;
        Ok(kept.map(|kept| kept.token()))
    }
}
