//! Dumps and restores, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_driver::{
    ArchivedNode, BuildContext, CutMode, Driver, DriverConfig, Edge, NodePath, OldState, OpenContext,
    PartName, Reference, Result, StageContext, Staging, Token,
};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Dumping, Faulty, Restoring, Step, StoredNode};
use tempfile::TempDir;

/// A folder with a database in it, and a driver for that.
pub struct Place {
    folder: TempDir,
    pub path: PathBuf,
    pub driver: Arc<dyn Driver>,
    counter: AtomicU64,
}

impl Place {
    pub fn new() -> Self {
        Self::with(SqliteConfig::new)
    }

    pub fn with(config: impl FnOnce(PathBuf) -> SqliteConfig) -> Self {
        Self::named("shop.db", config)
    }

    pub fn named(name: &str, config: impl FnOnce(PathBuf) -> SqliteConfig) -> Self {
        let folder = TempDir::with_prefix("dumprestore-").unwrap();
        let live = folder.path().join("live");
        std::fs::create_dir(&live).unwrap();
        let path = live.join(name);
        let driver = driver(config(path.clone()));
        Self { folder, path, driver, counter: AtomicU64::new(1) }
    }

    /// Another driver of the same database.
    pub fn again(&self, config: impl FnOnce(PathBuf) -> SqliteConfig) -> Arc<dyn Driver> {
        driver(config(self.path.clone()))
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }

    /// The names in the folder of the database.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path.parent().unwrap()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub async fn open(&self) -> Dumping {
        self.open_with(&self.driver).await
    }

    async fn open_with(&self, driver: &Arc<dyn Driver>) -> Dumping {
        let folder = self.folder.path().join(format!("archive-{}", self.number()));
        let cx = OpenContext::new("run", self.scratch());
        Dumping::open(&**driver, cx, folder, Arc::default()).await.unwrap()
    }

    pub async fn pinned(&self, mode: CutMode) -> Dumping {
        let mut dumping = self.open().await;
        dumping.pin(mode).await.unwrap();
        dumping
    }

    pub async fn dump(&self) -> Arc<StoredNode> {
        self.try_dump().await.unwrap()
    }

    pub async fn try_dump(&self) -> Result<Arc<StoredNode>> {
        self.try_dump_with(&self.driver.clone()).await
    }

    pub async fn try_dump_with(&self, driver: &Arc<dyn Driver>) -> Result<Arc<StoredNode>> {
        let mut dumping = self.open_with(driver).await;
        let pinned = dumping.pin(CutMode::Open).await;
        let streamed = match pinned {
            Ok(()) => dumping.stream(async || ()).await,
            Err(error) => Err(error),
        };
        let (node, released) = dumping.release().await;
        streamed?;
        released?;
        assert_eq!(std::fs::read_dir(self.scratch()).map_or(0, Iterator::count), 0, "scratch files are left");
        Ok(Arc::new(node))
    }

    pub fn context(&self) -> StageContext {
        StageContext::new(format!("run{}", self.number()))
    }

    pub async fn stage(&self, archived: &Arc<StoredNode>) -> Restoring {
        Restoring::stage(&*self.driver, archived.clone(), self.context(), Arc::<Faulty>::default())
            .await
            .unwrap()
    }

    /// Goes on to the end of `last`.
    pub async fn staged(&self, archived: &Arc<StoredNode>, last: Step) -> Restoring {
        let mut restoring = self.stage(archived).await;
        restoring.go(last, OldState::Drop).await.unwrap();
        restoring
    }

    pub async fn restore(&self, archived: &Arc<StoredNode>) {
        self.staged(archived, Step::Finish).await;
    }

    pub async fn restore_and_keep(&self, archived: &Arc<StoredNode>) -> Token {
        self.stage(archived).await.go(Step::Finish, OldState::Keep).await.unwrap().unwrap()
    }

    pub async fn resume(&self, token: &Token) -> Box<dyn Staging> {
        self.driver.resume(token, self.context()).await.unwrap()
    }
}

pub fn driver(config: SqliteConfig) -> Arc<dyn Driver> {
    config.build(&BuildContext::new(NodePath::new("node").unwrap(), "/")).unwrap()
}

/// The image in the archive.
pub fn image(archived: &StoredNode) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(
        &mut archived.read(&PartName::new("database.sqlite").unwrap()).unwrap(),
        &mut bytes,
    )
    .unwrap();
    bytes
}

pub fn edge(query: &str) -> Edge {
    let node = |name: &str| NodePath::new(name).unwrap();
    Edge { from: node("node"), to: node("other"), keys: query.into(), within: None }
}

pub fn references(keys: &[&str]) -> Vec<Reference> {
    keys.iter().map(|key| Reference::to(*key)).collect()
}
