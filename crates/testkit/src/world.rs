//! The surroundings of one trial: a fixture, its driver, and folders to dump into.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_driver::{
    ArchivedNode, BuildContext, CutMode, Driver, DriverConfig, Error, ErrorKind, NodePath, OldState,
    OpenContext, Result, StageContext, Staging, Token, Undo,
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Broken, Dumping, Faulty, Fixture, Restoring, Seed, Step, StoredNode};

/// What the suite needs of a fixture's type.
#[derive(Clone, Copy)]
pub struct Kit {
    make: fn(PathBuf) -> BoxFuture<'static, Arc<dyn Fixture>>,
    build: fn(Value, &BuildContext) -> Result<Arc<dyn Driver>>,
    pub(crate) schema: fn() -> schemars::Schema,
    pub(crate) kind: &'static str,
    pub(crate) about: &'static str,
    pub(crate) target: Option<&'static str>,
}

impl Kit {
    /// That of fixture `F`.
    pub fn of<F: Fixture>() -> Self {
        Self {
            make: |folder| {
                Box::pin(async move {
                    let fixture: Arc<dyn Fixture> = Arc::new(F::new(&folder).await);
                    fixture
                })
            },
            build: |options, cx| {
                let config: F::Config = serde_json::from_value(options)
                    .map_err(|error| Error::config("the options don't fit").with_source(error))?;
                config.build(cx)
            },
            schema: || schemars::schema_for!(F::Config),
            kind: F::Config::KIND,
            about: F::Config::ABOUT,
            target: F::Config::TARGET,
        }
    }

    /// A driver with these options; relative paths start from `base`.
    pub fn driver(&self, options: Value, base: &Path) -> Result<Arc<dyn Driver>> {
        (self.build)(options, &BuildContext::new(NodePath::new("node")?, base))
    }
}

/// The surroundings of one trial.
pub struct World {
    /// The fixture.
    pub fixture: Arc<dyn Fixture>,
    /// The driver of its source.
    pub driver: Arc<dyn Driver>,
    pub(crate) kit: Kit,
    pub(crate) test: &'static str,
    folder: Arc<TempDir>,
    place: String,
    counter: AtomicU64,
}

/// All that must be as it was: the content of the source, and what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The content.
    pub content: String,
    /// What lies beside.
    pub beside: BTreeSet<String>,
}

impl World {
    /// Those to try of what may happen to a run, see [`Fixture::is_slow`].
    pub(crate) fn tried<T>(&self, all: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        let is_short =
            self.fixture.is_slow() && std::env::var_os("DUMPRESTORE_FAULTS").is_none_or(|how| how != "all");
        all.into_iter().step_by(if is_short { 3 } else { 1 })
    }

    pub(crate) async fn new(kit: Kit, test: &'static str) -> Result<Self> {
        let folder = TempDir::with_prefix("dumprestore-")
            .map_err(|e| Error::io("can't make a temporary folder", e))?;
        Self::inside(Arc::new(folder), "source", kit, test).await
    }

    /// Another source of the same kind, with nothing in it.
    pub async fn another(&self) -> Result<Self> {
        Self::inside(self.folder.clone(), "elsewhere", self.kit, self.test).await
    }

    async fn inside(folder: Arc<TempDir>, place: &str, kit: Kit, test: &'static str) -> Result<Self> {
        let base = folder.path().join(place);
        std::fs::create_dir_all(&base).map_err(|e| Error::io("can't make a folder for the fixture", e))?;
        let fixture = (kit.make)(base.clone()).await;
        fixture.seed(Seed::Empty).await;
        let driver = kit.driver(fixture.options(), &base)?;
        Ok(Self { fixture, driver, kit, test, folder, place: place.to_owned(), counter: AtomicU64::new(1) })
    }

    /// The fixture's folder.
    pub fn base(&self) -> PathBuf {
        self.folder.path().join(&self.place)
    }

