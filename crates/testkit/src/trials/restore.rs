//! Restores that go well, and archives that don't.

use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Changes, Extras, OldState, StageContext, Undo, View};

use super::ensure;
use crate::{Broken, DAMAGED, Damage, Restoring, Seed, State, Step, StoredNode, World, spread};

pub(crate) async fn staging_creates_nothing_before_begin(world: &World) -> Result<(), Broken> {
    let (archived, _, before) = world.dump_then(Seed::Ordinary, Seed::Ordinary).await?;
    let mut restoring = world.stage(&archived).await?;
    world.expect(&before, "after `stage`, before `begin`").await?;
    let token = restoring.token().clone();
    restoring
        .staging()
        .rollback()
        .await
        .map_err(|e| Broken::because("a rollback before `begin` failed", e))?;
    world.expect(&before, "after a rollback before `begin`").await?;
    drop(restoring);
    let mut resumed = world.resume(&token).await?;
    world.expect(&before, "after `resume`").await?;
    // The crash may have come between the journal and `begin`, or inside of it: the driver can't know.
    world.roll_back(&mut *resumed, &before).await
}

pub(crate) async fn changes_are_counted_and_none_is_made(world: &World) -> Result<(), Broken> {
    let exact = world.driver.capabilities().view != View::Streamed;
    world.fixture.seed(Seed::Ordinary).await;
    let archived = world.dump().await?;
    let same = count(world, &archived, Extras::Remove).await?;
    ensure(!same.unit.is_empty(), || "changes have no unit".into())?;
    ensure(!exact || (same.create == 0 && same.remove == 0), || {
        format!("the target is what the archive holds, yet: {same:?}")
    })?;
    world.fixture.seed(Seed::Empty).await;
    let created = count(world, &archived, Extras::Remove).await?;
    ensure(created.create + created.replace > 0, || {
        format!("an empty target is not to be filled: {created:?}")
    })?;
    ensure(!exact || created.remove == 0, || {
        format!("something to be removed from an empty target: {created:?}")
    })?;
    world.restore(&archived, OldState::Drop).await?;
    let done = count(world, &archived, Extras::Remove).await?;
    ensure(!exact || (done.create == 0 && done.remove == 0), || {
        format!("after the restore still to do: {done:?}")
    })
}

async fn count(world: &World, archived: &Arc<StoredNode>, extras: Extras) -> Result<Changes, Broken> {
    let before = world.state().await;
    let cx = StageContext::new(world.run()).with_extras(extras);
    let changes = world.driver.changes(archived.clone(), &cx).await?;
    world.expect(&before, "after `changes`").await?;
    Ok(changes)
}

pub(crate) async fn load_leaves_the_live_data_alone(world: &World) -> Result<(), Broken> {
    for live in [Seed::Ordinary, Seed::Empty, Seed::Hostile] {
        let (archived, _, before) = world.dump_then(Seed::Ordinary, live).await?;
        let mut restoring = world.stage(&archived).await?;
        for step in [Step::Begin, Step::Load, Step::Prepare] {
            let mut fresh = world.stage(&archived).await?;
            fresh.go(step, OldState::Drop).await?;
            world.expect_content(&before.content, &format!("after {step:?}, before the commit")).await?;
            world.roll_back(fresh.staging(), &before).await?;
        }
        restoring.staging().rollback().await?;
        // The application goes on meanwhile, and what it writes is there after a rollback.
        restoring = world.staged(&archived, Step::Prepare).await?;
        world.fixture.mutate().await;
        let mutated = State { content: world.fixture.fingerprint().await, ..before };
        world.roll_back(restoring.staging(), &mutated).await?;
    }
    Ok(())
}

pub(crate) async fn committing_twice_is_once(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let mut restoring = world.staged(&archived, Step::Commit).await?;
    world.expect_content(&content, "after the commit").await?;
    restoring.staging().commit().await.map_err(|e| Broken::because("the second commit failed", e))?;
    world.expect_content(&content, "after the second commit").await?;
    if world.driver.capabilities().undo == Undo::AfterCommit {
        world.roll_back(restoring.staging(), &before).await?;
    }
    Ok(())
}

pub(crate) async fn finishing_twice_is_once(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let after = State { content, ..before };
    let mut restoring = world.staged(&archived, Step::Finish).await?;
    world.expect(&after, "after `finish`").await?;
    restoring
        .staging()
        .finish(OldState::Drop)
        .await
        .map_err(|e| Broken::because("the second finish failed", e))?;
    world.expect(&after, "after the second `finish`").await
}

pub(crate) async fn extras_stop_the_restore_or_stay_or_go(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Ordinary).await?;
    let extras = count(world, &archived, Extras::Keep).await?;
    if extras.remove == 0 {
        return Ok(());
    }
    let mut refused = stage(world, &archived, Extras::Fail).await;
    let error = match &mut refused {
        Err(error) => format!("{error:?}"),
        Ok(restoring) => {
            let went = restoring.go(Step::Prepare, OldState::Drop).await;
            world.roll_back(restoring.staging(), &before).await?;
            went.err().map(|error| format!("{error:?}")).unwrap_or_default()
        }
    };
    ensure(!error.is_empty(), || format!("`Extras::Fail` did not stop a restore with extras: {extras:?}"))?;
    world.expect(&before, "after a restore that extras stopped").await?;

    let mut kept = stage(world, &archived, Extras::Keep).await?;
    kept.go(Step::Finish, OldState::Drop).await?;
    let after = count(world, &archived, Extras::Keep).await?;
    ensure(after.remove == extras.remove && after.create == 0, || {
        format!("extras were to stay, {extras:?}, but now: {after:?}")
    })?;
    let now = world.state().await;
    ensure(now.beside == before.beside, || format!("left beside the source: {:?}", now.beside))?;
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after a restore that removes extras").await
}

async fn stage(
    world: &World,
    archived: &Arc<StoredNode>,
    extras: Extras,
) -> dumprestore_driver::Result<Restoring> {
    let cx = StageContext::new(world.run()).with_extras(extras);
    Restoring::stage(&*world.driver, archived.clone(), cx, Arc::default()).await
}

pub(crate) async fn damaged_content_is_refused(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    let names = archived.names();
    for at in spread(names.len() as u64, 8) {
        let Some(name) = usize::try_from(at).ok().and_then(|at| names.get(at)) else { continue };
        for damage in [Damage::AtTheEnd, Damage::Halfway] {
            let damaged = Arc::new(archived.with_damage(name.clone(), damage));
            let mut restoring = world.stage(&damaged).await?;
            match restoring.go(Step::Prepare, OldState::Drop).await {
                Ok(_) => {
                    return Err(Broken::new(format!(
                        "part `{name}` was damaged ({damage:?}), and nothing said so"
                    )));
                }
                Err(error) => ensure(error.to_string().contains(DAMAGED), || {
                    format!("the reader's error became another one: {error:?}")
                })?,
            }
            world.roll_back(restoring.staging(), &before).await?;
        }
    }
    ensure(archived.parts().count() > 0, || "an ordinary source has no parts".into())?;
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after a restore of the undamaged archive").await
}
