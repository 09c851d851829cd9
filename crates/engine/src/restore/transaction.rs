//! All or nothing: the steps of a restore, each journalled before it is taken, and the way back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use dumprestore_driver::{
    Cancel, Error, LedgerEntry, NodePath, OldState, Result, Secret, StageContext, Staging, Undo,
};
use futures_util::TryFutureExt;
use tokio::sync::RwLock;

use super::choose::{Chosen, Origin};
use super::load::Load;
use super::previous::{KeptNode, Restored};
use super::rollback::{StuckNode, end_rollback, unwritten};
use super::stop::{Heed, StopAll};
use crate::Observer;
use crate::archived::Section;
use crate::event::Event;
use crate::journal::{Header, HeaderNode, Journal};
use crate::lanes::{Lanes, first_cause};
use crate::run::Run;

/// A staging that lanes share. The engine takes it whole only between phases.
pub(super) type SharedStaging = Arc<RwLock<Box<dyn Staging>>>;

/// One node of a restore under way.
pub(super) struct Step {
    pub(super) node: NodePath,
    pub(super) driver: String,
    pub(super) target: String,
    pub(super) undo: Undo,
    pub(super) staging: SharedStaging,
    pub(super) bytes: u64,
    pub(super) parts: u64,
    /// Whether all of the node is restored.
    pub(super) whole: bool,
    /// What the driver has told so far.
    pub(super) ledger: Vec<LedgerEntry>,
    section: Option<Arc<Section>>,
    lanes: Lanes,
    /// Ends what its driver is at, before its commit.
    stop: Cancel,
    begun: bool,
}

/// What came of finishing.
pub(super) struct Finished {
    pub(super) errors: Vec<Error>,
    /// Of each step, in order.
    pub(super) ledgers: Vec<Vec<LedgerEntry>>,
}

/// A restore under way.
pub(super) struct Transaction {
    pub(super) steps: Vec<Step>,
    /// Whether a rollback could leave a mix: it can't be told if the last commit took effect, or it did, and can't be
    /// undone. The journal stays, and `recover` goes on.
    pub(super) undecided: bool,
    run: Run,
    journal: Journal,
    /// Whether `recover` could go forward by what may be on disk: then no rollback may begin that is not noted there.
    points_forward: bool,
    /// Whether a commit that can't be undone is through: from then on no wish to stop is heard, for it would leave a
    /// mix.
    is_past_return: bool,
    stop: StopAll,
}

impl Transaction {
    /// Plans a staging for each node, and begins the journal. Nothing is created beside a target yet.
    pub(super) async fn stage(
        chosen: Vec<Chosen>,
        header: Header,
        journal: std::path::PathBuf,
        run: &Run,
        cx: impl Fn(&Chosen) -> StageContext,
        lanes: &Lanes,
    ) -> Result<Self> {
        let (mut steps, stop) = (Vec::new(), StopAll::default());
        for chosen in chosen {
            let node = chosen.node.clone();
            let cx = cx(&chosen).with_cancel(stop.one());
            steps.push(Step::stage(chosen, cx, lanes).await.map_err(|error| error.with_node(&node))?);
        }
        let journal = Journal::create(journal, &header)?;
        Ok(Self {
            steps,
            undecided: false,
            run: run.clone(),
            journal,
            points_forward: false,
            is_past_return: false,
            stop,
        })
    }

    /// Loads and prepares all that can be undone. The live data stay as they are.
    pub(super) async fn load_and_prepare(&mut self) -> Result<()> {
        self.phase("stage");
        for at in 0..self.undoable() {
            self.run.cancel.check()?;
            self.begin(at).await?;
        }
        self.phase("load");
        for step in &self.steps[..self.undoable()] {
            let token = step.staging.read().await.journal();
            self.journal.step(&step.node, "load", token)?;
        }
        let undoable = self.undoable();
        let (observer, stop, steps) = (&self.run.observer, &self.stop, &mut self.steps[..undoable]);
        let all = steps.iter_mut().map(|step| step.load(observer).inspect_err(|_| stop.all()));
        first_cause(futures_util::future::join_all(all).await)?;
        self.prepare_all().await
    }

