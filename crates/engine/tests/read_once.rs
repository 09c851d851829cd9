//! A view that can be read once is read after the pin: before the certificate, if one depends on it.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod dump_only;

use std::io::{Write as _, read_to_string};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dump_only::DumpOnly;
use dumprestore::driver::{
    CaptureId, CutContext, Dumped, Edge, Error, KeySink, Links, Part, PartName, PartStream, PartWriter,
    Reference, Result, Source, Unresolved, View, Why, async_trait, part_stream,
};
use dumprestore::{BackupSet, Destination, DumpOptions, DumpReport, NodeBuilder, OpenArchive};

/// What was called, in order.
type Calls = Arc<Mutex<Vec<&'static str>>>;

/// Sends its content once for each pin. Its references are known from that.
#[derive(Clone, Default)]
struct Queue {
    calls: Calls,
    sent: Arc<AtomicU32>,
    read: Arc<Mutex<Option<CaptureId>>>,
}

/// Has what is referred to from the second pin on.
#[derive(Clone, Default)]
struct Rows {
    calls: Calls,
    pins: Arc<AtomicU32>,
}

fn part() -> Part {
    Part::new(PartName::new("queue").unwrap())
}

#[async_trait]
impl Links for Queue {
    async fn references(&self, _edge: &Edge, keys: &mut KeySink<'_>) -> Result<()> {
        self.calls.lock().unwrap().push("queue: references");
        keys.push(Reference::to("7"))
    }
}

#[async_trait]
impl Source for Queue {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        self.calls.lock().unwrap().push("queue: pin");
        Ok(())
    }

    async fn capture(&mut self) -> Result<PartStream> {
        self.calls.lock().unwrap().push("queue: capture");
        Ok(part_stream([part()]))
    }

    async fn unpin(&mut self) -> Result<()> {
        self.calls.lock().unwrap().push("queue: unpin");
        *self.read.lock().unwrap() = None;
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let read = self.read.lock().unwrap().unwrap();
        Ok(part_stream([part().with_captured(read).with_rows(Some(3))]))
    }

    async fn dump(&self, _part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let nth = self.sent.fetch_add(1, Ordering::SeqCst);
        write!(out, "sent {nth}").map_err(|error| Error::io("can't write", error))?;
        *self.read.lock().unwrap() = Some(out.finish()?.capture);
        Ok(Dumped::Whole { rows: Some(3) })
    }

    async fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Links for Rows {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let missing = self.pins.load(Ordering::SeqCst) < 2;
        let all = references.iter().filter(|_| missing);
        Ok(all.map(|reference| Unresolved::new(reference.clone(), Why::Missing)).collect())
    }
}

#[async_trait]
impl Source for Rows {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        self.pins.fetch_add(1, Ordering::SeqCst);
        self.calls.lock().unwrap().push("rows: pin");
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

/// What was called, the report, and the content and rows of what the archive has of the queue.
async fn dump(certify: bool) -> (Vec<&'static str>, DumpReport, Vec<(String, Option<u64>)>) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    let rows = Rows { calls: queue.calls.clone(), ..Rows::default() };
    let driver = DumpOnly::new("queue", View::Once, queue.clone());
    let referrer = NodeBuilder::new("queue").driver(driver).refers_to("rows", "id", None);
    let set = BackupSet::builder("once")
        .base(folder.path())
        .node(referrer)
        .node(NodeBuilder::new("rows").driver(DumpOnly::new("rows", View::Pinned, rows)))
        .build()
        .unwrap();
    let file = folder.path().join("once.zip");
    let mut options = DumpOptions::default();
    options.certify = certify;
    let report = dumprestore::dump(&set, Destination::new_file(&file), options).await.unwrap();
    let archive = OpenArchive::open(&file).unwrap();
    let archive = archive.archive();
    let parts = archive.parts("queue").unwrap().map(Result::unwrap);
    let parts = parts.map(|part| (read_to_string(archive.read("queue", &part).unwrap()).unwrap(), part.rows));
    let parts = parts.collect();
    (queue.calls.lock().unwrap().clone(), report, parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certified_is_read_at_each_cut_and_the_last_reading_is_kept() {
    let (calls, report, parts) = dump(true).await;
    let cut = ["queue: pin", "rows: pin", "queue: capture", "queue: references"];
    let expected: Vec<_> = cut.iter().chain(&["queue: unpin"]).chain(&cut).copied().collect();
    assert_eq!(calls, expected);
    assert_eq!((report.cuts, report.edges[0].certified), (2, true));
    assert_eq!(parts, [("sent 1".to_owned(), Some(3))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_certificate_depends_on_is_read_once_the_cut_is_taken() {
    let (calls, _, parts) = dump(false).await;
    assert_eq!(calls, ["queue: pin", "rows: pin", "queue: capture"]);
    assert_eq!(parts, [("sent 0".to_owned(), Some(3))]);
}
