//! One dump, called as the engine calls it, step by step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use dumprestore_driver::{
    CaptureId, CutContext, CutMode, Driver, Dumped, Edge, Error, KeySink, NodePath, OpenContext, Part,
    PartSink, PartStream, PartWriter, Receipt, Reference, Result, Source, Unresolved, View,
};
use futures_util::StreamExt;

use crate::lanes::{aside, side_by_side};
use crate::stored::{Index, StoredPart, StoredSink};
use crate::{Faulty, StoredNode};

/// A source says at most so often that a part is torn.
const MOST_TORN: u32 = 50;

/// A dump that is under way.
pub struct Dumping {
    source: Box<dyn Source>,
    view: View,
    folder: PathBuf,
    lanes: usize,
    faults: Arc<Faulty>,
    /// What can be read once was read.
    read: bool,
    next: AtomicU64,
    finished: BTreeMap<CaptureId, StoredPart>,
    index: Index,
}

impl Dumping {
    /// Opens the source.
    pub async fn open(
        driver: &dyn Driver,
        cx: OpenContext,
        folder: PathBuf,
        faults: Arc<Faulty>,
    ) -> Result<Self> {
        faults.before("open")?;
        let source = driver.open(cx.with_cancel(faults.cancel())).await?;
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::io("can't make a folder for the parts", error))?;
        let index = Index {
            path: NodePath::new("node")?,
            kind: driver.kind().to_owned(),
            format: driver.formats().writes,
            facts: Default::default(),
            ledger: Vec::new(),
            parts: Vec::new(),
        };
        let view = driver.capabilities().view;
        Ok(Self {
            source,
            view,
            folder,
            lanes: 1,
            faults,
            read: false,
            next: AtomicU64::new(0),
            finished: BTreeMap::new(),
            index,
        })
    }

    /// How many parts are dumped at once from now on.
    pub fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
    }

    /// Captures until there is nothing new, if the source is captured; then waits until what it saw is older than
    /// the clock's granularity.
    pub async fn capture(&mut self) -> Result<()> {
        if self.view != View::Captured {
            return Ok(());
        }
        for _pass in 0..5 {
            self.faults.before("capture")?;
            let parts = self.source.capture().await?;
            self.faults.after("captured")?;
            if self.take(parts, false).await? == 0 {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(())
    }

    /// Pins the source, and reads it if that can be done once only: its references are known from that.
    pub async fn pin(&mut self, mode: CutMode) -> Result<()> {
        self.pin_alone(mode).await?;
        self.read_once().await
    }

    async fn read_once(&mut self) -> Result<()> {
        if self.view != View::Once || self.read {
            return Ok(());
        }
        self.faults.before("capture")?;
        let parts = self.source.capture().await?;
        self.faults.after("captured")?;
        self.take(parts, false).await?;
        self.read = true;
        Ok(())
    }

    /// Pins the source.
    pub async fn pin_alone(&mut self, mode: CutMode) -> Result<()> {
        let cut = CutContext::new(file_clock(&self.folder)?, mode);
        self.faults.before("pin")?;
        self.source.pin(&cut).await?;
        self.faults.after("pinned")
    }

    /// Lets writers go on.
    pub async fn unlock(&mut self) -> Result<()> {
        self.faults.before("unlock")?;
        self.source.unlock().await
    }

    /// Lets the view go, as after a certificate that failed.
    pub async fn unpin(&mut self) -> Result<()> {
        self.faults.before("unpin")?;
        self.read = false;
        self.source.unpin().await
    }

    /// All keys of an edge, sorted and without repetition.
    pub fn references(&self, edge: &Edge) -> Result<Vec<Reference>> {
        let found = std::sync::Mutex::new(Vec::new());
        let source = &*self.source;
        aside(async || {
            let mut take = |reference| {
                found.lock().expect("no panic").push(reference);
                Ok(())
            };
            source.references(edge, &mut KeySink::new(&mut take)).await
        })?;
        let mut found = found.into_inner().expect("no panic");
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Those of `references` that do not resolve, also after dumping the parts that might mend them.
    pub fn resolve(&mut self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let source = &*self.source;
        let first = aside(async || source.resolve(within, references).await)?;
        let parts: Vec<Part> = first.iter().filter_map(|unresolved| unresolved.part.clone()).collect();
        if parts.is_empty() {
            return Ok(first);
        }
        for part in parts {
            self.dump_some(vec![part], false)?;
        }
        let source = &*self.source;
        let again: Vec<Reference> = first.into_iter().map(|unresolved| unresolved.reference).collect();
        aside(async || source.resolve(within, &again).await)
    }

    /// Dumps all parts, and calls `meanwhile` after the first of them.
    pub async fn stream(&mut self, mut meanwhile: impl AsyncFnMut()) -> Result<()> {
        self.read_once().await?;
        self.index.facts = self.source.facts();
        self.faults.before("parts")?;
        let mut parts = self.source.parts().await?;
        if let Some(first) = parts.next().await {
            self.dump_some(vec![first?], true)?;
        }
        meanwhile().await;
        self.take(parts, true).await?;
        self.index.ledger = self.source.ledger();
        self.faults.after("streamed")
    }

    /// Lets everything go. The node as far as it was dumped.
    pub async fn release(mut self) -> (StoredNode, Result<()>) {
        let released = self.source.release().await;
        (StoredNode::new(self.folder, self.index), released)
    }

    async fn take(&mut self, mut parts: PartStream, listed: bool) -> Result<usize> {
        let mut count = 0;
        loop {
            let mut some = Vec::new();
            while some.len() < self.lanes
                && let Some(part) = parts.next().await
            {
                some.push(part?);
            }
            if some.is_empty() {
                return Ok(count);
            }
            count += some.len();
            self.dump_some(some, listed)?;
        }
    }

    fn dump_some(&mut self, parts: Vec<Part>, listed: bool) -> Result<()> {
        let this = &*self;
        let dumped = side_by_side(parts, async |part| {
            let stored = match part.captured {
                Some(capture) => this.finished.get(&capture).cloned().map(Some).ok_or_else(|| {
                    Error::defect(format!("part `{}` names a capture that was never finished", part.name))
                })?,
                None => this.dump_one(&part).await?,
            };
            Ok::<_, Error>(stored.map(|stored| StoredPart { name: part.name.clone(), ..stored }))
        });
        for part in dumped {
            let Some(part) = part? else { continue };
            self.finished.insert(CaptureId(part.file), part.clone());
            if listed {
                self.list(part)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, part: StoredPart) -> Result<()> {
        if self.index.parts.iter().any(|listed| listed.name == part.name) {
            return Err(Error::defect(format!("part `{}` was listed twice", part.name)));
        }
        self.index.parts.push(part);
        Ok(())
    }

    async fn dump_one(&self, part: &Part) -> Result<Option<StoredPart>> {
        for _try in 0..MOST_TORN {
            let file = self.next.fetch_add(1, Ordering::SeqCst);
            let mut sink = StoredSink::create(&self.folder, file, self.faults.clone())?;
            self.faults.before("dump")?;
            match self.source.dump(part, &mut PartWriter::new(&mut sink)).await? {
                Dumped::Gone => return Ok(None),
                Dumped::Torn => continue,
                Dumped::Whole { rows } => {
                    let Receipt { size, digest, .. } = sink.finish()?;
                    return Ok(Some(StoredPart { name: part.name.clone(), size, digest, rows, file }));
                }
            }
        }
        Err(Error::defect(format!("part `{}` is torn for ever", part.name)))
    }
}

/// Now, on the clock that the file system stamps files with.
fn file_clock(folder: &std::path::Path) -> Result<SystemTime> {
    let failed = |error| Error::io("can't read the file system's clock", error);
    let probe = folder.join("clock");
    std::fs::write(&probe, b"tick").map_err(failed)?;
    std::fs::metadata(&probe).and_then(|meta| meta.modified()).map_err(failed)
}
