//! A dump, and a restore of it, driven as the engine does.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, BuildContext, CutMode, Digest, Driver, DriverConfig, Facts, NodePath,
    OpenContext, PartName, PartReader, Result, StageContext, Staging,
};
use dumprestore_redis::RedisConfig;
use dumprestore_testkit::{Dumping, Faulty, RedisOptions, RedisVersion, Seed, StoredNode, TempDir};
use serde_json::{Value, json};

use crate::restore_support::{LIVE, Source};

pub fn driver(options: Value) -> Arc<dyn Driver> {
    let config: RedisConfig = serde_json::from_value(options).unwrap();
    config.build(&BuildContext::new(NodePath::new("node").unwrap(), Path::new("/"))).unwrap()
}

/// The driver of a source, as an ordinary configuration has it.
pub fn driver_of(source: &Source) -> Arc<dyn Driver> {
    driver(json!({ "url": source.server.url(0), "databases": LIVE }))
}

/// A dump, in a folder that goes with it.
pub struct Dump {
    pub node: Arc<StoredNode>,
    _folder: TempDir,
}

pub async fn dump(driver: &dyn Driver) -> Dump {
    let folder = TempDir::with_prefix("dumprestore-").unwrap();
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let cx = OpenContext::new(run(), scratch);
    let mut dumping =
        Dumping::open(driver, cx, folder.path().join("archive"), Arc::new(Faulty::never())).await.unwrap();
    dumping.capture().await.unwrap();
    dumping.pin(CutMode::Open).await.unwrap();
    dumping.stream(async || {}).await.unwrap();
    let (node, released) = dumping.release().await;
    released.unwrap();
    Dump { node: Arc::new(node), _folder: folder }
}

/// A server, an archive of what it had, and what it has instead by now.
pub struct Ground {
    pub source: Source,
    pub driver: Arc<dyn Driver>,
    pub dump: Dump,
    pub dumped: String,
    pub before: String,
}

impl Ground {
    pub async fn new() -> Self {
        Self::with(&RedisOptions::new(RedisVersion::Redis7_0), driver_of).await
    }

    /// The same with such a server, and another configuration.
    pub async fn with(options: &RedisOptions, driver_of: impl FnOnce(&Source) -> Arc<dyn Driver>) -> Self {
        let source = Source::with(options);
        source.seed(Seed::Ordinary);
        let driver = driver_of(&source);
        let dump = dump(&*driver).await;
        let dumped = source.fingerprint();
        source.seed(Seed::Hostile);
        let before = source.fingerprint();
        Self { source, driver, dump, dumped, before }
    }
}

/// An RDB file as an archive.
pub struct Made {
    pub path: NodePath,
    pub facts: Facts,
    pub content: Vec<u8>,
    pub rows: Option<u64>,
}

impl Made {
    pub fn new(content: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { path: NodePath::new("node").unwrap(), facts: Facts::new(), content, rows: None })
    }
}

impl ArchivedNode for Made {
    fn path(&self) -> &NodePath {
        &self.path
    }
    fn kind(&self) -> &str {
        "redis"
    }
    fn format(&self) -> u32 {
        1
    }
    fn facts(&self) -> &Facts {
        &self.facts
    }
    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        let name = PartName::new("dump.rdb").unwrap();
        let part = ArchivedPart::new(name, self.content.len() as u64, Digest::new([0; 32]));
        Box::new(std::iter::once(part.with_rows(self.rows)))
    }
    fn read(&self, _: &PartName) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.content.clone())))
    }
}

/// A run of its own.
pub fn run() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("run-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub async fn stage(driver: &dyn Driver, node: Arc<dyn ArchivedNode>) -> Result<Box<dyn Staging>> {
    driver.stage(node, StageContext::new(run())).await
}

pub async fn load(staging: &dyn Staging, node: &dyn ArchivedNode) -> Result<()> {
    for part in node.parts() {
        let mut from = node.read(&part.name)?;
        staging.load(&part, &mut PartReader::new(&mut *from)).await?;
    }
    Ok(())
}

pub async fn prepared(driver: &dyn Driver, node: Arc<dyn ArchivedNode>) -> Result<Box<dyn Staging>> {
    prepared_as(run(), driver, node).await
}

/// The same, in a run that is known.
pub async fn prepared_as(
    run: String,
    driver: &dyn Driver,
    node: Arc<dyn ArchivedNode>,
) -> Result<Box<dyn Staging>> {
    let mut staging = driver.stage(node.clone(), StageContext::new(run)).await?;
    staging.begin().await?;
    load(&*staging, &*node).await?;
    staging.prepare().await?;
    Ok(staging)
}