    /// At once: most of it is waiting for servers and disks.
    async fn prepare_all(&mut self) -> Result<()> {
        self.phase("prepare");
        self.run.cancel.check()?;
        let undoable = self.undoable();
        for at in 0..undoable {
            self.journal_step(at, "prepare").await?;
        }
        let (run, stop, steps) = (&self.run, &self.stop, &mut self.steps[..undoable]);
        let all = steps.iter_mut().map(|step| step.prepare(run).inspect_err(|_| stop.all()));
        first_cause(futures_util::future::join_all(all).await)
    }

    /// Where the staged data of each node can be reached.
    pub(super) async fn addresses(&self) -> BTreeMap<NodePath, Secret> {
        let mut addresses = BTreeMap::new();
        for step in &self.steps[..self.undoable()] {
            if let Some(address) = step.staging.read().await.address() {
                addresses.insert(step.node.clone(), address);
            }
        }
        addresses
    }

    /// Swaps everything in; what can't be undone is loaded last. From the end of this on it only goes forward.
    pub(super) async fn commit(&mut self) -> Result<()> {
        self.phase("commit");
        for at in 0..self.undoable() {
            self.hear()?;
            // Once a commit begins from which there is no way back, its driver is left alone.
            let heeding = if self.steps[at].undo == Undo::AfterCommit { at..at + 1 } else { at..at };
            self.heed(heeding).during(self.commit_node(at)).await?;
        }
        for at in self.undoable()..self.steps.len() {
            self.hear()?;
            self.heed(at..at + 1).during(self.load_last(at)).await?;
            self.commit_node(at).await?;
        }
        self.hear()?;
        let noted = self.note_all_committed().await;
        noted.map_err(|error| self.settle_unnoted(error))
    }

    /// Hears a wish to stop, for as long as there is a way back.
    fn hear(&self) -> Result<()> {
        if self.is_past_return { Ok(()) } else { self.run.cancel.check() }
    }

    /// The same, for the drivers of these steps.
    fn heed(&self, steps: Range<usize>) -> Heed {
        let steps = if self.is_past_return { 0..0 } else { steps };
        Heed::new(&self.run.cancel, self.steps[steps].iter().map(|step| step.stop.clone()).collect())
    }

    /// What heeds a wish to stop for all that can be undone, until the first commit.
    pub(super) fn heed_until_commit(&self) -> Heed {
        self.heed(0..self.undoable())
    }

    async fn load_last(&mut self, at: usize) -> Result<()> {
        self.begin(at).await?;
        self.journal_step(at, "load").await?;
        self.steps[at].load(&self.run.observer).await?;
        self.journal_step(at, "prepare").await?;
        self.steps[at].prepare(&self.run).await
    }

    async fn commit_node(&mut self, at: usize) -> Result<()> {
        if let Err(error) = self.advance(at, "commit", "committed").await {
            self.settle_commit(at, error).await?;
        }
        self.is_past_return |= self.steps[at].undo != Undo::AfterCommit;
        Ok(())
    }

    async fn note_all_committed(&mut self) -> Result<()> {
        // Finishing needs to know that, and how, each of them has committed.
        for at in 0..self.steps.len() {
            self.journal_step(at, "finish").await?;
        }
        let written = self.journal.all_committed();
        self.pointing_forward(written)
    }

    /// All nodes have committed, and that can't be noted. Where the last of them can't be undone, there is no way back
    /// any more: nothing is touched, and `recover` finds out as after a crash.
    fn settle_unnoted(&mut self, error: Error) -> Error {
        if self.steps.last().is_none_or(|last| last.undo == Undo::AfterCommit) {
            return error;
        }
        self.undecided = true;
        unwritten("everything is restored, but the journal can't be told so", &error)
    }

