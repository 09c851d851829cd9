//! A database that is being dumped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{
    CutContext, Dumped, Edge, Error, Facts, KeySink, LedgerEntry, Links, OpenContext, Part, PartStream,
    PartWriter, Reference, Result, Source, Unresolved, async_trait, part_stream,
};

use super::choice::Choice;
use super::listing::Listing;
use super::piece::Piece;
use super::pin::Pinned;
use super::rows;
use crate::archived::CONTENTS;
use crate::config::Setup;
use crate::links::{Column, query_of, read_keys, without_rows};

/// One dump, from `open` to `release`.
pub(crate) struct Snapshot {
    setup: Setup,
    choice: Choice,
    cx: OpenContext,
    pinned: Option<Pinned>,
    listing: Option<Arc<Listing>>,
    ledger: Mutex<Vec<LedgerEntry>>,
}

impl Snapshot {
    /// Connects to nothing yet.
    pub(crate) fn new(setup: Setup, cx: OpenContext) -> Self {
        let choice = Choice::of(&setup);
        Self { setup, choice, cx, pinned: None, listing: None, ledger: Mutex::default() }
    }

    fn pinned(&self) -> Result<&Pinned> {
        self.pinned.as_ref().ok_or_else(|| Error::defect("a `mysql` source is read without being pinned"))
    }

    fn told(&self) -> MutexGuard<'_, Vec<LedgerEntry>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing(&self) -> Result<&Listing> {
        self.listing.as_deref().ok_or_else(|| Error::defect("a part is dumped that was not listed"))
    }

    fn piece(&self, part: &Part) -> Result<&Piece> {
        self.listing()?.pieces.get(&part.name).ok_or_else(|| {
            Error::defect("a part is dumped that the source does not have").with_context("part", &part.name)
        })
    }

    fn dump_contents(&self, out: &mut PartWriter<'_>) -> Result<()> {
        let failed = |error| Error::io("can't write the definitions", error);
        let mut out = std::io::BufWriter::with_capacity(256 << 10, out);
        serde_json::to_writer(&mut out, &self.listing()?.contents).map_err(|error| failed(error.into()))?;
        std::io::Write::flush(&mut out).map_err(failed)
    }
}

#[async_trait]
impl Links for Snapshot {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        let query = query_of(&edge.keys)?;
        let mut lane = self.pinned()?.lanes.take().await?;
        read_keys(lane.session()?, query, keys).await
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let pinned = self.pinned()?;
        let mut lane = pinned.lanes.take().await?;
        let column = Column::find(lane.session()?, &pinned.database, within).await?;
        if !pinned.chosen.has_rows_of(column.table()) {
            return Err(without_rows(&column));
        }
        column.unresolved(lane.session()?, references).await
    }
}

#[async_trait]
impl Source for Snapshot {
    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        self.unpin().await?;
        self.pinned = Some(Pinned::take(&self.setup, &self.choice, cut.mode, &self.cx.cancel).await?);
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        if let Some(pinned) = &mut self.pinned {
            pinned.unlock().await?;
        }
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.told().clear();
        self.release().await
    }

    fn facts(&self) -> Facts {
        self.pinned.as_ref().map(|pinned| pinned.facts.clone()).unwrap_or_default()
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let listing =
            Arc::new(Listing::make(&self.setup, &self.choice, self.pinned()?, &self.cx.cancel).await?);
        *self.told() = listing.ledger.clone();
        let parts = listing.parts.clone();
        self.listing = Some(listing);
        Ok(part_stream(parts))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        if part.name.as_str() == CONTENTS {
            self.dump_contents(out)?;
            return Ok(Dumped::Whole { rows: None });
        }
        let rows = rows::dump(self.pinned()?, self.piece(part)?, out).await?;
        Ok(Dumped::Whole { rows: Some(rows) })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.told().clone()
    }

    async fn release(&mut self) -> Result<()> {
        // The ledger is asked for at the end as well.
        self.listing = None;
        if let Some(pinned) = self.pinned.take() {
            pinned.release().await;
        }
        Ok(())
    }
}