    /// A path below the trial's folder that is not taken yet.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::SeqCst);
        self.folder.path().join(format!("{}-{name}-{number}", self.place))
    }

    /// A name for a run.
    pub fn run(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::SeqCst);
        format!("20260101t000000z-{:05}-{number:04}", std::process::id())
    }

    /// The state of the source and what lies beside it.
    pub async fn state(&self) -> State {
        State { content: self.fixture.fingerprint().await, beside: self.fixture.beside(&self.base()).await }
    }

    /// Opens the source for a dump.
    pub async fn open(&self, faults: &Arc<Faulty>) -> Result<Dumping> {
        let scratch = self.fresh("scratch");
        std::fs::create_dir_all(&scratch).map_err(|e| Error::io("can't make a scratch folder", e))?;
        let folder = self.fresh("archive");
        let cx = OpenContext::new(self.run(), scratch).with_ours(vec![folder.clone()]);
        Dumping::open(&*self.driver, cx, folder, faults.clone()).await
    }

    /// A whole dump in one lane.
    pub async fn dump(&self) -> Result<Arc<StoredNode>> {
        self.dump_with(&Arc::default(), 1).await
    }

    /// A whole dump with so many lanes, and faults.
    pub async fn dump_with(&self, faults: &Arc<Faulty>, lanes: usize) -> Result<Arc<StoredNode>> {
        let mut dumping = self.open(faults).await?;
        dumping.set_lanes(lanes);
        let dumped = dump_all(&mut dumping).await;
        let (node, released) = dumping.release().await;
        dumped?;
        released?;
        Ok(Arc::new(node))
    }

    /// Stages a restore of `archived`.
    pub async fn stage(&self, archived: &Arc<StoredNode>) -> Result<Restoring> {
        self.stage_with(archived, &Arc::default()).await
    }

    /// Stages a restore with faults.
    pub async fn stage_with(&self, archived: &Arc<StoredNode>, faults: &Arc<Faulty>) -> Result<Restoring> {
        Restoring::stage(&*self.driver, archived.clone(), StageContext::new(self.run()), faults.clone()).await
    }

    /// Stages a restore and goes on to the end of `last`; the old state would be dropped.
    pub async fn staged(&self, archived: &Arc<StoredNode>, last: Step) -> Result<Restoring> {
        let mut restoring = self.stage(archived).await?;
        restoring.go(last, OldState::Drop).await?;
        Ok(restoring)
    }

    /// A whole restore. The token of the old state, if that was kept.
    pub async fn restore(&self, archived: &Arc<StoredNode>, old: OldState) -> Result<Option<Token>> {
        self.stage(archived).await?.go(Step::Finish, old).await
    }

    /// Picks up a staging by its token, as another process would.
    pub async fn resume(&self, token: &Token) -> Result<Box<dyn Staging>> {
        let driver = self.kit.driver(self.fixture.options(), &self.base())?;
        driver.resume(token, StageContext::new(self.run())).await
    }

    /// A dump of content that is not the live one: the archive has `archived`, the source then gets `live`.
    pub async fn dump_then(&self, archived: Seed, live: Seed) -> Result<(Arc<StoredNode>, String, State)> {
        self.fixture.seed(archived).await;
        let content = self.fixture.fingerprint().await;
        let node = self.dump().await?;
        self.fixture.seed(live).await;
        self.fixture.mutate().await;
        Ok((node, content, self.state().await))
    }

    /// Rolls `staging` back, and checks that all is as `before`: or that a driver that can't undo says so.
    pub async fn roll_back(&self, staging: &mut dyn Staging, before: &State) -> Result<(), Broken> {
        let never = self.driver.capabilities().undo == Undo::Never;
        self.roll_back_or_be_stuck(staging, before, never).await
    }

    /// The same twice, and once more as after a crash that came when the rollback was through.
    pub async fn roll_back_again(&self, mut restoring: Restoring, before: &State) -> Result<(), Broken> {
        let token = restoring.staging().journal();
        self.roll_back(restoring.staging(), before).await?;
        self.roll_back(restoring.staging(), before).await?;
        drop(restoring);
        let mut resumed = self.resume(&token).await?;
        self.roll_back(&mut *resumed, before).await
    }

    /// The same after a commit, which is more than some can undo.
    pub async fn roll_back_a_commit(&self, staging: &mut dyn Staging, before: &State) -> Result<(), Broken> {
        let too_late = self.driver.capabilities().undo != Undo::AfterCommit;
        self.roll_back_or_be_stuck(staging, before, too_late).await
    }

    async fn roll_back_or_be_stuck(
        &self,
        staging: &mut dyn Staging,
        before: &State,
        stuck: bool,
    ) -> Result<(), Broken> {
        match staging.rollback().await {
            Ok(()) => self.expect(before, "after the rollback").await,
            Err(error) if stuck => honest(&error),
            Err(error) => Err(Broken::because("`rollback` failed", error)),
        }
    }

    /// Checks that all is as `before`.
    pub async fn expect(&self, before: &State, when: &str) -> Result<(), Broken> {
        let now = self.state().await;
        same(&before.content, &now.content, when)?;
        if before.beside != now.beside {
            let added: Vec<_> = now.beside.difference(&before.beside).collect();
            let gone: Vec<_> = before.beside.difference(&now.beside).collect();
            return Err(Broken::new(format!(
                "{when}, beside the source: left over {added:?}, missing {gone:?}"
            )));
        }
        Ok(())
    }

    /// Checks that no dump left anything where scratch files go.
    pub fn scratch_is_empty(&self) -> Result<(), Broken> {
        let prefix = format!("{}-scratch-", self.place);
        let left: Vec<String> = crate::entries(self.folder.path())
            .into_iter()
            .filter(|name| name.starts_with(&prefix))
            .flat_map(|name| crate::entries(&self.folder.path().join(name)))
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(Broken::new(format!("left over in the scratch folder: {left:?}")))
        }
    }

    /// Checks the content only.
    pub async fn expect_content(&self, content: &str, when: &str) -> Result<(), Broken> {
        same(content, &self.fixture.fingerprint().await, when)
    }
}