    /// A commit has failed. Where there is no way back from it, it may have taken effect all the same: an answer can
    /// get lost.
    async fn settle_commit(&mut self, at: usize, error: Error) -> Result<()> {
        let is_last = at + 1 == self.steps.len();
        let step = &self.steps[at];
        if step.undo == Undo::AfterCommit {
            return Err(error);
        }
        match step.staging.write().await.took_effect().await {
            Ok(Some(true)) => {
                told(&self.run, &step.node, "committed");
                Ok(())
            }
            Err(unknown) if is_last => {
                self.undecided = true;
                let message = format!("it can't be told whether the last commit took effect: {error}");
                Err(Error::stuck(message)
                    .with_node(&step.node)
                    .with_context("looking failed", unknown)
                    .with_context("journal", self.journal.path().display())
                    .with_hint("remove the cause; then run `dumprestore recover`"))
            }
            Ok(Some(false)) if is_last => {
                // Whoever asks again hears the same.
                self.points_forward = false;
                Err(error)
            }
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// Drops or keeps the old state of every node, goes on past one that fails, and ends the journal if none did.
    /// What is kept, if anything, is written down by `keep` before the journal goes: without it, nobody would do so.
    pub(super) async fn finish(
        mut self,
        old: OldState,
        archive: &str,
        keep: impl FnOnce(Vec<KeptNode>) -> Result<()>,
    ) -> Finished {
        self.phase("finish");
        let mut errors = Vec::new();
        let mut kept = Vec::new();
        for step in &mut self.steps {
            let finished = step.staging.write().await.finish(old).await;
            step.tell_ledger(&self.run).await;
            let journalled = finished.and_then(|token| {
                self.journal.finished(&step.node, token.clone())?;
                kept.extend(token.map(|token| step.kept((&self.run.name, archive), token)));
                Ok(())
            });
            match journalled {
                Ok(()) => told(&self.run, &step.node, "finished"),
                Err(error) => errors.push(error.with_node(&step.node)),
            }
        }
        let kept = if errors.is_empty() { keep(kept) } else { Ok(()) };
        let ended = kept.and_then(|()| if errors.is_empty() { self.journal.remove() } else { Ok(()) });
        errors.extend(ended.err());
        Finished { errors, ledgers: self.steps.into_iter().map(|step| step.ledger).collect() }
    }

    /// Puts everything back, in the opposite order, and goes on past a node that fails.
    ///
    /// # Errors
    /// [`ErrorKind::Stuck`] with all that is stuck, or if the journal may lead forward and can't be told otherwise:
    /// nothing is touched then. Both times the journal stays, for `recover`.
    pub(super) async fn roll_back(mut self) -> Result<()> {
        let noted = self.journal.rolling_back();
        if let (Err(error), true) = (noted, self.points_forward) {
            let what = "the restore can't be undone before the journal is told so";
            return Err(unwritten(what, &error));
        }
        self.phase("roll back");
        let mut stuck = Vec::new();
        for step in self.steps.iter().rev().filter(|step| step.begun) {
            let mut staging = step.staging.write().await;
            match staging.rollback().await {
                Ok(()) => {
                    // Spares `recover` a step if the rest is killed. Without it, it is rolled back once more, which
                    // is as good as once: a full disk must not make a rollback look as if it had failed.
                    let _spared = self.journal.rolled_back(&step.node);
                    told(&self.run, &step.node, "rolled_back");
                }
                Err(error) => {
                    let error = error.with_node(&step.node);
                    stuck.push(StuckNode::find(step.undo, &mut **staging, error).await);
                }
            }
        }
        end_rollback(self.journal, stuck)
    }

    /// Which nodes this restores, and where.
    pub(super) fn restored(&self) -> Vec<Restored> {
        let steps = self.steps.iter();
        steps.map(|step| (step.node.clone(), step.driver.clone(), step.target.clone())).collect()
    }

    /// How many steps can be undone: they come first.
    fn undoable(&self) -> usize {
        self.steps.iter().take_while(|step| step.undo != Undo::Never).count()
    }

    async fn begin(&mut self, at: usize) -> Result<()> {
        // From here on it is rolled back, even if it fails halfway.
        self.steps[at].begun = true;
        self.advance(at, "begin", "staged").await
    }

    async fn advance(&mut self, at: usize, verb: &'static str, done: &'static str) -> Result<()> {
        self.journal_step(at, verb).await?;
        let step = &mut self.steps[at];
        step.section.as_ref().map_or(Ok(()), |section| section.sound())?;
        let mut staging = step.staging.write().await;
        let advanced = match verb {
            "begin" => staging.begin().await,
            _ => staging.commit().await,
        };
        drop(staging);
        advanced.map_err(|error| error.with_node(&step.node))?;
        told(&self.run, &step.node, done);
        step.tell_ledger(&self.run).await;
        Ok(())
    }

    async fn journal_step(&mut self, at: usize, verb: &str) -> Result<()> {
        let step = &self.steps[at];
        let decides = verb == "commit" && at + 1 == self.steps.len() && step.undo != Undo::AfterCommit;
        let token = step.staging.read().await.journal();
        let written = self.journal.step(&step.node, verb, token);
        if decides { self.pointing_forward(written) } else { written }
    }

    /// A record was written from which `recover` may go forward; or it was not, and may be on disk all the same.
    fn pointing_forward(&mut self, written: Result<()>) -> Result<()> {
        self.points_forward |= written.is_ok() || self.journal.is_torn();
        written
    }

    fn phase(&self, phase: &'static str) {
        self.run.observer.event(&Event::Phase { phase });
    }
}

fn told(run: &Run, node: &NodePath, step: &'static str) {
    run.observer.event(&Event::Step { node: node.clone(), step });
}

impl Step {
    async fn stage(chosen: Chosen, cx: StageContext, lanes: &Lanes) -> Result<Self> {
        let (driver, stop) = (&chosen.driver, cx.cancel.clone());
        let (staging, section) = match &chosen.origin {
            Origin::Section(section) => (driver.stage(section.clone(), cx).await?, Some(section.clone())),
            Origin::Previous(token) => (driver.stage_previous(token, cx).await?, None),
        };
        let most = match chosen.terms.lanes {
            dumprestore_driver::Lanes::One => 1,
            dumprestore_driver::Lanes::Many => usize::MAX,
        };
        Ok(Self {
            driver: driver.kind().to_owned(),
            target: driver.target(),
            undo: chosen.terms.undo,
            staging: Arc::new(RwLock::new(staging)),
            bytes: 0,
            parts: 0,
            whole: chosen.selection.is_whole(),
            ledger: Vec::new(),
            section,
            lanes: lanes.at_most(most).stopped_by(&stop),
            stop,
            begun: false,
            node: chosen.node,
        })
    }

    pub(super) fn header(chosen: &Chosen) -> HeaderNode {
        HeaderNode {
            node: chosen.node.clone(),
            driver: chosen.driver.kind().to_owned(),
            target: chosen.driver.target(),
            undo: Some(chosen.terms.undo),
        }
    }

    /// Tells what the driver has told of since it was last asked.
    async fn tell_ledger(&mut self, run: &Run) {
        let entries = self.staging.read().await.ledger();
        for entry in &entries {
            if !self.ledger.contains(entry) {
                run.observer.event(&Event::Ledger { node: self.node.clone(), entry: entry.clone() });
            }
        }
        self.ledger = entries;
    }

    fn kept(&self, (run, archive): (&str, &str), token: dumprestore_driver::Token) -> KeptNode {
        KeptNode {
            node: self.node.clone(),
            run: run.to_owned(),
            archive: archive.to_owned(),
            driver: self.driver.clone(),
            target: self.target.clone(),
            token,
            passed_over_by: None,
        }
    }

    /// On a thread of its own: drivers may block.
    async fn prepare(&mut self, run: &Run) -> Result<()> {
        self.section.as_ref().map_or(Ok(()), |section| section.sound())?;
        let (staging, runtime) = (self.staging.clone(), tokio::runtime::Handle::current());
        let work = move || runtime.block_on(async { staging.write().await.prepare().await });
        let prepared = tokio::task::spawn_blocking(work).await;
        let prepared = prepared.map_err(|error| Error::defect("a driver panicked").with_source(error));
        prepared.flatten().map_err(|error| error.with_node(&self.node))?;
        told(run, &self.node, "prepared");
        self.tell_ledger(run).await;
        Ok(())
    }

    async fn load(&mut self, observer: &Arc<dyn Observer>) -> Result<()> {
        let Some(section) = self.section.clone() else { return Ok(()) };
        let staging = self.staging.clone();
        let load = Load { node: self.node.clone(), section, staging, stop: self.stop.clone() };
        (self.bytes, self.parts) = load.run(&self.lanes, observer).await?;
        observer.event(&Event::Step { node: self.node.clone(), step: "loaded" });
        Ok(())
    }
}
