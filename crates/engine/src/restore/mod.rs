//! A restore: verify, plan, stage, load, prepare, commit, finish; or back.

mod check;
mod choose;
mod load;
mod options;
mod plan;
mod previous;
mod recover;
mod rollback;
mod safety_dump;
mod stop;
mod transaction;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;

use dumprestore_driver::{Error, NodePath, Placement, Result, Secret};

pub use options::{MakeElsewhere, OpenArchive, RestoreOptions, RestoreOutcome, RestoreReport, RestoredNode};
pub use plan::{PlannedNode, RestorePlan};
pub(crate) use recover::recover_left;
pub use recover::{RecoverOutcome, Recovered, recover};
pub use verify::{VerifyReport, verify};

use crate::HookPoint;
use crate::event::{Event, warn};
use crate::hook::HookScope;
use crate::journal::{self, Header};
use crate::lock::SetLock;
use crate::run::Run;
use crate::set::BackupSet;
use choose::Chosen;
use previous::Kept;
use transaction::{Finished, Step, Transaction};

/// What is restored.
#[derive(Clone)]
#[non_exhaustive]
pub enum RestoreFrom {
    /// An archive.
    Archive(OpenArchive),
    /// The state that the last reversible restore of this set has kept.
    Previous,
}

/// What is done with what is staged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Restore,
    Rehearse,
}

/// What a restore would do, without doing any of it.
///
/// # Errors
/// What a restore would be refused for.
pub async fn plan_restore(
    set: &BackupSet,
    from: &RestoreFrom,
    options: &RestoreOptions,
) -> Result<RestorePlan> {
    // Without the volume of its state a set would look as if nothing were left to recover, and nothing kept.
    set.look_at_state_folder()?;
    let run = Run::new(options.observer.clone(), options.cancel.clone());
    let (_, plan) = choose_and_plan(set, from, options, &run).await?;
    Ok(plan)
}

/// Restores a set: all of it, or nothing.
///
/// # Behavior
/// - The archive is verified, every byte of it, before anything is written.
/// - Everything is staged and prepared before the first commit. Whatever fails, all nodes are rolled back.
/// - After a crash, [`recover`] or the next run of the set rolls back, or forward once every node had committed.
///
/// # Errors
/// Whatever failed, with everything as it was before. [`ErrorKind::Stuck`](crate::ErrorKind::Stuck) if that can't be
/// said.
pub async fn restore(set: &BackupSet, from: &RestoreFrom, options: &RestoreOptions) -> Result<RestoreReport> {
    run_locked(set, from, options, Aim::Restore, "restore").await
}

/// Stages, loads, prepares and checks an archive as a restore does, and then always rolls back: a real restore test
/// with no visible effect. What can't be undone is left out.
///
/// # Errors
/// What a restore would fail with before its first commit. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if
/// a node would be restored in place, because that is asked for or because a part of it can't be restored otherwise.
pub async fn rehearse(
    set: &BackupSet,
    archive: OpenArchive,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    run_locked(set, &RestoreFrom::Archive(archive), options, Aim::Rehearse, "rehearse").await
}

/// Drops what reversible restores of this set have kept as `:previous`. Gives how many nodes that were.
///
/// # Errors
/// If some can't be dropped: they stay listed.
pub async fn discard_previous(set: &BackupSet) -> Result<usize> {
    let run = Run::new(std::sync::Arc::new(()), dumprestore_driver::Cancel::default());
    let _lock = SetLock::acquire(set, &run.name)?;
    recover_left(set, &run).await?;
    previous::discard(set).await
}

/// Whether an interrupted run of this set waits for [`recover`]. Looks only.
pub fn is_interrupted(set: &BackupSet) -> bool {
    journal::path(set.state_dir(), set.name()).exists() || crate::dump::has_left(set)
}

