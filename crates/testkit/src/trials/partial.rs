//! Restores of some of a node.

use std::sync::Arc;

use dumprestore_driver::{ErrorKind, Extras, OldState, Placement, Selection, StageContext, Terms, Undo};

use super::ensure;
use crate::world::same;
use crate::{Broken, Restoring, Seed, Step, StoredNode, World};

pub(crate) async fn a_partial_restore_leaves_the_rest_alone(world: &World) -> Result<(), Broken> {
    let samples = world.fixture.partial();
    ensure(!samples.is_empty(), || "`Fixture::partial` gives no sample of what can be selected".into())?;
    let mut can_fail = false;
    for selection in samples {
        for extras in [Extras::Remove, Extras::Keep] {
            can_fail |= restored_alone(world, &selection, extras).await?;
        }
    }
    ensure(can_fail, || "`mutate` changes nothing of what is selected: the trial can't fail".into())
}

/// Whether something of what is selected was not already as in the archive.
async fn restored_alone(world: &World, selection: &Selection, extras: Extras) -> Result<bool, Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let (wanted, _) = world.fixture.split(selection).await;
    let archived = world.dump().await?;
    world.fixture.mutate().await;
    world.fixture.mutate().await;
    let (live, rest) = world.fixture.split(selection).await;
    let before = world.state().await;
    ensure(!rest.is_empty(), || format!("nothing is left out of {selection:?}"))?;

    let (mut restoring, terms) = stage(world, &archived, selection, extras).await?;
    restoring.go(Step::Prepare, OldState::Drop).await?;
    if terms.undo != Undo::Never {
        world.roll_back(restoring.staging(), &before).await?;
    }
    drop(restoring);
    if terms.undo == Undo::AfterCommit {
        let (mut restoring, _) = stage(world, &archived, selection, extras).await?;
        restoring.go(Step::Commit, OldState::Drop).await?;
        world.roll_back(restoring.staging(), &before).await?;
    }

    let (mut restoring, _) = stage(world, &archived, selection, extras).await?;
    restoring.go(Step::Finish, OldState::Drop).await?;
    let (restored, left) = world.fixture.split(selection).await;
    same(&wanted, &restored, &format!("after a restore of {selection:?}, what is selected"))?;
    same(&rest, &left, &format!("after a restore of {selection:?}, the rest"))?;
    let beside = world.state().await.beside;
    ensure(beside == before.beside, || format!("left beside the source: {beside:?}"))?;
    Ok(live != wanted)
}

pub(crate) async fn what_is_not_archived_cannot_be_selected(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    let archived = world.dump().await?;
    let before = world.state().await;
    for thing in ["no-such-thing-is-there", ""] {
        let selection = Selection::of([thing]);
        let terms = world.driver.capabilities().terms(Placement::Beside, &selection)?;
        let cx = StageContext::new(world.run()).with_placement(terms.placement).with_selection(selection);
        let counted = world.driver.changes(archived.clone(), &cx).await;
        match counted {
            Ok(changes) => {
                return Err(Broken::new(format!("`{thing}` is in no archive, yet: {changes:?}")));
            }
            Err(error) => ensure(error.kind() == ErrorKind::Config, || {
                format!("a selection that means nothing is a mistake of who wrote it, not {error:?}")
            })?,
        }
    }
    world.expect(&before, "after selections that mean nothing").await
}

async fn stage(
    world: &World,
    archived: &Arc<StoredNode>,
    selection: &Selection,
    extras: Extras,
) -> Result<(Restoring, Terms), Broken> {
    let terms = world.driver.capabilities().terms(Placement::Beside, selection)?;
    let cx = StageContext::new(world.run())
        .with_placement(terms.placement)
        .with_selection(selection.clone())
        .with_extras(extras);
    world.driver.changes(archived.clone(), &cx).await?;
    let restoring = Restoring::stage(&*world.driver, archived.clone(), cx, Arc::default()).await?;
    Ok((restoring, terms))
}
