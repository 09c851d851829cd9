//! After a crash: back, or forward once every node had committed.

use std::sync::Arc;

use dumprestore_driver::{Cancel, Driver, Error, NodePath, Result, StageContext, Token, Undo};
use serde::Serialize;

use super::choose::driver_of;
use super::previous::{self, KeptNode};
use super::transaction::end_rollback;
use crate::Observer;
use crate::event::{Event, warn};
use crate::journal::{self, HeaderNode, Journal, Left};
use crate::lock::SetLock;
use crate::run::Run;
use crate::set::BackupSet;

/// What became of an interrupted restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recovered {
    /// The run that was interrupted.
    pub run: String,
    /// What it was restoring.
    pub archive: String,
    /// How it was ended.
    pub outcome: RecoverOutcome,
}

/// How an interrupted restore was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoverOutcome {
    /// Everything is as it was before the restore.
    RolledBack,
    /// Everything is as in the archive: all nodes had committed.
    Finished,
}

impl RecoverOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::RolledBack => "rolled back",
            Self::Finished => "finished",
        }
    }
}

/// Ends what an interrupted restore of this set has left, if there is something.
///
/// # Errors
/// [`ErrorKind::Stuck`](crate::ErrorKind::Stuck) if that can't be done, with what stands in the way. It can be called
/// again once that is out of the way.
pub async fn recover(set: &BackupSet, observer: Arc<dyn Observer>) -> Result<Option<Recovered>> {
    let run = Run::new(observer, Cancel::default());
    run.observer.event(&Event::Started {
        run: run.name.clone(),
        command: "recover",
        set: set.name().to_owned(),
    });
    let _lock = SetLock::acquire(set.state_dir(), set.name(), &run.name)?;
    recover_left(set, &run).await
}

/// What is advised, and `dumprestore recover` after it, unless that is advised already.
pub(super) fn then_recover(hint: Option<&str>) -> String {
    match hint {
        None => "remove the cause, then run `dumprestore recover`".to_owned(),
        Some(hint) if hint.contains("`dumprestore recover`") => hint.to_owned(),
        Some(hint) if hint.ends_with('?') => format!("{hint} once it is mended, run `dumprestore recover`"),
        Some(hint) => format!("{hint}; then run `dumprestore recover`"),
    }
}

/// The same, by a run that holds the lock already.
pub(crate) async fn recover_left(set: &BackupSet, run: &Run) -> Result<Option<Recovered>> {
    if crate::dump::remove_left(set).await? {
        warn(&*run.observer, None, "removed what a dump had left that was killed", None);
    }
    let Some(mut left) = Journal::open(journal::path(set.state_dir(), set.name()))? else { return Ok(None) };
    let (earlier, archive) = (left.header.run.clone(), left.header.archive.clone());
    if !left.all_committed && has_taken_effect(set, &left).await? {
        // From here on it is as if the crash had come a moment later.
        left.journal.all_committed()?;
        left.all_committed = true;
    }
    let outcome = if left.all_committed { RecoverOutcome::Finished } else { RecoverOutcome::RolledBack };
    match outcome {
        RecoverOutcome::Finished => finish(set, left, run).await?,
        RecoverOutcome::RolledBack => roll_back(set, left).await?,
    }
    run.observer.event(&Event::Recovered { run: earlier.clone(), outcome: outcome.as_str() });
    Ok(Some(Recovered { run: earlier, archive, outcome }))
}

/// Whether every node has committed although the journal does not say so. Only asked where there is no way back from
/// a commit: such a node is committed last, so that what became of its commit decides for the whole set.
async fn has_taken_effect(set: &BackupSet, left: &Left) -> Result<bool> {
    let nodes = &left.header.nodes;
    let Some((last, others)) = nodes.split_last() else { return Ok(false) };
    if left.rolling_back || undo_of(set, last) == Undo::AfterCommit {
        return Ok(false);
    }
    let was_begun = |node: &HeaderNode, step: &str| left.steps.get(&node.node).is_some_and(|at| at == step);
    // The first `finish` is journalled once the last commit is through.
    if nodes.iter().any(|node| was_begun(node, "finish")) {
        return Ok(true);
    }
    if !others.iter().chain([last]).all(|node| was_begun(node, "commit")) {
        return Ok(false);
    }
    let Some(token) = left.tokens.get(&last.node) else { return Ok(false) };
    last_took_effect(set, left, &last.node, token).await.map_err(|error| {
        // Going back or forward without knowing could leave one node new and the others old.
        Error::stuck(format!("it can't be told whether an interrupted restore was committed: {error}"))
            .with_node(&last.node)
            .with_hint(then_recover(error.hint()))
    })
}

async fn last_took_effect(set: &BackupSet, left: &Left, node: &NodePath, token: &Token) -> Result<bool> {
    let driver = driver_for(set, left, node)?;
    let mut staging = driver.resume(token, StageContext::new(&left.header.run)).await?;
    Ok(staging.took_effect().await? == Some(true))
}

