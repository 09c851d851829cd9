//! Restores in place.

use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{InPlace, OldState, Placement, StageContext, Undo};

use super::ensure;
use crate::child::{Remains, Task};
use crate::moments::worth_trying;
use crate::{Broken, Fault, Faulty, Restoring, Seed, State, Step, StoredNode, World};

pub(crate) async fn an_in_place_restore_gives_the_same_state(world: &World) -> Result<(), Broken> {
    for live in [Seed::Hostile, Seed::Ordinary, Seed::Empty] {
        let (archived, content, before) = world.dump_then(Seed::Ordinary, live).await?;
        let mut restoring = stage(world, &archived, &Arc::default()).await?;
        restoring.go(Step::Finish, OldState::Drop).await?;
        world.expect(&State { content, ..before }, "after a restore in place").await?;
    }
    Ok(())
}

pub(crate) async fn an_in_place_restore_rolls_back_before_its_commit(world: &World) -> Result<(), Broken> {
    for step in [Step::Stage, Step::Begin, Step::Load, Step::Prepare] {
        let (archived, _, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
        let mut restoring = stage(world, &archived, &Arc::default()).await?;
        restoring.go(step, OldState::Drop).await?;
        world.roll_back_again(restoring, &before).await?;
    }
    Ok(())
}

pub(crate) async fn a_failed_or_cancelled_in_place_restore_rolls_back(world: &World) -> Result<(), Broken> {
    let (archived, _, _) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let moments = moments(world, &archived).await?;
    let before_commit = moments.iter().take_while(|moment| **moment != "committed").count() as u64;
    let some = worth_trying(&moments, 8).into_iter().filter(|moment| *moment < before_commit);
    let ends = some.flat_map(|moment| [Fault::Fail, Fault::Cancel].map(|fault| (moment, fault)));
    for (moment, fault) in world.tried(ends) {
        world.fixture.seed(Seed::Hostile).await;
        let before = world.state().await;
        let faults = Arc::new(Faulty::at(moment, fault));
        let Ok(mut restoring) = stage(world, &archived, &faults).await else { continue };
        let went = restoring.go(Step::Prepare, OldState::Drop).await;
        let name = moments.get(usize::try_from(moment).unwrap_or(usize::MAX));
        ensure(went.is_err() || name == Some(&"commit"), || {
            format!("{fault:?} at {name:?} did not stop a restore in place")
        })?;
        world.roll_back(restoring.staging(), &before).await?;
    }
    Ok(())
}

pub(crate) async fn a_kill_anywhere_in_an_in_place_restore_leaves_old_or_new(
    world: &World,
) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let content = world.fixture.fingerprint().await;
    let archived = Arc::new(world.dump().await?.with_chunk(4096));
    let moments = moments(world, &archived).await?;
    let kills = worth_trying(&moments, 6).into_iter().flat_map(|moment| {
        let delays: &[u64] = match moments.get(usize::try_from(moment).unwrap_or(usize::MAX)) {
            Some(&"commit") => &[0, 30, 150, 500, 1_500, 5_000],
            _ => &[0],
        };
        delays.iter().map(move |delay| (moment, *delay))
    });
    for (moment, delay) in world.tried(kills) {
        world.fixture.seed(Seed::Hostile).await;
        let before = world.state().await;
        let task = Task::Restore {
            archived: archived.save().to_owned(),
            keep: false,
            placement: Placement::InPlace,
        };
        let fault = Fault::Die(Duration::from_micros(delay));
        let remains = world.in_a_child(task, moment, fault).await?;
        settle(world, &remains, &before, &content).await?;
    }
    Ok(())
}

/// Ends what a crash has left, as `recover` does, and checks that it is the old or the new state.
async fn settle(world: &World, remains: &Remains, before: &State, content: &str) -> Result<(), Broken> {
    let after = State { content: content.to_owned(), ..before.clone() };
    let Some((step, token)) = &remains.journal else {
        return world.expect(before, "after a crash before the first step").await;
    };
    if remains.lived {
        return world.expect(&after, "after a restore in place that no crash hit").await;
    }
    let took_effect = match step {
        Step::Finish => Some(true),
        Step::Commit => world.resume(token).await?.took_effect().await?,
        _ => Some(false),
    };
    for _twice in 0..2 {
        let mut resumed = world.resume(token).await?;
        if took_effect == Some(true) {
            resumed.commit().await?;
            resumed.finish(OldState::Drop).await?;
            world.expect(&after, &format!("after a crash at {step:?} that had taken effect")).await?;
        } else if took_effect.is_none() {
            world.roll_back_a_commit(&mut *resumed, before).await?;
        } else {
            world.roll_back(&mut *resumed, before).await?;
        }
    }
    Ok(())
}

async fn moments(world: &World, archived: &Arc<StoredNode>) -> Result<Vec<&'static str>, Broken> {
    let faults = Arc::new(Faulty::never());
    stage(world, archived, &faults).await?.go(Step::Finish, OldState::Drop).await?;
    Ok(faults.passed())
}

async fn stage(
    world: &World,
    archived: &Arc<StoredNode>,
    faults: &Arc<Faulty>,
) -> dumprestore_driver::Result<Restoring> {
    let cx = StageContext::new(world.run()).with_placement(Placement::InPlace);
    Restoring::stage(&*world.driver, archived.clone(), cx, faults.clone()).await
}

/// Whether a driver restores in place, and can undo that until the commit at least.
pub(crate) fn can_undo(in_place: InPlace) -> bool {
    matches!(in_place, InPlace::Yes { undo, .. } if undo != Undo::Never)
}
