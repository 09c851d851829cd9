//! Restores in a process that is killed: `kill -9`, no destructor, nothing flushed.

use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{OldState, StageContext, Token};

use crate::child::{Remains, Task};
use crate::moments::worth_trying;
use crate::{Broken, Fault, Faulty, Seed, State, Step, StoredNode, World};

const AT_ONCE: Fault = Fault::Die(Duration::ZERO);

pub(crate) async fn a_crash_at_each_step_can_be_rolled_back(world: &World) -> Result<(), Broken> {
    let (archived, _) = prepare(world).await?;
    let moments = moments(world, &archived).await?;
    for moment in world.tried(worth_trying(&moments, 6)) {
        // From `finish` on there is no way back.
        if numbers_of(&moments, &["finished"]).contains(&moment) {
            continue;
        }
        let before = live(world).await;
        let remains = world.restore_in_a_child(&archived, OldState::Drop, moment, AT_ONCE).await?;
        roll_back(world, &remains, &before).await?;
    }
    Ok(())
}

pub(crate) async fn a_crash_after_prepare_can_be_committed(world: &World) -> Result<(), Broken> {
    let (archived, content) = prepare(world).await?;
    let moments = moments(world, &archived).await?;
    for moment in world.tried(numbers_of(&moments, &["commit", "committed", "finish", "finished"])) {
        let before = live(world).await;
        let remains = world.restore_in_a_child(&archived, OldState::Drop, moment, AT_ONCE).await?;
        go_forward(world, &content, &remains, &before).await?;
    }
    Ok(())
}

pub(crate) async fn a_kill_inside_a_step_can_be_rolled_back(world: &World) -> Result<(), Broken> {
    let (archived, content) = prepare(world).await?;
    let moments = moments(world, &archived).await?;
    for (moment, delay) in world.tried(within(&moments, &["begin", "prepare", "commit"])) {
        let before = live(world).await;
        let remains = world.restore_in_a_child(&archived, OldState::Drop, moment, Fault::Die(delay)).await?;
        match remains.journal {
            Some((Step::Finish, _)) => go_forward(world, &content, &remains, &before).await?,
            _ => roll_back(world, &remains, &before).await?,
        }
    }
    Ok(())
}

pub(crate) async fn a_kill_inside_commit_or_finish_can_be_finished(world: &World) -> Result<(), Broken> {
    let (archived, content) = prepare(world).await?;
    let moments = moments(world, &archived).await?;
    for (moment, delay) in world.tried(within(&moments, &["commit", "finish"])) {
        let before = live(world).await;
        let remains = world.restore_in_a_child(&archived, OldState::Drop, moment, Fault::Die(delay)).await?;
        go_forward(world, &content, &remains, &before).await?;
    }
    Ok(())
}

pub(crate) async fn a_kill_inside_finish_keeps_the_old_state(world: &World) -> Result<(), Broken> {
    let (archived, content) = prepare(world).await?;
    let moments = moments(world, &archived).await?;
    let at_once =
        numbers_of(&moments, &["finish", "finished"]).into_iter().map(|moment| (moment, Duration::ZERO));
    for (moment, delay) in world.tried(at_once.chain(within(&moments, &["finish", "finished"]))) {
        let before = live(world).await;
        let remains = world.restore_in_a_child(&archived, OldState::Keep, moment, Fault::Die(delay)).await?;
        let Some((_, token)) = &remains.journal else { continue };
        let kept = finish_and_keep(world, token).await?;
        world.expect_content(&content, "after a crash in `finish`").await?;
        put_back(world, &kept, &before).await?;
    }
    Ok(())
}

async fn finish_and_keep(world: &World, token: &Token) -> Result<Token, Broken> {
    let mut kept = None;
    for _twice in 0..2 {
        let mut resumed = resume(world, token).await?;
        resumed.commit().await?;
        kept = resumed.finish(OldState::Keep).await?;
    }
    kept.ok_or_else(|| Broken::new("after a crash in `finish`, the old state is kept no longer"))
}

async fn put_back(world: &World, kept: &Token, before: &State) -> Result<(), Broken> {
    let mut staging = world.driver.stage_previous(kept, StageContext::new(world.run())).await?;
    staging.begin().await?;
    staging.prepare().await?;
    staging.commit().await?;
    staging.finish(OldState::Drop).await?;
    world.expect(before, "after the previous state was put back").await
}

