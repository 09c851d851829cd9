//! What an earlier restore has kept.

use dumprestore_driver::{Error, Result, StageContext, Staging, Token};

use super::chosen::Chosen;
use super::clear::clear_run;
use super::entry::{Entry, Kept};
use super::objects::Objects;
use super::place::Place;
use super::state::{State, Step};
use super::{Origin, Restore, Work};
use crate::site::Site;

/// Plans to put it back.
pub(crate) async fn stage_previous(site: &Site, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
    let kept = Kept::parse(kept, &site.bucket)?;
    let place = Place::of(&kept.kept);
    let objects = Objects::new(site.bucket.clone(), place.clone());
    let state = kept_state(&objects, &place).await?;
    let chosen = Chosen::new(&site.filter, &cx.selection)?;
    let entry = Entry { previous: Some(kept.kept), ..Entry::of(&cx, &site.bucket)? };
    Ok(Box::new(Restore::new(site, entry, chosen, Origin::Previous(state.node), cx)))
}

/// Removes it. Twice is once.
pub(crate) async fn discard_previous(site: &Site, kept: &Token) -> Result<()> {
    let place = Place::of(&Kept::parse(kept, &site.bucket)?.kept);
    let objects = Objects::new(site.bucket.clone(), place.clone());
    if let Some(mut state) = State::read(&objects, &place).await? {
        match state.step {
            Step::Kept => {
                state.step = Step::Dropping;
                state.write(&objects, &place).await?;
            }
            Step::Dropping => {}
            _ => return Err(Error::defect("what is discarded is a restore under way")),
        }
    }
    // Versions that can't be removed are the owner's of the bucket.
    clear_run(&objects, &place).await.map(drop)?;
    super::clear::clear_folder(&objects).await
}

impl Work {
    pub(super) async fn kept_state(&self, kept: &Place) -> Result<State> {
        kept_state(&self.objects, kept).await
    }
}

async fn kept_state(objects: &Objects, kept: &Place) -> Result<State> {
    match State::read(objects, kept).await? {
        Some(state) if state.step == Step::Kept => Ok(state),
        _ => Err(Error::environment("the previous state is gone")
            .with_context("key", kept.all())
            .with_hint("restore from an archive")),
    }
}
