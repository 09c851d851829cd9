//! The end: old objects go, or are kept.

use dumprestore_driver::{Error, OldState, Result};
use futures_util::TryStreamExt;

use super::entry::Kept;
use super::objects::Objects;
use super::place::Place;
use super::state::{State, Step};
use super::{Restore, Work};
use crate::ours::OURS;

impl Restore {
    pub(super) async fn finish(&self, old: OldState) -> Result<Option<Kept>> {
        let work = &self.work;
        let state = State::read(&work.objects, &work.place).await?;
        let state = match (state, old) {
            (Some(state), _) => Some(work.end_state(state, old).await?),
            (None, OldState::Drop) => None,
            (None, OldState::Keep) => {
                return Err(Error::environment("the old objects are gone that were to be kept")
                    .with_context("key", work.place.all())
                    .with_hint("the restored objects are in place; does somebody clean up `.dumprestore/` in that bucket?"));
            }
        };
        if let Some(previous) = &self.entry.previous {
            // It is live again, and what it has replaced is what can be kept now.
            work.clear_run(&Place::of(previous)).await?;
        }
        match (old, state) {
            (OldState::Keep, Some(state)) => {
                work.clear_new().await?;
                work.drop_older(&state).await?;
                work.end().await?;
                Ok(Some(Kept { kept: self.entry.run.clone(), place: self.entry.place.clone() }))
            }
            _ => work.clear().await.map(|()| None),
        }
    }
}

impl Work {
    async fn end_state(&self, mut state: State, old: OldState) -> Result<State> {
        let end = match (state.step, old) {
            (Step::Committed | Step::Kept, OldState::Keep) => Step::Kept,
            (Step::Committed | Step::Kept | Step::Dropping, OldState::Drop) => Step::Dropping,
            _ => return Err(Error::defect("a restore is finished that was not committed")),
        };
        if state.step != end {
            state.step = end;
            state.write(&self.objects, &self.place).await?;
        }
        Ok(state)
    }

    /// What is kept takes the place of what was kept before.
    async fn drop_older(&self, kept: &State) -> Result<()> {
        for run in runs(&self.objects).await? {
            let place = Place::of(&run);
            if place == self.place {
                continue;
            }
            let older = State::read(&self.objects, &place).await?;
            if older.is_some_and(|older| older.step == Step::Kept && older.node == kept.node) {
                self.clear_run(&place).await?;
            }
        }
        Ok(())
    }
}

/// The runs that have something in the bucket.
async fn runs(objects: &Objects) -> Result<Vec<String>> {
    let folder = format!("{OURS}/");
    let lister = objects.operator().lister(&folder).await;
    let lister = lister.map_err(|error| objects.failed("list", &folder, error))?;
    let failed = |error| objects.failed("list", &folder, error);
    let found: Vec<_> = lister.map_err(failed).try_collect().await?;
    let names = found.iter().filter_map(|entry| entry.path().strip_prefix(&folder));
    Ok(names.filter_map(|name| name.strip_suffix('/')).map(str::to_owned).collect())
}
