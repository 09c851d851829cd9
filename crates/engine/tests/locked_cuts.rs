//! Cuts with writers held: how many there are, and that writers go on after each.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod dump_only;

use std::sync::{Arc, Mutex};

use dump_only::DumpOnly;
use dumprestore::driver::{
    CutContext, CutMode, Dumped, Edge, KeySink, Links, Part, PartStream, PartWriter, Reference, Result,
    Source, Unresolved, View, Why, async_trait, part_stream,
};
use dumprestore::{BackupSet, Coherence, Destination, DumpOptions, DumpOutcome, DumpReport, NodeBuilder};

/// Rows whose application is, at each cut, just between a file and its row: up to that cut, and at another row each time.
#[derive(Clone)]
struct Rows {
    bad_cuts: usize,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

/// The files that they refer to.
#[derive(Clone)]
struct Files(Rows);

impl Rows {
    fn cuts(&self) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.starts_with("pin")).count()
    }

    fn called(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

#[async_trait]
impl Links for Rows {
    async fn references(&self, _edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        keys.push(Reference::to(format!("file {}", self.cuts())))
    }
}

#[async_trait]
impl Links for Files {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let bad = references.iter().filter(|_| self.0.cuts() <= self.0.bad_cuts);
        Ok(bad.map(|reference| Unresolved::new(reference.clone(), Why::Missing)).collect())
    }
}

#[async_trait]
impl Source for Files {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        Ok(part_stream([]))
    }

    async fn dump(&self, _part: &Part, _out: &mut PartWriter<'_>) -> Result<Dumped> {
        Ok(Dumped::Gone)
    }

    async fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Source for Rows {
    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        self.called(if cut.mode == CutMode::Locked { "pin, locked" } else { "pin" });
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        self.called("unlock");
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.called("unpin");
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        Ok(part_stream([]))
    }

    async fn dump(&self, _part: &Part, _out: &mut PartWriter<'_>) -> Result<Dumped> {
        Ok(Dumped::Gone)
    }

    async fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Dumps with two cuts in each mode.
async fn dump(bad_cuts: usize) -> (DumpReport, Vec<&'static str>) {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows { bad_cuts, calls: Arc::default() };
    let mut coherence = Coherence::default();
    coherence.max_cuts = 2.try_into().unwrap();
    let referrer = DumpOnly::new("rows", View::Pinned, rows.clone());
    let set = BackupSet::builder("locked")
        .base(folder.path())
        .coherence(coherence)
        .node(NodeBuilder::new("rows").driver(referrer).refers_to("files", "file", None))
        .node(NodeBuilder::new("files").driver(DumpOnly::new("files", View::Pinned, Files(rows.clone()))))
        .build()
        .unwrap();
    let destination = Destination::new_file(folder.path().join("locked.zip"));
    let report = dumprestore::dump(&set, destination, DumpOptions::default()).await.unwrap();
    let calls = rows.calls.lock().unwrap().clone();
    (report, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_caught_writers_between_a_file_and_its_row_is_taken_again() {
    let (report, calls) = dump(3).await;
    assert_eq!((report.outcome, report.cuts, &*report.verdict), (DumpOutcome::Ok, 4, "locked"));
    let open = ["pin", "unpin"].repeat(2);
    let locked = ["pin, locked", "unlock", "unpin", "pin, locked", "unlock"];
    assert_eq!(calls, [&open[..], &locked].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_are_held_no_more_often_than_cuts_were_tried_without() {
    let (report, calls) = dump(100).await;
    assert_eq!((report.outcome, report.cuts, &*report.verdict), (DumpOutcome::Dangling, 4, "degraded"));
    assert_eq!(calls.iter().filter(|call| **call == "unlock").count(), 2);
    assert_eq!(calls.last(), Some(&"unlock"));
}