fn undo_of(set: &BackupSet, node: &HeaderNode) -> Undo {
    let driver = || set.node(&node.node).and_then(|node| node.driver());
    node.undo.or_else(|| driver().map(|driver| driver.capabilities().undo)).unwrap_or(Undo::AfterCommit)
}

/// Goes on past a node that fails: all have committed, and the others need not wait for it.
async fn finish(set: &BackupSet, mut left: Left, run: &Run) -> Result<()> {
    let (mut kept, mut failed) = (Vec::new(), Vec::new());
    for node in left.header.nodes.clone() {
        let token = match left.finished.remove(&node.node) {
            Some(token) => Ok(token),
            None => finish_node(set, &mut left, &node.node, run).await,
        };
        match token {
            Ok(token) => kept.extend(token.map(|token| KeptNode {
                node: node.node,
                run: left.header.run.clone(),
                archive: left.header.archive.clone(),
                driver: node.driver,
                target: node.target,
                token,
                passed_over_by: None,
            })),
            Err(error) => failed.push(error.with_node(&node.node)),
        }
    }
    if let Some(first) = failed.first() {
        let message = format!("an interrupted restore is committed, and could not be finished: {first}");
        return Err(Error::stuck(message).with_hint(then_recover(first.hint())));
    }
    if left.header.keep {
        previous::write(set, kept)?;
    } else {
        let targets: Vec<_> =
            left.header.nodes.iter().map(|node| (&node.node, &*node.driver, &*node.target)).collect();
        previous::mark_passed_over(set, &targets, &left.header.run)?;
    }
    left.journal.remove()
}

async fn finish_node(set: &BackupSet, left: &mut Left, node: &NodePath, run: &Run) -> Result<Option<Token>> {
    let Some(token) = left.tokens.get(node).cloned() else { return Ok(None) };
    let driver = driver_for(set, left, node)?;
    let mut staging = driver.resume(&token, StageContext::new(&left.header.run)).await?;
    // The token may be from before its commit, which is through: committing what is committed does nothing.
    staging.commit().await?;
    let kept = staging.finish(left.header.old_state()).await?;
    for entry in staging.ledger() {
        run.observer.event(&Event::Ledger { node: node.clone(), entry });
    }
    left.journal.finished(node, kept.clone())?;
    Ok(kept)
}

async fn roll_back(set: &BackupSet, mut left: Left) -> Result<()> {
    let mut stuck = Vec::new();
    for node in left.header.nodes.clone().iter().rev() {
        let Some(token) = left.tokens.get(&node.node).cloned() else { continue };
        if let Err(error) = roll_back_node(set, &mut left, &node.node, &token).await {
            stuck.push((undo_of(set, node), error.with_node(&node.node)));
        }
    }
    end_rollback(left.journal, stuck)
}

async fn roll_back_node(
    set: &BackupSet,
    left: &mut Left,
    node: &NodePath,
    token: &dumprestore_driver::Token,
) -> Result<()> {
    let driver = driver_for(set, left, node)?;
    let mut staging = driver.resume(token, StageContext::new(&left.header.run)).await?;
    staging.rollback().await?;
    left.journal.rolled_back(node)
}

fn driver_for(set: &BackupSet, left: &Left, node: &NodePath) -> Result<Arc<dyn Driver>> {
    let driver = driver_of(set, node).map_err(|error| {
        error.with_hint(
            "an interrupted restore has this node: put it back into the configuration, then `recover`",
        )
    })?;
    let recorded = left.header.nodes.iter().find(|recorded| recorded.node == *node);
    let recorded = recorded.ok_or_else(|| Error::stuck("the journal names a node that it does not list"))?;
    same_target(node, &*driver, &recorded.driver, &recorded.target)?;
    Ok(driver)
}

/// Refuses to act on another target than the one that an earlier run has written down.
pub(super) fn same_target(node: &NodePath, driver: &dyn Driver, kind: &str, target: &str) -> Result<()> {
    if driver.kind() == kind && driver.target() == target {
        return Ok(());
    }
    Err(Error::config("an earlier restore of this node went to another target than it has now")
        .with_node(node)
        .with_context("then", format!("{kind} {target}"))
        .with_context("now", format!("{} {}", driver.kind(), driver.target()))
        .with_hint(match target.contains("://") {
            // What is written down holds no password.
            true => {
                format!("say `--map {node}=TARGET` again, as it was then, with its password if it had one")
            }
            false => format!("give it the same target, for example with `--map {node}={target}`"),
        }))
}

#[cfg(test)]
mod tests {
    use super::then_recover;

    #[test]
    fn recover_is_advised_once() {
        let once = |hint| assert_eq!(then_recover(hint).matches("`dumprestore recover`").count(), 1);
        for hint in [None, Some("free some room"), Some("unmount it, then run `dumprestore recover`")] {
            once(hint);
        }
        assert!(then_recover(Some("does it listen there?")).contains("there? once"));
    }
}