fn honest(error: &Error) -> Result<(), Broken> {
    if error.kind() != ErrorKind::Stuck {
        return Err(Broken::new(format!("a rollback that is impossible must say `Stuck`, not {error:?}")));
    }
    if error.hint().is_none() {
        return Err(Broken::new(format!("a stuck rollback must have a hint: {error:?}")));
    }
    Ok(())
}

/// Everything between `open` and `release`.
pub(crate) async fn dump_all(dumping: &mut Dumping) -> Result<()> {
    dumping.capture().await?;
    dumping.pin(CutMode::Open).await?;
    dumping.stream(async || {}).await
}

/// Checks that two contents are equal; otherwise shows the first lines that differ.
pub(crate) fn same(expected: &str, found: &str, when: &str) -> Result<(), Broken> {
    if expected == found {
        return Ok(());
    }
    let (mut old, mut new) = (expected.lines(), found.lines());
    let mut shown = String::new();
    for number in 1.. {
        let (left, right) = (old.next(), new.next());
        if left.is_none() && right.is_none() || shown.len() > 2000 {
            break;
        }
        if left != right {
            let cut =
                |line: Option<&str>| line.map_or("(end)".into(), |l| l.chars().take(200).collect::<String>());
            shown.push_str(&format!(
                "\n  line {number}: expected {}\n  line {number}: found    {}",
                cut(left),
                cut(right)
            ));
        }
    }
    Err(Broken::new(format!("{when}, the content differs:{shown}")))
}

/// The parts of a node, for comparison.
pub(crate) fn part_names(node: &StoredNode) -> BTreeSet<String> {
    node.parts().map(|part| part.name.to_string()).collect()
}
