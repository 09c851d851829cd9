//! Filling folders, and telling them apart by all that a restore must bring back.

#![allow(unreachable_pub, dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use std::io::Read;
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, BuildContext, CaptureId, CutContext, CutMode, Digest as Sha, Driver,
    DriverConfig, Dumped, Error, Extras, Facts, LedgerEntry, NodePath, OldState, OpenContext, Part, PartName,
    PartReader, PartSink, PartWriter, Receipt, Reference, Result, Source, StageContext, Staging, Unresolved,
};
use dumprestore_filesystem::FilesystemConfig;
use futures_util::StreamExt;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, utimensat};
use sha2::{Digest, Sha256};

/// All of a folder as text: one line for each entry.
pub fn fingerprint(root: &Path) -> String {
    let mut lines = Vec::new();
    let mut inodes = BTreeMap::new();
    if root.is_dir() {
        describe(root, &root.canonicalize().unwrap(), &mut inodes, &mut lines);
    } else {
        lines.push("nothing".to_owned());
    }
    lines.join("\n")
}

fn describe(root: &Path, path: &Path, inodes: &mut BTreeMap<u64, String>, lines: &mut Vec<String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let name = path.strip_prefix(root.canonicalize().unwrap()).unwrap().as_os_str().as_bytes().escape_ascii();
    let name = name.to_string();
    let mut line = format!(
        "{name:?} {:o} {}:{} {}.{:09}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    if meta.is_symlink() {
        line += &format!(" -> {}", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii());
    } else {
        line += &xattrs(path);
    }
    if meta.is_file() {
        line += &format!(" {} {}", meta.len(), hex::encode(Sha256::digest(fs::read(path).unwrap())));
        if meta.nlink() > 1 {
            line += &format!(" = {}", inodes.entry(meta.ino()).or_insert(name));
        }
    }
    lines.push(line);
    if meta.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| describe(root, entry, inodes, lines));
    }
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::listxattr(path, &mut names[..]).unwrap();
    let mut found: Vec<&[u8]> =
        names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    found.sort_unstable();
    let mut text = String::new();
    for name in found.iter().filter(|name| !name.starts_with(b"security.selinux")) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::getxattr(path, *name, &mut value[..]).unwrap();
        text += &format!(" {}={}", name.escape_ascii(), hex::encode(&value[..length]));
    }
    text
}

/// Writes files and makes other things below a folder.
pub struct Builder<'a>(pub &'a Path);

