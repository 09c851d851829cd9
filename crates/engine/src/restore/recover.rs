//! After a crash: back, or forward once every node had committed.

use std::sync::Arc;

use dumprestore_driver::{Cancel, Driver, Error, NodePath, Result, StageContext, Token, Undo};
use serde::Serialize;

use super::choose::driver_of;
use super::previous::{self, KeptNode};
use super::rollback::{StuckNode, end_rollback, unwritten};
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
    let _lock = SetLock::acquire(set, &run.name)?;
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
    if crate::dump::remove_left(set, run).await? {
        warn(&*run.observer, None, "removed what a dump had left that was killed", None);
    }
    let Some(mut left) = Journal::open(journal::path(set.state_dir(), set.name()))? else { return Ok(None) };
    let (earlier, archive) = (left.header.run.clone(), left.header.archive.clone());
    let outcome = match direction(set, &left).await? {
        Direction::Forward => {
            if !left.all_committed {
                // From here on it is as if the crash had come a moment later.
                left.journal.all_committed().map_err(|error| unwritten(UNFINISHED, &error))?;
            }
            finish(set, left, run).await?;
            RecoverOutcome::Finished
        }
        back => {
            let noted = if left.rolling_back { Ok(()) } else { left.journal.rolling_back() };
            if let (Err(error), Direction::Unknown) = (noted, back) {
                return Err(unwritten(
                    "an interrupted restore can't be undone before the journal is told so",
                    &error,
                ));
            }
            roll_back(set, left).await?;
            RecoverOutcome::RolledBack
        }
    };
    run.observer.event(&Event::Recovered { run: earlier.clone(), outcome: outcome.as_str() });
    Ok(Some(Recovered { run: earlier, archive, outcome }))
}

const UNFINISHED: &str =
    "an interrupted restore is committed, and can't be finished before the journal is told so";

/// Where an interrupted restore is to go.
enum Direction {
    Forward,
    /// However often it is asked.
    Back,
    /// Back, but whoever asks again could hear something else.
    Unknown,
}

/// Where the journal leads, and where that does not decide, the last commit: a node from whose commit there is no way
/// back is committed last, so that what became of its commit decides for the whole set.
async fn direction(set: &BackupSet, left: &Left) -> Result<Direction> {
    let nodes = &left.header.nodes;
    if left.all_committed {
        return Ok(Direction::Forward);
    }
    let Some(last) = nodes.last().filter(|last| undo_of(set, last) != Undo::AfterCommit) else {
        return Ok(Direction::Back);
    };
    if left.rolling_back {
        return Ok(Direction::Back);
    }
    let was_begun = |node: &HeaderNode, step: &str| left.steps.get(&node.node).is_some_and(|at| at == step);
    // The first `finish` is journalled once the last commit is through.
    if nodes.iter().any(|node| was_begun(node, "finish")) {
        return Ok(Direction::Forward);
    }
    let token = left.tokens.get(&last.node).filter(|_| nodes.iter().all(|node| was_begun(node, "commit")));
    let Some(token) = token else { return Ok(Direction::Back) };
    match last_took_effect(set, left, &last.node, token).await {
        Ok(Some(true)) => Ok(Direction::Forward),
        Ok(Some(false)) => Ok(Direction::Back),
        Ok(None) => Ok(Direction::Unknown),
        // Going back or forward without knowing could leave one node new and the others old.
        Err(error) => Err(Error::stuck(format!(
            "it can't be told whether an interrupted restore was committed: {error}"
        ))
        .with_node(&last.node)
        .with_hint(then_recover(error.hint()))),
    }
}

async fn last_took_effect(
    set: &BackupSet,
    left: &Left,
    node: &NodePath,
    token: &Token,
) -> Result<Option<bool>> {
    let driver = driver_for(set, left, node)?;
    let mut staging = driver.resume(token, StageContext::new(&left.header.run)).await?;
    staging.took_effect().await
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
        return Err(unfinished(first));
    }
    let restored: Vec<_> = left
        .header
        .nodes
        .iter()
        .map(|node| (node.node.clone(), node.driver.clone(), node.target.clone()))
        .collect();
    let noted = previous::note(set, &*run.observer, &left.header.run, &restored, kept);
    noted.map_err(|error| unfinished(&error))?;
    left.journal.remove()
}

fn unfinished(error: &Error) -> Error {
    let message = format!("an interrupted restore is committed, and could not be finished: {error}");
    Error::stuck(message).with_hint(then_recover(error.hint()))
}

async fn finish_node(set: &BackupSet, left: &mut Left, node: &NodePath, run: &Run) -> Result<Option<Token>> {
    let token = left.tokens.get(node).cloned();
    let token =
        token.ok_or_else(|| Error::stuck("the journal says that it is committed, and nothing more"))?;
    let driver = driver_for(set, left, node)?;
    let mut staging = driver.resume(&token, StageContext::new(&left.header.run)).await?;
    // The token may be from before its commit, which is through: committing what is committed does nothing.
    staging.commit().await?;
    // Once it is being finished, it may no longer be seen what has become of it.
    left.journal.step(node, "finish", staging.journal())?;
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
        match roll_back_node(set, &left, node, &token).await {
            // It is rolled back, whether or not that can be noted: once more is as good as once.
            Ok(()) => drop(left.journal.rolled_back(&node.node)),
            Err(one) => stuck.push(one),
        }
    }
    end_rollback(left.journal, stuck)
}

async fn roll_back_node(
    set: &BackupSet,
    left: &Left,
    node: &HeaderNode,
    token: &Token,
) -> Result<(), StuckNode> {
    let undo = undo_of(set, node);
    let resumed = match driver_for(set, left, &node.node) {
        Ok(driver) => driver.resume(token, StageContext::new(&left.header.run)).await,
        Err(error) => Err(error),
    };
    let mut staging = resumed.map_err(|error| StuckNode::out_of_reach(undo, error.with_node(&node.node)))?;
    match staging.rollback().await {
        Ok(()) => Ok(()),
        Err(error) => Err(StuckNode::find(undo, &mut *staging, error.with_node(&node.node)).await),
    }
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