pub(crate) async fn a_crash_while_the_previous_state_is_put_back_loses_neither(
    world: &World,
) -> Result<(), Broken> {
    let (archived, _) = prepare(world).await?;
    // Each call of the driver and what follows it, up to the commit: its own count of moments.
    for moment in world.tried(0..8) {
        let before = live(world).await;
        let kept = world.restore(&archived, OldState::Keep).await?;
        let kept = kept.ok_or_else(|| Broken::new("`finish` with `OldState::Keep` gave no token"))?;
        let new = world.state().await;
        let remains = world.in_a_child(Task::PutBack { kept: kept.clone() }, moment, AT_ONCE).await?;
        match &remains.journal {
            Some((Step::Finish, _)) => go_forward(world, &before.content, &remains, &before).await?,
            _ => {
                roll_back(world, &remains, &new).await?;
                put_back(world, &kept, &before).await?;
            }
        }
    }
    Ok(())
}

pub(crate) async fn a_killed_dump_leaves_the_source_alone(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let before = world.state().await;
    let faults = Arc::new(Faulty::never());
    world.dump_with(&faults, 1).await?;
    for moment in world.tried(worth_trying(&faults.passed(), 6)) {
        let (folder, scratch) = (world.fresh("archive"), world.fresh("left"));
        std::fs::create_dir_all(&scratch).expect("a scratch folder");
        world.in_a_child(Task::Dump { folder, scratch }, moment, AT_ONCE).await?;
        world.expect(&before, "after a dump that was killed").await?;
    }
    world.fixture.mutate().await;
    let content = world.fixture.fingerprint().await;
    let archived = world.dump().await?;
    world.fixture.seed(Seed::Empty).await;
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after dumps that were killed, and one that was not").await
}

/// A while into each of these steps, and longer.
fn within(moments: &[&str], steps: &[&str]) -> impl Iterator<Item = (u64, Duration)> {
    let delays = [30, 150, 500, 1_500, 5_000].map(Duration::from_micros);
    numbers_of(moments, steps).into_iter().flat_map(move |moment| delays.map(|delay| (moment, delay)))
}

/// What is restored in this file.
async fn prepare(world: &World) -> Result<(Arc<StoredNode>, String), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let content = world.fixture.fingerprint().await;
    Ok((Arc::new(world.dump().await?.with_chunk(4096)), content))
}

/// What is live before each restore.
async fn live(world: &World) -> State {
    world.fixture.seed(Seed::Hostile).await;
    world.state().await
}

async fn moments(world: &World, archived: &Arc<StoredNode>) -> Result<Vec<&'static str>, Broken> {
    // A driver that loads only what differs passes as many moments as there are differences.
    live(world).await;
    let faults = Arc::new(Faulty::never());
    world.stage_with(archived, &faults).await?.go(Step::Finish, OldState::Drop).await?;
    Ok(faults.passed())
}

fn numbers_of(moments: &[&str], names: &[&str]) -> Vec<u64> {
    (0..).zip(moments).filter(|(_, name)| names.contains(name)).map(|(number, _)| number).collect()
}

async fn roll_back(world: &World, remains: &Remains, before: &State) -> Result<(), Broken> {
    let Some((step, token)) = &remains.journal else {
        return world.expect(before, "after a crash before the first step").await;
    };
    if remains.lived {
        return Ok(());
    }
    for _twice in 0..2 {
        let mut resumed = resume(world, token).await?;
        let rolled_back = if *step >= Step::Commit {
            world.roll_back_a_commit(&mut *resumed, before).await
        } else {
            world.roll_back(&mut *resumed, before).await
        };
        rolled_back.map_err(|broken| Broken::new(format!("after a crash at {step:?}: {broken:?}")))?;
    }
    Ok(())
}

async fn go_forward(world: &World, content: &str, remains: &Remains, before: &State) -> Result<(), Broken> {
    let after = State { content: content.to_owned(), ..before.clone() };
    let Some((step, token)) = &remains.journal else {
        return world.expect(before, "after a crash before the first step").await;
    };
    // Twice, as after a second crash at the very end.
    let mut token = token.clone();
    for _twice in 0..2 {
        let mut resumed = resume(world, &token).await?;
        let failed =
            |what| move |error| Broken::because(format!("{what} after a crash at {step:?} failed"), error);
        resumed.commit().await.map_err(failed("`commit`"))?;
        // It is journalled before anything is finished.
        token = resumed.journal();
        resumed.finish(OldState::Drop).await.map_err(failed("`finish`"))?;
        world.expect(&after, &format!("after a crash at {step:?}, `commit` and `finish`")).await?;
    }
    Ok(())
}

async fn resume(world: &World, token: &Token) -> Result<Box<dyn dumprestore_driver::Staging>, Broken> {
    world.resume(token).await.map_err(|error| Broken::because("`resume` failed", error))
}