impl Builder<'_> {
    pub fn at(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.0.join(path.as_ref())
    }

    pub fn file(&self, path: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn folder(&self, path: impl AsRef<OsStr>) -> &Self {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    pub fn link(&self, path: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> &Self {
        symlink(target.as_ref(), self.at(path)).unwrap();
        self
    }

    pub fn hard_link(&self, path: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> &Self {
        fs::hard_link(self.at(target), self.at(path)).unwrap();
        self
    }

    pub fn mode(&self, path: impl AsRef<OsStr>, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn xattr(&self, path: impl AsRef<OsStr>, name: &str, value: &[u8]) -> &Self {
        rustix::fs::setxattr(self.at(path), name, value, XattrFlags::empty()).unwrap();
        self
    }

    pub fn time(&self, path: impl AsRef<OsStr>, seconds: i64, nanos: i64) -> &Self {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, self.at(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        self
    }

    /// Gives everything below, and the folder itself, a time that depends on its name only.
    pub fn settle(&self) -> &Self {
        settle(self.0, 1_600_000_000);
        self
    }
}

fn settle(path: &Path, seconds: i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let salt: i64 = entry.file_name().as_bytes().iter().map(|byte| i64::from(*byte)).sum();
            settle(&entry.path(), seconds + salt);
        }
    }
    let time = Timespec { tv_sec: seconds, tv_nsec: seconds % 1_000_000_000 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that no compressor and no accident brings forth twice.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A folder with a driver for it, and a folder around it.
pub struct Case {
    pub around: tempfile::TempDir,
    pub root: PathBuf,
    runs: std::sync::atomic::AtomicU32,
}

impl Default for Case {
    fn default() -> Self {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap().join("uploads");
        fs::create_dir(&root).unwrap();
        Self { around, root, runs: Default::default() }
    }
}

impl Case {
    pub fn build(&self) -> Builder<'_> {
        Builder(&self.root)
    }

    pub fn driver(&self, options: serde_json::Value) -> Arc<dyn Driver> {
        let mut all = serde_json::json!({ "path": self.root });
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let config: FilesystemConfig = serde_json::from_value(all).unwrap();
        config.build(&BuildContext::new(NodePath::new("node").unwrap(), "/")).unwrap()
    }

    pub fn run(&self) -> String {
        let number = self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("20260101t000000z-{number:04}")
    }

    pub async fn open(&self, options: serde_json::Value) -> Dump {
        self.try_open(&*self.driver(options)).await.unwrap()
    }

    pub async fn try_open(&self, driver: &dyn Driver) -> Result<Dump> {
        let source = driver.open(OpenContext::new(self.run(), self.around.path())).await?;
        Ok(Dump { source, captured: BTreeMap::new(), next: 0 })
    }

    /// A whole dump, as quiet as the folder.
    pub async fn dump(&self, options: serde_json::Value) -> Arc<Archive> {
        let mut dump = self.open(options).await;
        dump.pass().await;
        dump.pin().await;
        Arc::new(dump.seal().await)
    }

    pub fn fingerprint(&self) -> String {
        fingerprint(&self.root)
    }

    /// The same without the line of one path.
    pub fn fingerprint_but(&self, path: &str) -> String {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions();
        let left_out = self.root.join(path);
        let was = mode(&left_out);
        fs::set_permissions(&left_out, fs::Permissions::from_mode(0o400)).unwrap();
        let all = self.fingerprint();
        fs::set_permissions(&left_out, was).unwrap();
        let start = format!("{path:?} ");
        all.lines().filter(|line| !line.starts_with(&start)).collect::<Vec<_>>().join("\n")
    }

    /// What is beside the folder.
    pub fn beside(&self) -> Vec<String> {
        let names = fs::read_dir(self.around.path()).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub async fn stage(
        &self,
        archive: &Arc<Archive>,
        options: serde_json::Value,
        extras: Extras,
    ) -> Result<Restore> {
        let cx = StageContext::new(self.run()).with_extras(extras);
        let driver = self.driver(options);
        let staging = driver.stage(archive.clone(), cx).await?;
        Ok(Restore { staging, archive: archive.clone() })
    }

    /// A whole restore.
    pub async fn restore(
        &self,
        archive: &Arc<Archive>,
        options: serde_json::Value,
        extras: Extras,
    ) -> Result<()> {
        let mut restore = self.stage(archive, options, extras).await?;
        restore.load().await?;
        restore.staging.prepare().await?;
        restore.staging.commit().await?;
        restore.staging.finish(OldState::Drop).await.map(drop)
    }
}

/// A dump that keeps everything in memory.
pub struct Dump {
    pub source: Box<dyn Source>,
    pub captured: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Dump {
    /// One pass; the names of what was listed.
    pub async fn pass(&mut self) -> Vec<String> {
        let parts = self.list().await;
        for part in &parts {
            self.take(part).await;
        }
        parts.into_iter().map(|part| part.name.to_string()).collect()
    }

    pub async fn list(&mut self) -> Vec<Part> {
        let mut stream = self.source.capture().await.unwrap();
        let mut parts = Vec::new();
        while let Some(part) = stream.next().await {
            parts.push(part.unwrap());
        }
        parts
    }

    /// Dumps a part, as often as it is torn. The capture, unless it is gone.
    pub async fn take(&mut self, part: &Part) -> Option<u64> {
        for _try in 0..20 {
            self.next += 1;
            let mut sink = Memory { id: self.next, bytes: Vec::new(), finished: false };
            let dumped = self.source.dump(part, &mut PartWriter::new(&mut sink)).await.unwrap();
            match dumped {
                Dumped::Whole { .. } => {
                    self.captured.insert(sink.id, sink.bytes);
                    return Some(sink.id);
                }
                Dumped::Torn => assert!(!sink.finished, "a torn part was finished"),
                Dumped::Gone => return None,
            }
        }
        panic!("{} is torn for ever", part.name);
    }

    pub async fn pin(&mut self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let now = std::time::UNIX_EPOCH + std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
        self.source.pin(&CutContext::new(now, CutMode::Open)).await.unwrap();
    }

    /// Those that don't resolve, also after the parts that may mend them were dumped.
    pub async fn resolve(&mut self, references: &[Reference]) -> Vec<Unresolved> {
        let first = self.source.resolve(None, references).await.unwrap();
        let parts: Vec<_> = first.iter().filter_map(|unresolved| unresolved.part.clone()).collect();
        for part in &parts {
            self.take(part).await;
        }
        if parts.is_empty() {
            return first;
        }
        let again: Vec<_> = first.into_iter().map(|unresolved| unresolved.reference).collect();
        self.source.resolve(None, &again).await.unwrap()
    }

    pub async fn seal(&mut self) -> Archive {
        let mut stream = self.source.parts().await.unwrap();
        let mut parts = BTreeMap::new();
        while let Some(part) = stream.next().await {
            let part = part.unwrap();
            let id = match part.captured {
                Some(id) => Some(id.0),
                None => self.take(&part).await,
            };
            if let Some(id) = id {
                assert!(
                    parts.insert(part.name.clone(), self.captured[&id].clone()).is_none(),
                    "{} twice",
                    part.name
                );
            }
        }
        let ledger = self.source.ledger();
        self.source.release().await.unwrap();
        Archive { node: NodePath::new("node").unwrap(), parts, ledger, facts: Facts::new() }
    }
}

struct Memory {
    id: u64,
    bytes: Vec<u8>,
    finished: bool,
}

impl PartSink for Memory {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.bytes.extend(data);
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        self.finished = true;
        let digest = Sha::new(Sha256::digest(&self.bytes).into());
        Ok(Receipt { capture: CaptureId(self.id), size: self.bytes.len() as u64, digest })
    }
}

/// An archive in memory.
#[derive(Clone)]
pub struct Archive {
    node: NodePath,
    pub parts: BTreeMap<PartName, Vec<u8>>,
    pub ledger: Vec<LedgerEntry>,
    facts: Facts,
}

impl Archive {
    /// The bytes of the file at `path`.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.parts.get(&PartName::escape(format!("files/{path}").as_bytes()).unwrap()).map(|bytes| &bytes[..])
    }

    pub fn tree(&self) -> String {
        String::from_utf8(self.parts[&PartName::new("tree.jsonl").unwrap()].clone()).unwrap()
    }

    /// The same with another tree.
    pub fn with_tree(&self, tree: impl Into<Vec<u8>>) -> Arc<Self> {
        let mut other = self.clone();
        other.parts.insert(PartName::new("tree.jsonl").unwrap(), tree.into());
        Arc::new(other)
    }

    /// The same with one more part, or less.
    pub fn with_part(&self, name: &str, bytes: Option<&[u8]>) -> Arc<Self> {
        let (mut other, name) = (self.clone(), PartName::new(name).unwrap());
        match bytes {
            Some(bytes) => other.parts.insert(name, bytes.to_vec()),
            None => other.parts.remove(&name),
        };
        Arc::new(other)
    }

    pub fn degraded(&self) -> Vec<&LedgerEntry> {
        self.ledger.iter().filter(|entry| entry.degrades).collect()
    }

    pub fn says(&self, what: &str, why: &str) -> bool {
        self.ledger.iter().any(|entry| entry.what == what && entry.why.contains(why))
    }
}

impl ArchivedNode for Archive {
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
        Box::new(self.parts.iter().map(|(name, bytes)| {
            ArchivedPart::new(name.clone(), bytes.len() as u64, Sha::new(Sha256::digest(bytes).into()))
        }))
    }

    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        match self.parts.get(name) {
            Some(bytes) => Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
            None => Err(Error::archive(format!("there is no part `{name}`"))),
        }
    }
}

/// A restore, by hand.
pub struct Restore {
    pub staging: Box<dyn Staging>,
    archive: Arc<Archive>,
}

impl Restore {
    pub async fn load(&mut self) -> Result<()> {
        self.staging.begin().await?;
        for part in self.archive.parts() {
            let mut stream = self.archive.read(&part.name)?;
            self.staging.load(&part, &mut PartReader::new(&mut *stream)).await?;
        }
        Ok(())
    }

    pub async fn commit(&mut self) -> Result<()> {
        self.load().await?;
        self.staging.prepare().await?;
        self.staging.commit().await
    }
}

/// A reference with the digest of `content`.
pub fn holding(key: &str, content: impl AsRef<[u8]>) -> Reference {
    Reference { digest: Some(Sha::new(Sha256::digest(content).into())), ..Reference::to(key) }
}

/// Until what was written just now is older than a tick of the clock.
pub fn rest() {
    std::thread::sleep(std::time::Duration::from_millis(40));
}

/// Runs a test once more, in a process of its own, by `wrapper`. Answers `true` there.
pub fn in_child(test: &str, wrapper: &[&str]) -> bool {
    const MARK: &str = "DUMPRESTORE_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let run = std::process::Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap_or_else(|error| panic!("`{}` is needed: {error}", wrapper[0]));
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("1 passed"), "the child ran no test: {told}");
    false
}

/// For tests that mount something: a process with mounts of its own.
pub fn with_own_mounts(test: &str) -> bool {
    match rustix::process::geteuid().is_root() {
        true => in_child(test, &["unshare", "--mount", "--propagation", "private"]),
        false => in_child(test, &["unshare", "--map-root-user", "--mount", "--propagation", "private"]),
    }
}

/// For tests of what an ordinary user may not do.
pub fn as_ordinary_user(test: &str) -> bool {
    match rustix::process::geteuid().is_root() {
        true => {
            in_child(test, &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        }
        false => true,
    }
}

pub fn shell(script: &str) {
    let status = std::process::Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Tells a busy thread to stop, also when the test fails: else the test would wait for it for ever.
pub struct StopAtEnd<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Runs `job` over and over in a thread of its own, while `meanwhile` runs.
pub async fn while_busy(mut job: impl FnMut(u64) + Send, meanwhile: impl AsyncFnOnce()) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (stop, job) = (&stop, &mut job);
    std::thread::scope(|scope| {
        let busy = scope.spawn(move || {
            let mut turn = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                turn += 1;
                job(turn);
            }
        });
        let handle = tokio::runtime::Handle::current();
        let stopping = StopAtEnd(stop);
        tokio::task::block_in_place(|| handle.block_on(meanwhile()));
        drop(stopping);
        busy.join().unwrap();
    });
}
