//! Restores that don't go well, or are taken back.

use std::sync::Arc;

use dumprestore_driver::{ErrorKind, OldState, StageContext, Token, Undo};

use super::ensure;
use crate::moments::worth_trying;
use crate::{Broken, Fault, Faulty, Seed, State, Step, StoredNode, World};

pub(crate) async fn rollback_before_commit_restores_everything(world: &World) -> Result<(), Broken> {
    for step in [Step::Stage, Step::Begin, Step::Load, Step::Prepare] {
        let (archived, _, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
        let mut restoring = world.stage(&archived).await?;
        restoring.go(step, OldState::Drop).await?;
        world.roll_back(restoring.staging(), &before).await?;
    }
    Ok(())
}

pub(crate) async fn rollback_after_commit_restores_the_old_state(world: &World) -> Result<(), Broken> {
    for live in [Seed::Hostile, Seed::Ordinary, Seed::Empty] {
        let (archived, content, before) = world.dump_then(Seed::Ordinary, live).await?;
        let mut restoring = world.staged(&archived, Step::Commit).await?;
        world.expect_content(&content, "after the commit").await?;
        world.roll_back(restoring.staging(), &before).await?;
    }
    Ok(())
}

pub(crate) async fn rolling_back_twice_is_once(world: &World) -> Result<(), Broken> {
    let last =
        if world.driver.capabilities().undo == Undo::AfterCommit { Step::Commit } else { Step::Prepare };
    for step in [Step::Begin, Step::Prepare, last] {
        let (archived, _, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
        let restoring = world.staged(&archived, step).await?;
        world.roll_back_again(restoring, &before).await?;
    }
    Ok(())
}

pub(crate) async fn a_failure_anywhere_rolls_back(world: &World) -> Result<(), Broken> {
    stopped_anywhere(world, Fault::Fail).await
}

pub(crate) async fn a_cancelled_restore_rolls_back(world: &World) -> Result<(), Broken> {
    stopped_anywhere(world, Fault::Cancel).await
}

async fn stopped_anywhere(world: &World, fault: Fault) -> Result<(), Broken> {
    let (archived, content, _) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let archived = Arc::new(archived.with_chunk(4096));
    for moment in world.tried(moments_of_a_restore(world, &archived).await?) {
        world.fixture.seed(Seed::Hostile).await;
        let before = world.state().await;
        let faults = Arc::new(Faulty::at(moment, fault));
        let mut restoring = match world.stage_with(&archived, &faults).await {
            Ok(restoring) => restoring,
            Err(_) => {
                world.expect(&before, "after a `stage` that was stopped").await?;
                continue;
            }
        };
        let went = restoring.go(Step::Commit, OldState::Drop).await;
        let Err(error) = went else {
            // The fault came later than that.
            world.expect_content(&content, "after the commit").await?;
            // Nobody goes on to another restore before this one is over.
            restoring.staging().finish(OldState::Drop).await?;
            continue;
        };
        ensure(fault == Fault::Fail || error.kind() == ErrorKind::Cancelled, || {
            format!("a cancelled restore must say so, not {error:?}")
        })?;
        if faults.passed().contains(&"committed") {
            world.roll_back_a_commit(restoring.staging(), &before).await?;
            continue;
        }
        world.roll_back(restoring.staging(), &before).await?;
    }
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after restores that were stopped, and one that was not").await
}

/// The numbers of the moments of a restore in one lane.
async fn moments_of_a_restore(world: &World, archived: &Arc<StoredNode>) -> Result<Vec<u64>, Broken> {
    let faults = Arc::new(Faulty::never());
    world.stage_with(archived, &faults).await?.go(Step::Finish, OldState::Drop).await?;
    Ok(worth_trying(&faults.passed(), 16))
}

pub(crate) async fn a_driver_that_cannot_undo_says_so(world: &World) -> Result<(), Broken> {
    let (archived, content, _) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    for step in [Step::Begin, Step::Load, Step::Prepare, Step::Commit] {
        world.fixture.seed(Seed::Hostile).await;
        let before = world.state().await;
        let mut restoring = world.staged(&archived, step).await?;
        let token = restoring.staging().journal();
        world.roll_back(restoring.staging(), &before).await?;
        drop(restoring);
        let mut resumed = world.resume(&token).await?;
        world.roll_back(&mut *resumed, &before).await?;
    }
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after a restore that follows one that is stuck").await
}

pub(crate) async fn the_previous_state_is_kept_and_put_back(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let kept = keep(world, &archived).await?;
    world.expect_content(&content, "after a restore that keeps the old state").await?;
    let new = world.state().await;
    // Taken back, it changes nothing; gone through with, it puts the old state back.
    for step in [Step::Begin, Step::Prepare, Step::Commit] {
        let mut staging = previous(world, &kept, step).await?;
        world.roll_back(&mut *staging, &new).await?;
    }
    let mut staging = previous(world, &kept, Step::Commit).await?;
    let token = staging.journal();
    world.expect_content(&before.content, "after the previous state was put back").await?;
    staging
        .finish(OldState::Drop)
        .await
        .map_err(|e| Broken::because("finishing with the previous state failed", e))?;
    world.expect(&before, "after the previous state was put back for good").await?;
    drop(staging);
    let mut resumed = world.resume(&token).await?;
    resumed.finish(OldState::Drop).await.map_err(|e| Broken::because("finishing it again failed", e))?;
    world.expect(&before, "after finishing it twice").await
}

async fn keep(world: &World, archived: &Arc<StoredNode>) -> Result<Token, Broken> {
    let mut restoring = world.staged(archived, Step::Commit).await?;
    let kept = restoring.staging().finish(OldState::Keep).await?;
    let again = restoring.staging().finish(OldState::Keep).await?;
    ensure(kept == again, || format!("the second `finish` gives another token: {kept:?}, {again:?}"))?;
    kept.ok_or_else(|| Broken::new("`finish` with `OldState::Keep` gave no token"))
}

async fn previous(
    world: &World,
    kept: &Token,
    step: Step,
) -> Result<Box<dyn dumprestore_driver::Staging>, Broken> {
    let mut staging = world.driver.stage_previous(kept, StageContext::new(world.run())).await?;
    staging.begin().await?;
    if step >= Step::Prepare {
        staging.prepare().await?;
    }
    if step >= Step::Commit {
        staging.commit().await?;
    }
    Ok(staging)
}

pub(crate) async fn the_previous_state_can_be_dropped(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let kept = keep(world, &archived).await?;
    let after = State { content, ..before.clone() };
    for _twice in 0..2 {
        world.driver.discard_previous(&kept).await?;
        world.expect(&after, "after the previous state was dropped").await?;
    }
    // Putting it back and keeping the other in its turn is the way to and fro.
    world.fixture.seed(Seed::Hostile).await;
    let old = world.fixture.fingerprint().await;
    let kept = keep(world, &archived).await?;
    let mut staging = previous(world, &kept, Step::Commit).await?;
    let kept = staging.finish(OldState::Keep).await?;
    drop(staging);
    world.expect_content(&old, "after the way back").await?;
    let kept = kept.ok_or_else(|| Broken::new("putting the previous state back kept nothing"))?;
    let mut staging = previous(world, &kept, Step::Commit).await?;
    staging.finish(OldState::Drop).await?;
    world.expect(&after, "after the way forth").await
}
