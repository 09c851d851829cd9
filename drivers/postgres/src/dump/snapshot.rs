//! A database that is being dumped.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dumprestore_driver::{
    CutContext, Dumped, Edge, Error, Facts, KeySink, LedgerEntry, Links, OpenContext, Part, PartStream,
    PartWriter, Reference, Result, Source, Unresolved, async_trait, part_stream,
};

use super::choice::Choice;
use super::listing::Listing;
use super::piece::{CONTENTS, Piece};
use super::pin::Pinned;
use super::{blobs, rows};
use crate::config::Setup;
use crate::links::{Column, SearchPath, query_of, read_keys, without_rows};

/// One dump, from `open` to `release`.
pub(crate) struct Snapshot {
    setup: Setup,
    choice: Choice,
    scratch: PathBuf,
    pinned: Option<Pinned>,
    listing: Option<Arc<Listing>>,
    ledger: Mutex<Vec<LedgerEntry>>,
}

impl Snapshot {
    /// Connects to nothing yet.
    pub(crate) fn new(setup: Setup, cx: OpenContext) -> Self {
        let choice = Choice::of(&setup);
        Self { setup, choice, scratch: cx.scratch, pinned: None, listing: None, ledger: Mutex::default() }
    }

    fn pinned(&self) -> Result<&Pinned> {
        self.pinned.as_ref().ok_or_else(|| Error::defect("a `postgres` source is read without being pinned"))
    }

    fn told(&self) -> MutexGuard<'_, Vec<LedgerEntry>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn piece(&self, part: &Part) -> Result<Piece> {
        let listing =
            self.listing.as_ref().ok_or_else(|| Error::defect("a part is dumped that was not listed"))?;
        listing.pieces.get(&part.name).cloned().ok_or_else(|| {
            Error::defect("a part is dumped that the source does not have").with_context("part", &part.name)
        })
    }

    fn dump_contents(&self, out: &mut PartWriter<'_>) -> Result<()> {
        let listing =
            self.listing.as_ref().ok_or_else(|| Error::defect("a part is dumped that was not listed"))?;
        let mut out = std::io::BufWriter::with_capacity(256 << 10, out);
        serde_json::to_writer(&mut out, &listing.contents)
            .map_err(|error| Error::io("can't write the definitions", error.into()))?;
        std::io::Write::flush(&mut out).map_err(|error| Error::io("can't write the definitions", error))
    }
}

#[async_trait]
impl Links for Snapshot {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        let query = query_of(&edge.keys)?;
        let lane = self.pinned()?.lanes.take().await?;
        read_keys(lane.connection()?, query, &SearchPath::OfLogin, keys).await?;
        lane.give_back();
        Ok(())
    }

    async fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let pinned = self.pinned()?;
        let lane = pinned.lanes.take().await?;
        let column = Column::find(lane.connection()?, within).await?;
        if !pinned.chosen.has_rows_of(column.relation()) {
            return Err(without_rows(&column));
        }
        let unresolved = column.unresolved(lane.connection()?, references).await?;
        lane.give_back();
        Ok(unresolved)
    }
}

#[async_trait]
impl Source for Snapshot {
    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        self.unpin().await?;
        self.pinned = Some(Pinned::take(&self.setup, &self.choice, cut.mode, &self.scratch).await?);
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        if let Some(pinned) = &mut self.pinned {
            pinned.unlock().await;
        }
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.listing = None;
        self.told().clear();
        if let Some(pinned) = self.pinned.take() {
            pinned.release().await;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let mut facts = self.pinned.as_ref().map(|pinned| pinned.facts.clone()).unwrap_or_default();
        if let Some(listing) = &self.listing {
            facts.insert("pg_dump".to_owned(), listing.contents.origin.pg_dump.clone());
        }
        facts
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let listing = Arc::new(Listing::make(&self.setup, self.pinned()?).await?);
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
        let pinned = self.pinned()?;
        let rows = match self.piece(part)? {
            Piece::Rows { table, copy } => rows::dump(pinned, &table, &copy, out).await?,
            Piece::LargeObjects { first, last } => blobs::dump(pinned, first, last, out).await?,
        };
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
