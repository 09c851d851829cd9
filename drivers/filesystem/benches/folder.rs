//! A folder of 20,000 files and 1 GB, dumped to nowhere and restored, beside what `tar` takes for the same.
//!
//! `cargo bench -p dumprestore-filesystem`; the folder is made in the temporary folder.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench is run by hand")]

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, BuildContext, CaptureId, CutContext, CutMode, Digest, Driver, DriverConfig,
    Facts, NodePath, OldState, OpenContext, Part, PartName, PartReader, PartSink, PartWriter, Receipt,
    Reference, Result, StageContext,
};
use dumprestore_filesystem::FilesystemConfig;
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

const FILES: u64 = 20_000;
const SIZE: usize = 50_000;
const LANES: usize = 2;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Counts, hashes if told to, and throws away.
struct Nowhere {
    hash: Option<Sha256>,
    size: u64,
    done: Option<Receipt>,
}

impl Nowhere {
    fn new(hashing: bool) -> Self {
        Self { hash: hashing.then(Sha256::new), size: 0, done: None }
    }
}

impl PartSink for Nowhere {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(data);
        }
        self.size += data.len() as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        let digest = Digest::new(self.hash.clone().map_or([0; 32], |hash| hash.finalize().into()));
        let (hash, size) = (NEXT.fetch_add(1, Ordering::Relaxed), self.size);
        Ok(*self.done.get_or_insert(Receipt { capture: CaptureId(hash), size, digest }))
    }
}

/// The folder itself, as if it were an archive.
struct Plain {
    node: NodePath,
    root: std::path::PathBuf,
    tree: Vec<u8>,
    facts: Facts,
}

impl ArchivedNode for Plain {
    fn path(&self) -> &NodePath {
        &self.node
    }

    fn kind(&self) -> &str {
        "filesystem"
    }

    fn format(&self) -> u32 {
        1
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        Box::new((0..FILES).map(|n| {
            let name = PartName::new(format!("files/{}", name(n))).unwrap();
            ArchivedPart::new(name, size(n) as u64, Digest::new([0; 32]))
        }))
    }

    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        Ok(match name.below("files") {
            Some(path) => Box::new(std::fs::File::open(self.root.join(path.as_str())).unwrap()),
            None => Box::new(std::io::Cursor::new(self.tree.clone())),
        })
    }
}

fn name(n: u64) -> String {
    format!("{:02}/{n}.bin", n % 100)
}

fn size(n: u64) -> usize {
    SIZE / 2 + (n as usize * 7919) % SIZE
}

fn fill(root: &Path) {
    let mut state = 1_u64;
    for n in 0..FILES {
        let mut bytes = Vec::with_capacity(size(n) + 8);
        while bytes.len() < size(n) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        let path = root.join(name(n));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes[..size(n)]).unwrap();
    }
}

#[tokio::main]
async fn main() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("uploads");
    fill(&root);
    let driver =
        FilesystemConfig::new(&root).build(&BuildContext::new(NodePath::new("n").unwrap(), "/")).unwrap();
    for round in 1..=3 {
        println!("round {round}");
        dump(&*driver, base.path(), false).await;
        let tree = dump(&*driver, base.path(), true).await;
        timed("tar -c | cat > /dev/null", || {
            run(&format!("tar -C {0} -c . | cat > /dev/null", root.display()))
        });
        restore(base.path(), &root, tree).await;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("  {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
        let archive = base.path().join("tar");
        run(&format!("tar -C {} -cf {} .", root.display(), archive.display()));
        run("sync");
        timed("tar -x, sync", || {
            run(&format!(
                "mkdir {0}/x && tar -C {0}/x -xf {1} && sync -f {0}/x",
                base.path().display(),
                archive.display()
            ));
        });
        run(&format!("rm -r {}/x {}", base.path().display(), archive.display()));
    }
}

fn run(script: &str) {
    assert!(Command::new("sh").arg("-c").arg(script).status().unwrap().success());
}

fn timed<T>(what: &str, job: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = job();
    println!("  {what:44} {:7.3} s", start.elapsed().as_secs_f64());
    done
}

