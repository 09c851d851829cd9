//! What was uploaded just before the cut is captured after it, however many other references dangle.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod dump_only;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use dump_only::DumpOnly;
use dumprestore::driver::{
    CaptureId, CutContext, Dumped, Edge, KeySink, Links, Part, PartName, PartStream, PartWriter, Reference,
    Result, Source, Unresolved, View, Why, async_trait, part_stream,
};
use dumprestore::{
    BackupSet, Coherence, Destination, DumpOptions, DumpOutcome, DumpReport, IfUncertified, NodeBuilder,
};

/// As many dangling links of an application as no memory is kept for.
const CROWD: usize = 60_000;

/// Rows, by the `keys` of a reference.
#[derive(Clone, Default)]
struct Rows(BTreeMap<&'static str, Vec<String>>);

/// A folder. What begins with `late` is there, and no pass has come by it.
#[derive(Clone, Default)]
struct Folder(Arc<Mutex<HashMap<String, CaptureId>>>);

fn late(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("late/{at:020}")).collect()
}

fn gone(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("gone/{at:020}")).collect()
}

#[async_trait]
impl Links for Rows {
    async fn references(&self, edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        let rows = &self.0[edge.keys.as_str().unwrap()];
        rows.iter().try_for_each(|key| keys.push(Reference::to(key.as_bytes())))
    }
}

#[async_trait]
impl Links for Folder {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let captured = self.0.lock().unwrap();
        let judge = |reference: &Reference| {
            let key = reference.key.to_string();
            if captured.contains_key(&key) {
                return None;
            }
            let bad = |why| Unresolved::new(reference.clone(), why);
            Some(match key.starts_with("late") {
                true => bad(Why::Unsettled).with_part(Part::new(PartName::new(key).unwrap()).with_size(1)),
                false => bad(Why::Missing),
            })
        };
        Ok(references.iter().filter_map(judge).collect())
    }
}

#[async_trait]
impl Source for Rows {
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
impl Source for Folder {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let captured = self.0.lock().unwrap().clone();
        let part = |(name, capture)| Part::new(PartName::new(name).unwrap()).with_captured(capture);
        Ok(part_stream(captured.into_iter().map(part).collect::<Vec<_>>()))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let capture = out.finish()?.capture;
        self.0.lock().unwrap().insert(part.name.to_string(), capture);
        Ok(Dumped::Whole { rows: None })
    }

    async fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Dumps rows that refer to folders: for each reference the folder and the keys.
async fn dump(references: &[(&'static str, Vec<String>)]) -> Result<DumpReport> {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows(references.iter().cloned().collect());
    let mut node = NodeBuilder::new("rows").driver(DumpOnly::new("rows", View::Pinned, rows));
    let mut coherence = Coherence::default();
    coherence.if_uncertified = IfUncertified::Fail;
    let mut set = BackupSet::builder("late").base(folder.path()).coherence(coherence);
    for (to, _) in references {
        node = node.refers_to(*to, *to, None);
        let folder = DumpOnly::new("folder", View::Captured, Folder::default());
        set = set.node(NodeBuilder::new(*to).driver(folder));
    }
    let set = set.node(node).build().unwrap();
    let destination = Destination::new_file(folder.path().join("late.zip"));
    dumprestore::dump(&set, destination, DumpOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dangling_links_of_one_reference_keep_no_late_capture_of_another_from_being_made() {
    let report = dump(&[("documents", gone(CROWD)), ("uploads", late(10))]).await.unwrap();
    let [documents, uploads] = &report.edges[..] else { panic!("{:?}", report.edges) };
    assert_eq!(report.outcome, DumpOutcome::Dangling);
    assert_eq!(report.verdict, "known");
    assert_eq!(documents.dangling.total, CROWD as u64);
    assert!(uploads.certified, "{} dangle", uploads.dangling.total);
}

#[tokio::test(flavor = "multi_thread")]
async fn dangling_links_keep_no_late_capture_of_the_same_reference_from_being_made() {
    let keys = gone(CROWD).into_iter().chain(late(10)).collect();
    let report = dump(&[("uploads", keys)]).await.unwrap();
    assert_eq!(report.edges[0].dangling.total, CROWD as u64);
    assert_eq!(report.nodes.iter().map(|node| node.parts).sum::<u64>(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_late_captures_than_memory_is_kept_for_are_made_in_turns() {
    let report = dump(&[("uploads", late(CROWD))]).await.unwrap();
    assert_eq!((report.outcome, report.cuts), (DumpOutcome::Ok, 1));
    assert!(report.edges[0].certified);
}
