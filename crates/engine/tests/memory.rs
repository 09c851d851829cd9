//! The number of parts does not show in the memory that a dump, a verification or a restore takes.
//!
//! Each measurement is a process of its own, whose peak of resident memory the system knows. What is measured is the
//! engine: the driver knows its parts by their numbers, and remembers eight bytes of each.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore::driver::{
    ArchivedNode, ArchivedPart, Capabilities, CaptureId, Changes, CutContext, Driver, Dumped, Error, Formats,
    Inspection, Lanes, Links, OldState, OpenContext, Part, PartName, PartReader, PartStream, PartWriter,
    Result, Source, StageContext, Staging, Token, Undo, View, async_trait, part_stream,
};
use dumprestore::{
    BackupSet, Cancel, Destination, DumpOptions, NodeBuilder, OpenArchive, RestoreFrom, RestoreOptions,
};

/// What the process is to do: the phase, the number of parts, the folder.
const TASK: &str = "DUMPRESTORE_TEST_MANY_PARTS";
const FEW: u64 = 60_000;
const MANY: u64 = 200_000;
/// In megabytes. As long as each part took some hundred bytes, `MANY` took more than 60 MB more than `FEW`.
const MOST_MORE: f64 = 16.0;
const MOST: f64 = 80.0;

/// A crowd of parts, which are their own numbers.
struct Crowd {
    parts: u64,
    captured: Arc<[AtomicU64]>,
    loaded: Arc<AtomicU64>,
}

fn name(at: u64) -> PartName {
    PartName::new(format!("files/{:03}/photo-{at:08}.jpg", at / 1000)).unwrap()
}

#[async_trait]
impl Driver for Crowd {
    fn kind(&self) -> &'static str {
        "crowd"
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        let live = Capabilities::streamed().with_view(View::Captured);
        live.with_undo(Undo::AfterCommit).with_lanes(Lanes::Many)
    }

    fn target(&self) -> String {
        "crowd".to_owned()
    }

    async fn inspect(&self) -> Result<Inspection> {
        Ok(Inspection::default())
    }

    async fn open(&self, _cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Watched { captured: self.captured.clone(), passes: 0 }))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, _cx: &StageContext) -> Result<Changes> {
        let mut changes = Changes::of("files");
        changes.replace = archived.parts().count() as u64;
        Ok(changes)
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, _cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Loaded { archived: Some(archived), parts: self.parts, loaded: self.loaded.clone() }))
    }

    async fn resume(&self, _token: &Token, _cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Loaded { archived: None, parts: self.parts, loaded: self.loaded.clone() }))
    }
}

struct Watched {
    /// By number, what a capture was given.
    captured: Arc<[AtomicU64]>,
    passes: u64,
}

impl Links for Watched {}

#[async_trait]
impl Source for Watched {
    /// The first pass finds all, the second some once more.
    async fn capture(&mut self) -> Result<PartStream> {
        self.passes += 1;
        let parts = self.captured.len() as u64;
        let seen = if self.passes == 1 { 0..parts } else { 0..parts / 10 };
        Ok(part_stream(seen.map(|at| Part::new(name(at)).with_size(8))))
    }

    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let captured = self.captured.clone();
        let part = move |at| {
            let id = captured[at as usize].load(Ordering::Relaxed);
            Part::new(name(at)).with_captured(CaptureId(id))
        };
        Ok(part_stream((0..self.captured.len() as u64).map(part)))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        use std::io::Write;
        let at: u64 = number(part.name.as_str());
        out.write_all(&at.to_le_bytes()).map_err(|error| Error::io("can't dump a number", error))?;
        self.captured[at as usize].store(out.finish()?.capture.0, Ordering::Relaxed);
        Ok(Dumped::Whole { rows: None })
    }

    async fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

fn number(name: &str) -> u64 {
    name.rsplit_once('-').unwrap().1.trim_end_matches(".jpg").parse().unwrap()
}

struct Loaded {
    archived: Option<Arc<dyn ArchivedNode>>,
    parts: u64,
    loaded: Arc<AtomicU64>,
}

impl Links for Loaded {}

#[async_trait]
impl Staging for Loaded {
    fn journal(&self) -> Token {
        Token::Null
    }

    async fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        use std::io::Read;
        let mut content = Vec::new();
        from.read_to_end(&mut content).map_err(|error| Error::io("can't read a number", error))?;
        assert_eq!(content, number(part.name.as_str()).to_le_bytes());
        self.loaded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        let archived = self.archived.as_ref().unwrap();
        assert!(
            archived.parts().map(|part| part.name).eq((0..self.parts).map(name)),
            "in the order of the dump"
        );
        assert_eq!(archived.part(&name(7)).unwrap().size, 8);
        assert!(archived.part(&name(self.parts)).is_none());
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self, _old: OldState) -> Result<Option<Token>> {
        Ok(None)
    }
}

fn set(parts: u64, folder: &Path) -> (BackupSet, Arc<AtomicU64>) {
    let loaded = Arc::new(AtomicU64::new(0));
    let captured = (0..parts).map(|_| AtomicU64::new(u64::MAX)).collect();
    let crowd = Arc::new(Crowd { parts, captured, loaded: loaded.clone() });
    let set = BackupSet::builder("many").base(folder);
    (set.node(NodeBuilder::new("crowd").driver(crowd)).build().unwrap(), loaded)
}

async fn dump(parts: u64, folder: &Path) {
    let (set, _) = set(parts, folder);
    let destination = Destination::new_file(folder.join("many.zip"));
    let report = dumprestore::dump(&set, destination, DumpOptions::default()).await.unwrap();
    assert_eq!((report.nodes[0].parts, report.nodes[0].bytes), (parts, 8 * parts));
}

async fn verify(parts: u64, folder: &Path) {
    let archive = OpenArchive::open(&folder.join("many.zip")).unwrap();
    let verified = dumprestore::verify(&archive, Arc::new(()), Cancel::default()).await.unwrap();
    assert_eq!(verified.parts, parts);
}

async fn restore(parts: u64, folder: &Path) {
    let (set, loaded) = set(parts, folder);
    let archive = OpenArchive::open(&folder.join("many.zip")).unwrap();
    dumprestore::restore(&set, &RestoreFrom::Archive(archive), &RestoreOptions::default()).await.unwrap();
    assert_eq!(loaded.load(Ordering::Relaxed), parts);
}

/// Does nothing unless it is told to by `measure`.
#[tokio::test(flavor = "multi_thread")]
async fn one_task() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [phase, parts, folder] = task.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let (parts, folder) = (parts.parse().unwrap(), Path::new(folder));
    match phase {
        "dump" => dump(parts, folder).await,
        "verify" => verify(parts, folder).await,
        _ => restore(parts, folder).await,
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    eprintln!("peak {}", peak.trim().trim_end_matches(" kB"));
}

/// Megabytes.
fn measure(phase: &str, parts: u64, folder: &Path) -> f64 {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_task", "--nocapture"])
        .env(TASK, format!("{phase} {parts} {}", folder.display()))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{phase} {parts}: {told}{}", String::from_utf8_lossy(&done.stdout));
    told.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn more_parts_take_no_more_memory() {
    let (few, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for phase in ["dump", "verify", "restore"] {
        let (less, more) = (measure(phase, FEW, few.path()), measure(phase, MANY, many.path()));
        eprintln!("{phase}: {less:.1} MB with {FEW} parts, {more:.1} MB with {MANY}");
        assert!(more < less + MOST_MORE && more < MOST, "{phase}: {less:.1} MB, then {more:.1} MB");
    }
}