async fn run_locked(
    set: &BackupSet,
    from: &RestoreFrom,
    options: &RestoreOptions,
    aim: Aim,
    command: &'static str,
) -> Result<RestoreReport> {
    let run = Run::new(options.observer.clone(), options.cancel.clone());
    run.observer.event(&Event::Started { run: run.name.clone(), command, set: set.name().to_owned() });
    if !set.allow_restore() && aim == Aim::Restore {
        return Err(Error::config(format!("the set `{}` does not allow restores", set.name()))
            .with_hint("`allow_restore: false` stands in its configuration; nothing overrides it"));
    }
    let _lock = SetLock::acquire(set, &run.name)?;
    recover_left(set, &run).await?;
    let restoring = Restoring { set, from, options, aim, run: &run };
    restoring.perform().await
}

async fn choose_and_plan(
    set: &BackupSet,
    from: &RestoreFrom,
    options: &RestoreOptions,
    run: &Run,
) -> Result<(Vec<Chosen>, RestorePlan)> {
    match from {
        RestoreFrom::Archive(archive) => {
            let (chosen, warnings) = choose::choose(set, archive, options)?;
            let manifest = archive.archive().manifest();
            let name = (archive.label.as_str(), manifest.run.as_str());
            let mut plan = plan::plan(set, run, name, &chosen, warnings, options, Some(archive)).await?;
            plan.incomplete = options.only.is_empty()
                && (chosen.len() < set.dump_order().len() || chosen.len() < manifest.nodes.len());
            Ok((chosen, plan))
        }
        RestoreFrom::Previous => {
            let (chosen, warnings, made_by) = choose::choose_previous(set, &kept(set)?, options)?;
            // It can be swapped back again: what is there now is kept in its stead.
            let mut options = options.clone();
            options.reversible = true;
            let plan = plan::plan(set, run, (PREVIOUS, &made_by), &chosen, warnings, &options, None).await?;
            Ok((chosen, plan))
        }
    }
}

const PREVIOUS: &str = ":previous";

fn kept(set: &BackupSet) -> Result<Kept> {
    previous::read(set)?.ok_or_else(|| {
        Error::config(format!("no previous state of the set `{}` is kept", set.name()))
            .with_hint("only a restore with `--reversible` keeps it")
    })
}

/// A restore or a rehearsal under way.
struct Restoring<'a> {
    set: &'a BackupSet,
    from: &'a RestoreFrom,
    options: &'a RestoreOptions,
    aim: Aim,
    run: &'a Run,
}

