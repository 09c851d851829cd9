//! A node while it is dumped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_archive::{ArchiveWriter, Compression, Listed, Window};
use dumprestore_driver::{
    Capabilities, CutContext, Driver, Facts, Inspection, LedgerEntry, NodePath, OpenContext, Part,
    PartStream, Result, View,
};
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::sync::RwLock;

use super::entry::{PartDumper, SharedSource, entry_of};
use crate::archived::archive_error;
use crate::lanes::Lanes;
use crate::meter::Meter;
use crate::run::Run;
use crate::set::Node;

/// Parts of a node that the archive is to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) parts: u64,
    pub(super) bytes: u64,
}

/// What dumped parts are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be there when the source wants them.
    Capture,
    /// To stand in the manifest, in the order in which the source lists them.
    List,
}

/// A node whose source is open.
pub(super) struct OpenNode {
    pub(super) path: NodePath,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) capabilities: Capabilities,
    pub(super) inspection: Inspection,
    pub(super) facts: Facts,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) windows: Vec<Window>,
    /// What the archive is to hold of it, in the end.
    pub(super) held: Held,
    pub(super) source: SharedSource,
    compression: Compression,
    lanes: Lanes,
    passes: u32,
}

impl OpenNode {
    pub(super) async fn open(
        node: &Node,
        driver: Arc<dyn Driver>,
        inspection: Inspection,
        cx: OpenContext,
        lanes: &Lanes,
    ) -> Result<Self> {
        let path = node.path().clone();
        let source = driver.open(cx).await.map_err(|error| error.with_node(&path))?;
        let capabilities = driver.capabilities();
        let most = match capabilities.lanes {
            dumprestore_driver::Lanes::One => 1,
            dumprestore_driver::Lanes::Many => node.parallel().map_or(usize::MAX, Into::into),
        };
        Ok(Self {
            path,
            driver,
            capabilities,
            inspection,
            facts: Facts::new(),
            ledger: Vec::new(),
            windows: Vec::new(),
            held: Held::default(),
            source: Arc::new(RwLock::new(source)),
            compression: node.compression().into(),
            lanes: lanes.at_most(most),
            passes: 0,
        })
    }

    /// One pass over a live source. Returns how many parts were captured.
    pub(super) async fn capture(&mut self, run: &Run, archive: &Arc<ArchiveWriter>) -> Result<u64> {
        self.passes += 1;
        let from = OffsetDateTime::now_utc();
        let expected =
            if self.passes == 1 { (self.inspection.size, self.inspection.parts) } else { (None, None) };
        let meter = Meter::begin(&run.observer, &self.path, "capture", expected);
        let changed = self.source.write().await.capture().await;
        let changed = changed.map_err(|error| error.with_node(&self.path))?;
        let made = self.dump_parts(run, archive, changed, meter.clone(), Purpose::Capture).await?.parts;
        meter.finish();
        self.window("capture", from);
        run.observer.event(&crate::Event::Captured {
            node: self.path.clone(),
            pass: self.passes,
            parts: made,
        });
        Ok(made)
    }

    /// Captures single parts, after the pin, for the certificate's sake.
    pub(super) async fn capture_late(
        &mut self,
        run: &Run,
        archive: &Arc<ArchiveWriter>,
        parts: Vec<Part>,
    ) -> Result<()> {
        let expected = (None, Some(parts.len() as u64));
        let meter = Meter::begin(&run.observer, &self.path, "certify", expected);
        let parts = dumprestore_driver::part_stream(parts);
        self.dump_parts(run, archive, parts, meter.clone(), Purpose::Capture).await?;
        meter.finish();
        Ok(())
    }

    pub(super) async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        let from = OffsetDateTime::now_utc();
        let pinned = self.source.write().await.pin(cut).await;
        pinned.map_err(|error| error.with_node(&self.path))?;
        self.windows.retain(|window| window.phase != "pin");
        self.window("pin", from);
        Ok(())
    }

    pub(super) async fn unlock(&mut self) -> Result<()> {
        self.source.write().await.unlock().await.map_err(|error| error.with_node(&self.path))
    }

    pub(super) async fn unpin(&mut self) -> Result<()> {
        self.source.write().await.unpin().await.map_err(|error| error.with_node(&self.path))
    }

    /// Dumps all that is not captured yet, lets the source go, and leaves superseded captures out.
    pub(super) async fn stream(&mut self, run: &Run, archive: &Arc<ArchiveWriter>) -> Result<()> {
        if self.capabilities.view == View::Once && self.passes == 0 {
            self.capture(run, archive).await?;
        }
        let from = OffsetDateTime::now_utc();
        let expected = match self.capabilities.view {
            View::Captured | View::Once => (None, None),
            View::Pinned | View::Streamed => (self.inspection.size, self.inspection.parts),
        };
        let meter = Meter::begin(&run.observer, &self.path, "stream", expected);
        let listed = self.source.write().await.parts().await.map_err(|error| error.with_node(&self.path))?;
        self.held = self.dump_parts(run, archive, listed, meter.clone(), Purpose::List).await?;
        meter.finish();
        archive.supersede_unlisted(self.path.as_str());
        self.window("stream", from);
        self.settle(run).await
    }

    /// What the source has to say at the end.
    async fn settle(&mut self, run: &Run) -> Result<()> {
        let mut source = self.source.write().await;
        self.facts = source.facts();
        self.ledger = source.ledger();
        source.release().await.map_err(|error| error.with_node(&self.path))?;
        for entry in &self.ledger {
            run.observer.event(&crate::Event::Ledger { node: self.path.clone(), entry: entry.clone() });
        }
        Ok(())
    }

    pub(super) async fn release(&mut self) -> Result<()> {
        self.source.write().await.release().await.map_err(|error| error.with_node(&self.path))
    }

    async fn dump_parts(
        &self,
        run: &Run,
        archive: &Arc<ArchiveWriter>,
        parts: PartStream,
        meter: Arc<Meter>,
        purpose: Purpose,
    ) -> Result<Held> {
        let dumper = PartDumper {
            archive: archive.clone(),
            source: self.source.clone(),
            node: self.path.clone(),
            compression: self.compression,
            meter,
            cancel: run.stop.clone(),
        };
        let held = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let counted = held.clone();
        let work = move |(place, part): (u64, Part)| {
            let dumped = match part.captured {
                Some(capture) => Some((entry_of(capture)?, part.rows)),
                None => dumper.dump(&part)?,
            };
            let Some((entry, rows)) = dumped else { return Ok(()) };
            if purpose == Purpose::List {
                let listed = dumper.archive.list(dumper.node.as_str(), entry, place, &Listed::rows(rows));
                let listed = listed.map_err(archive_error)?;
                counted.1.fetch_add(listed.size, Ordering::Relaxed);
            }
            counted.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let mut place = 0;
        let numbered = parts.fuse().map(|part| {
            place += 1;
            part.map(|part| (place, part))
        });
        self.lanes.run(numbered, work).await.map_err(|error| error.with_node(&self.path))?;
        Ok(Held { parts: held.0.load(Ordering::Relaxed), bytes: held.1.load(Ordering::Relaxed) })
    }

    fn window(&mut self, phase: &str, from: OffsetDateTime) {
        self.windows.push(Window { phase: phase.to_owned(), from, to: OffsetDateTime::now_utc() });
    }
}
