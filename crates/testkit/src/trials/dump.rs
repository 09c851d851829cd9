//! Dumps, and what comes back from them.

use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{CutMode, ErrorKind, Lanes, OldState, Severity, View};

use super::ensure;
use crate::moments::worth_trying;
use crate::world::part_names;
use crate::{Broken, Fault, Faulty, INJECTED, Seed, Step, World};

pub(crate) async fn a_round_trip_gives_the_same_state_back(world: &World) -> Result<(), Broken> {
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Ordinary).await?;
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after dump, changes and restore").await?;
    let after = world.state().await;
    ensure(after.beside == before.beside, || {
        format!(
            "a finished restore left something beside the source: {:?}, was {:?}",
            after.beside, before.beside
        )
    })?;
    world.scratch_is_empty()?;
    // What was restored can be dumped and restored again.
    let again = world.dump().await?;
    world.fixture.seed(Seed::Empty).await;
    world.restore(&again, OldState::Drop).await?;
    world.expect_content(&content, "after a second round").await
}

pub(crate) async fn an_empty_source_round_trips(world: &World) -> Result<(), Broken> {
    round_trip_into(world, Seed::Empty, Seed::Ordinary).await
}

pub(crate) async fn hostile_names_round_trip(world: &World) -> Result<(), Broken> {
    round_trip_into(world, Seed::Hostile, Seed::Ordinary).await?;
    round_trip_into(world, Seed::Ordinary, Seed::Hostile).await?;
    // In small pieces: names and values then end in the middle of what is read.
    world.fixture.seed(Seed::Hostile).await;
    let content = world.fixture.fingerprint().await;
    let archived = world.dump().await?;
    for chunk in [1, 3, 1000] {
        world.fixture.seed(Seed::Empty).await;
        world.restore(&Arc::new(archived.with_chunk(chunk)), OldState::Drop).await?;
        world.expect_content(&content, "after a restore that reads a few bytes at a time").await?;
    }
    Ok(())
}

pub(crate) async fn a_large_source_round_trips(world: &World) -> Result<(), Broken> {
    round_trip_into(world, Seed::Large, Seed::Ordinary).await?;
    round_trip_into(world, Seed::Ordinary, Seed::Large).await
}

async fn round_trip_into(world: &World, archived: Seed, live: Seed) -> Result<(), Broken> {
    let (node, content, before) = world.dump_then(archived, live).await?;
    world.restore(&node, OldState::Drop).await?;
    world.expect_content(&content, &format!("after a restore of {archived:?} over {live:?}")).await?;
    let after = world.state().await;
    ensure(after.beside == before.beside, || format!("left beside the source: {:?}", after.beside))
}

pub(crate) async fn a_restore_elsewhere_gives_the_same_state(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let before = world.state().await;
    let archived = world.dump().await?;
    let other = world.another().await?;
    other.restore(&archived, OldState::Drop).await?;
    other.expect_content(&before.content, "after a restore into another source").await?;
    world.expect(&before, "after a restore into another source, where it came from").await
}

pub(crate) async fn a_removed_source_is_restored(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let content = world.fixture.fingerprint().await;
    let archived = world.dump().await?;
    if !world.fixture.remove().await {
        return Ok(());
    }
    let beside = world.fixture.beside(&world.base()).await;
    let mut restoring = world.stage(&archived).await?;
    if world.driver.capabilities().undo != dumprestore_driver::Undo::Never {
        restoring.go(Step::Prepare, OldState::Drop).await?;
        restoring
            .staging()
            .rollback()
            .await
            .map_err(|e| Broken::because("a rollback to no source failed", e))?;
        let now = world.fixture.beside(&world.base()).await;
        ensure(now == beside, || format!("a rollback to no source leaves {now:?}, was {beside:?}"))?;
        restoring = world.stage(&archived).await?;
    }
    restoring.go(Step::Finish, OldState::Drop).await?;
    world.expect_content(&content, "after a restore where nothing was").await
}

pub(crate) async fn a_removed_source_is_not_dumped_as_an_empty_one(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    if !world.fixture.remove().await {
        return Ok(());
    }
    let beside = world.fixture.beside(&world.base()).await;
    // What is only ever read by a command, say, can't be seen beforehand.
    if world.driver.capabilities().view != View::Streamed
        && let Ok(inspection) = world.driver.inspect().await
    {
        let told =
            inspection.problems.iter().any(|p| matches!(p.severity, Severity::NoDump | Severity::Error));
        ensure(told, || format!("`inspect` sees no problem in a source that is gone: {inspection:?}"))?;
    }
    let dumped = world.dump().await;
    ensure(dumped.is_err(), || "a source that is gone was dumped without an error".into())?;
    let now = world.fixture.beside(&world.base()).await;
    ensure(now == beside, || format!("looking at a source that is gone made {now:?}, was {beside:?}"))
}

pub(crate) async fn a_pinned_source_does_not_see_later_changes(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let content = world.fixture.fingerprint().await;
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.pin_alone(CutMode::Open).await?;
    world.fixture.mutate().await;
    let dumped = dumping.stream(async || world.fixture.mutate().await).await;
    let live = world.fixture.fingerprint().await;
    let (node, released) = dumping.release().await;
    dumped?;
    released?;
    world.expect_content(&live, "after `release`, the application's own changes are gone").await?;
    world.restore(&Arc::new(node), OldState::Drop).await?;
    world.expect_content(&content, "after a restore of what was pinned before changes").await
}