impl Restoring<'_> {
    /// Whatever happens, the last hooks run: a restore that is refused is a failure as well. A rehearsal runs none.
    async fn perform(&self) -> Result<RestoreReport> {
        if self.aim == Aim::Rehearse {
            self.refuse_in_place()?;
            self.verify().await?;
            let (chosen, plan) = self.plan().await?;
            return self.rehearse(chosen, plan).await;
        }
        let nodes = crate::selection::pick(self.set, &self.options.only)?.nodes;
        let restored = match self.verify().await {
            Ok(()) => self.perform_planned().await,
            Err(error) => Err(error),
        };
        let hooks = self.hooks(&nodes, BTreeMap::new());
        let mut report = match restored {
            Ok(report) => report,
            Err(error) => {
                hooks.run_last_of_failed().await;
                return Err(error);
            }
        };
        if let Err(error) = hooks.run_last(true).await {
            // The data are in place: a hook that fails now must not make it look as if they were not.
            warn(&*self.run.observer, None, format!("the restore is complete, but {error}"), None);
            report.outcome = report.outcome.max(RestoreOutcome::Degraded);
        }
        Ok(report)
    }

    async fn plan(&self) -> Result<(Vec<Chosen>, RestorePlan)> {
        let (chosen, plan) = choose_and_plan(self.set, self.from, self.options, self.run).await?;
        for warning in &plan.warnings {
            warn(&*self.run.observer, None, warning, None);
        }
        Ok((chosen, plan))
    }

    async fn perform_planned(&self) -> Result<RestoreReport> {
        let (chosen, plan) = self.plan().await?;
        let nodes: Vec<NodePath> = chosen.iter().map(|chosen| chosen.node.clone()).collect();
        let degraded = plan.incomplete || chosen.iter().any(|chosen| chosen.degraded);
        self.hooks(&nodes, BTreeMap::new()).run(HookPoint::BeforeRestore).await?;
        let safety_dump = safety_dump::dump(self.set, &chosen, self.options, self.run).await?;
        let mut report = self.swap(chosen, &nodes, plan.reversible).await?;
        if degraded {
            report.outcome = report.outcome.max(RestoreOutcome::Degraded);
        }
        report.safety_dump = safety_dump;
        Ok(report)
    }

    async fn verify(&self) -> Result<()> {
        match self.from {
            RestoreFrom::Archive(archive) => {
                self.run.observer.event(&Event::Phase { phase: "verify" });
                verify::bytes(archive, self.run).await
            }
            RestoreFrom::Previous => Ok(()),
        }
    }

    /// In place, a rehearsal would do to the live data what nobody was asked about: lock them, and load into them.
    fn refuse_in_place(&self) -> Result<()> {
        let RestoreFrom::Archive(archive) = self.from else { return Ok(()) };
        let (chosen, _) = choose::choose(self.set, archive, self.options)?;
        let Some(node) = chosen.iter().find(|chosen| chosen.terms.placement == Placement::InPlace) else {
            return Ok(());
        };
        let hint = match node.selection.is_whole() {
            true => "leave out `--in-place`: a rehearsal restores beside the live data".to_owned(),
            false => format!("rehearse the whole node, with `--only {}`", node.node),
        };
        let refusal =
            Error::unsupported("what is restored in place can't be rehearsed: it would lock the live data");
        Err(refusal.with_node(&node.node).with_hint(hint))
    }

    async fn rehearse(&self, chosen: Vec<Chosen>, plan: RestorePlan) -> Result<RestoreReport> {
        let (tried, left_out): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|chosen| chosen.terms.undo != dumprestore_driver::Undo::Never);
        for left_out in left_out {
            warn(&*self.run.observer, Some(&left_out.node), "not rehearsed, for it can't be undone", None);
        }
        if tried.is_empty() {
            return Err(Error::unsupported(format!("nothing of {} can be rehearsed", plan.from)));
        }
        let mut transaction = self.stage(tried, false).await?;
        let checked = transaction.heed_until_commit().during(async {
            transaction.load_and_prepare().await?;
            self.check(&transaction).await
        });
        let checked = checked.await;
        let report = self.report(&transaction);
        transaction.roll_back().await?;
        Ok(self.with_dangling(report, checked?))
    }

    /// Stages, and swaps in or rolls back.
    async fn swap(&self, chosen: Vec<Chosen>, nodes: &[NodePath], keep: bool) -> Result<RestoreReport> {
        let mut transaction = self.stage(chosen, keep).await?;
        match self.try_swap(&mut transaction, nodes).await {
            Ok(dangling) => {
                let report = self.with_dangling(self.report(&transaction), dangling);
                Ok(self.finish(transaction, report, nodes, keep).await)
            }
            Err(error) if transaction.undecided => Err(error),
            Err(error) => {
                transaction.roll_back().await.map_err(|stuck| stuck.with_context("because", &error))?;
                Err(error)
            }
        }
    }

    async fn try_swap(&self, transaction: &mut Transaction, nodes: &[NodePath]) -> Result<u64> {
        let staged = transaction.heed_until_commit().during(async {
            transaction.load_and_prepare().await?;
            let dangling = self.check(transaction).await?;
            let staged = transaction.addresses().await;
            self.hooks(nodes, staged).run(HookPoint::PreSwap).await?;
            Ok(dangling)
        });
        let dangling = staged.await?;
        self.run.cancel.check()?;
        transaction.commit().await?;
        Ok(dangling)
    }

    async fn stage(&self, chosen: Vec<Chosen>, keep: bool) -> Result<Transaction> {
        let header = Header {
            journal: Header::VERSION,
            run: self.run.name.clone(),
            archive: self.label(),
            keep,
            nodes: chosen.iter().map(Step::header).collect(),
        };
        let journal = journal::path(self.set.state_dir(), self.set.name());
        let cx = |chosen: &Chosen| plan::stage_context(self.run, chosen, self.options);
        let lanes = crate::lanes::of(self.set, &self.run.stop);
        Transaction::stage(chosen, header, journal, self.run, cx, &lanes).await
    }

    async fn check(&self, transaction: &Transaction) -> Result<u64> {
        self.run.observer.event(&Event::Phase { phase: "check" });
        let manifest = match self.from {
            RestoreFrom::Archive(archive) => Some(archive.archive().manifest()),
            RestoreFrom::Previous => None,
        };
        check::references(self.set, transaction, manifest, self.run).await
    }

    /// All has committed: whatever fails from here on, the data are in place.
    async fn finish(
        &self,
        transaction: Transaction,
        mut report: RestoreReport,
        nodes: &[NodePath],
        keep: bool,
    ) -> RestoreReport {
        let old = if keep { dumprestore_driver::OldState::Keep } else { dumprestore_driver::OldState::Drop };
        let mut kept_previous = false;
        let restored = transaction.restored();
        let kept = |nodes: Vec<previous::KeptNode>| {
            kept_previous = !nodes.is_empty();
            previous::note(self.set, &*self.run.observer, &self.run.name, &restored, nodes)
        };
        let Finished { errors: unfinished, ledgers } = transaction.finish(old, &self.label(), kept).await;
        report.kept_previous = kept_previous && unfinished.is_empty();
        for (node, ledger) in report.nodes.iter_mut().zip(ledgers) {
            node.ledger = ledger;
        }
        report.degrade_by_ledgers();
        let hint = "the data are restored; `dumprestore recover` cleans up what is left".to_owned();
        let unfinished = unfinished.into_iter().map(|error| (error, Some(hint.clone())));
        let after = self.hooks(nodes, BTreeMap::new()).run(HookPoint::AfterRestore).await.err();
        for (error, hint) in unfinished.chain(after.map(|error| (error, None))) {
            warn(&*self.run.observer, error.node(), format!("the data are restored, but {error}"), hint);
            report.outcome = report.outcome.max(RestoreOutcome::Degraded);
        }
        if self.run.cancel.is_cancelled() {
            let message =
                "the wish to stop came when there was no way back any more: the restore went on to its end";
            warn(&*self.run.observer, None, message, None);
        }
        report
    }

    fn report(&self, transaction: &Transaction) -> RestoreReport {
        let nodes = transaction.steps.iter().map(|step| RestoredNode {
            node: step.node.clone(),
            target: step.target.clone(),
            bytes: step.bytes,
            parts: step.parts,
            ledger: step.ledger.clone(),
        });
        let mut report = RestoreReport {
            run: self.run.name.clone(),
            outcome: RestoreOutcome::Ok,
            safety_dump: None,
            kept_previous: false,
            nodes: nodes.collect(),
            dangling: 0,
        };
        report.degrade_by_ledgers();
        report
    }

    fn with_dangling(&self, mut report: RestoreReport, dangling: u64) -> RestoreReport {
        report.dangling = dangling;
        if dangling > 0 {
            report.outcome = report.outcome.max(RestoreOutcome::Dangling);
        }
        report
    }

    fn hooks<'a>(&'a self, nodes: &'a [NodePath], staged: BTreeMap<NodePath, Secret>) -> HookScope<'a> {
        let archive = match self.from {
            RestoreFrom::Archive(archive) => {
                archive.path.as_deref().map(Path::display).map(|path| path.to_string())
            }
            RestoreFrom::Previous => None,
        };
        HookScope { run: self.run, set: self.set, nodes, archive, staged }
    }

    fn label(&self) -> String {
        match self.from {
            RestoreFrom::Archive(archive) => archive.label.clone(),
            RestoreFrom::Previous => PREVIOUS.to_owned(),
        }
    }
}