async fn dump(driver: &dyn Driver, scratch: &Path, hashing: bool) -> Vec<u8> {
    let source = driver.open(OpenContext::new("run", scratch)).await.unwrap();
    let source = tokio::sync::RwLock::new(source);
    let start = Instant::now();
    for pass in 1..=2 {
        let mut parts = source.write().await.capture().await.unwrap();
        let mut all = Vec::new();
        while let Some(part) = parts.next().await {
            all.push(part.unwrap());
        }
        if pass == 1 {
            println!("  {:44} {:7.3} s", "the walk alone", start.elapsed().as_secs_f64());
        }
        dump_all(&source, &all, hashing).await;
        let what = format!("pass {pass}, {} parts, hashing {hashing}", all.len());
        println!("  {what:44} {:7.3} s", start.elapsed().as_secs_f64());
    }
    let mut source = source.into_inner();
    source.pin(&CutContext::new(SystemTime::now(), CutMode::Open)).await.unwrap();
    let references: Vec<_> = (0..FILES).map(|n| Reference::to(name(n))).collect();
    let start = Instant::now();
    let unresolved = source.resolve(None, &references).await.unwrap();
    println!(
        "  {:44} {:7.3} s, {} don't",
        "20,000 keys resolved",
        start.elapsed().as_secs_f64(),
        unresolved.len()
    );
    let start = Instant::now();
    let mut parts = source.parts().await.unwrap();
    let mut tree = Vec::new();
    while let Some(part) = parts.next().await {
        let part = part.unwrap();
        if part.captured.is_none() {
            let mut sink = Collected(Vec::new());
            source.dump(&part, &mut PartWriter::new(&mut sink)).await.unwrap();
            tree = sink.0;
        }
    }
    println!("  {:44} {:7.3} s", "the list of parts, and the tree", start.elapsed().as_secs_f64());
    source.release().await.unwrap();
    tree
}

struct Collected(Vec<u8>);

impl PartSink for Collected {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.0.extend(data);
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        Ok(Receipt { capture: CaptureId(u64::MAX), size: self.0.len() as u64, digest: Digest::new([0; 32]) })
    }
}

async fn dump_all(
    source: &tokio::sync::RwLock<Box<dyn dumprestore_driver::Source>>,
    all: &[Part],
    hashing: bool,
) {
    let source = source.read().await;
    let (source, next, runtime) = (&**source, &AtomicU64::new(0), &Handle::current());
    std::thread::scope(|scope| {
        for _lane in 0..LANES {
            scope.spawn(move || {
                while let Some(part) = all.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let mut sink = Nowhere::new(hashing);
                    runtime.block_on(source.dump(part, &mut PartWriter::new(&mut sink))).unwrap();
                }
            });
        }
    });
}

async fn restore(base: &Path, root: &Path, tree: Vec<u8>) {
    let plain = Plain { node: NodePath::new("n").unwrap(), root: root.to_owned(), tree, facts: Facts::new() };
    let archived: Arc<dyn ArchivedNode> = Arc::new(plain);
    let target = base.join("restored");
    let driver =
        FilesystemConfig::new(&target).build(&BuildContext::new(NodePath::new("n").unwrap(), "/")).unwrap();
    run("sync");
    let start = Instant::now();
    let lap = |what: &str| println!("  {what:44} {:7.3} s", start.elapsed().as_secs_f64());
    let mut staging = driver.stage(archived.clone(), StageContext::new("run")).await.unwrap();
    staging.begin().await.unwrap();
    lap("restore: begun");
    let parts: Vec<_> = archived.parts().collect();
    let (shared, next, all, runtime) = (&*staging, &AtomicU64::new(0), &parts, &Handle::current());
    std::thread::scope(|scope| {
        for _lane in 0..LANES {
            let archived = archived.clone();
            scope.spawn(move || {
                while let Some(part) = all.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let mut stream = archived.read(&part.name).unwrap();
                    runtime.block_on(shared.load(part, &mut PartReader::new(&mut *stream))).unwrap();
                }
            });
        }
    });
    lap("restore: loaded");
    staging.prepare().await.unwrap();
    lap("restore: prepared and on disk");
    staging.commit().await.unwrap();
    lap("restore: committed");
    staging.finish(OldState::Drop).await.unwrap();
    lap("restore: finished");
    run(&format!("diff -rq {0} {1} && rm -r {1}", root.display(), target.display()));
}