pub(crate) async fn a_second_cut_sees_the_present(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.capture().await?;
    dumping.pin(CutMode::Open).await?;
    world.fixture.mutate().await;
    let content = world.fixture.fingerprint().await;
    let again = async {
        dumping.unpin().await?;
        crate::world::dump_all(&mut dumping).await
    };
    let dumped = again.await;
    let (node, released) = dumping.release().await;
    dumped?;
    released?;
    world.fixture.seed(Seed::Empty).await;
    world.restore(&Arc::new(node), OldState::Drop).await?;
    world.expect_content(&content, "after a restore of what was pinned a second time").await
}

pub(crate) async fn writers_go_on_after_a_locked_cut(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let content = world.fixture.fingerprint().await;
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.pin(CutMode::Locked).await?;
    let writer = writer(world);
    tokio::time::sleep(Duration::from_millis(50)).await;
    dumping.unlock().await?;
    done(writer, "after `unlock`").await?;
    let dumped = dumping.stream(async || {}).await;
    let (node, released) = dumping.release().await;
    dumped?;
    released?;
    world.restore(&Arc::new(node), OldState::Drop).await?;
    world.expect_content(&content, "after a restore of a locked cut").await?;
    // A run that fails between the two never calls `unlock`.
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.pin(CutMode::Locked).await?;
    dumping.release().await.1?;
    done(self::writer(world), "after a release without `unlock`").await
}

fn writer(world: &World) -> tokio::task::JoinHandle<()> {
    let fixture = world.fixture.clone();
    tokio::spawn(async move { fixture.mutate().await })
}

async fn done(writer: tokio::task::JoinHandle<()>, when: &str) -> Result<(), Broken> {
    match tokio::time::timeout(Duration::from_secs(10), writer).await {
        Err(_) => Err(Broken::new(format!("{when}, writers still wait"))),
        Ok(Err(panic)) => Err(Broken::new(format!("{when}, writers fail: {panic}"))),
        Ok(Ok(())) => Ok(()),
    }
}

pub(crate) async fn lanes_agree_with_one_lane(world: &World) -> Result<(), Broken> {
    for seed in [Seed::Ordinary, Seed::Large] {
        world.fixture.seed(seed).await;
        let content = world.fixture.fingerprint().await;
        let one = world.dump_with(&Arc::default(), 1).await?;
        let many = world.dump_with(&Arc::default(), 8).await?;
        ensure(part_names(&one) == part_names(&many), || "one lane and eight dump different parts".into())?;
        for (node, lanes) in [(&one, 8), (&many, 1), (&many, 8)] {
            world.fixture.seed(Seed::Empty).await;
            let mut restoring = world.stage(node).await?;
            restoring.set_lanes(lanes);
            restoring.go(Step::Finish, OldState::Drop).await?;
            world.expect_content(&content, &format!("after a restore of {seed:?} in {lanes} lanes")).await?;
        }
    }
    Ok(())
}

pub(crate) async fn parts_load_in_any_order(world: &World) -> Result<(), Broken> {
    for seed in [Seed::Ordinary, Seed::Hostile] {
        let (archived, content, _) = world.dump_then(seed, Seed::Ordinary).await?;
        let mut restoring = world.stage(&archived).await?;
        restoring.set_backwards();
        restoring.go(Step::Finish, OldState::Drop).await?;
        world.expect_content(&content, "after a restore of the parts in the opposite order").await?;
    }
    Ok(())
}

pub(crate) async fn an_error_of_the_writer_is_passed_on(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let before = world.state().await;
    let moments = moments_of_a_dump(world).await?;
    let is_written = |moment: &u64| {
        let io = usize::try_from(*moment).ok().and_then(|moment| moments.get(moment));
        matches!(io, Some(&"write" | &"end of part"))
    };
    for moment in world.tried(worth_trying(&moments, 30).into_iter().filter(is_written)) {
        let faults = Arc::new(Faulty::at(moment, Fault::Fail));
        match world.dump_with(&faults, 1).await {
            Ok(_) => return Err(Broken::new("a dump succeeded though its writer failed")),
            Err(error) => {
                ensure(error.message() == INJECTED && error.kind() == ErrorKind::Environment, || {
                    format!("the writer's error became another one: {error:?}")
                })?
            }
        }
        world.expect(&before, "after a dump whose writer failed").await?;
    }
    world.scratch_is_empty()
}

pub(crate) async fn a_cancelled_dump_leaves_nothing(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let before = world.state().await;
    let moments = worth_trying(&moments_of_a_dump(world).await?, 16).into_iter();
    let ends = moments.flat_map(|moment| [Fault::Cancel, Fault::Fail].map(|fault| (moment, fault)));
    for (moment, fault) in world.tried(ends) {
        let faults = Arc::new(Faulty::at(moment, fault));
        match world.dump_with(&faults, lanes(world)).await {
            Ok(_) => return Err(Broken::new(format!("a dump ended well in spite of {fault:?}"))),
            Err(error) => ensure(fault == Fault::Fail || error.kind() == ErrorKind::Cancelled, || {
                format!("a cancelled dump must say so, not {error:?}")
            })?,
        }
        world.expect(&before, "after a dump that was stopped").await?;
        world.scratch_is_empty()?;
    }
    let archived = world.dump().await?;
    world.fixture.seed(Seed::Empty).await;
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&before.content, "after dumps that were stopped, and one that was not").await
}

/// More than one, if the driver can.
fn lanes(world: &World) -> usize {
    if world.driver.capabilities().lanes == Lanes::Many { 3 } else { 1 }
}

/// The names of the moments of a dump.
async fn moments_of_a_dump(world: &World) -> Result<Vec<&'static str>, Broken> {
    let faults = Arc::new(Faulty::never());
    world.dump_with(&faults, 1).await?;
    Ok(faults.passed())
}
