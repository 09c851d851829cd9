//! New objects take the place of old ones.

use super::Work;
use super::identity::Identity;
use super::plan::Step;
use super::state::{self, State};
use super::whose::{Whose, whose};
use dumprestore_driver::{Error, Result};

/// Whether it was tried before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing is in place yet: what is not the old object is somebody else's.
    First,
    /// Some is in place.
    Again,
}

/// What the archive does not have goes last.
#[derive(Debug, Clone, Copy)]
enum Pass {
    Put(Turn),
    Remove,
}

impl Work {
    pub(super) async fn commit(&self) -> Result<()> {
        let Some(mut state) = State::read(&self.objects, &self.place).await? else {
            // Finished before the crash, or there is nothing that could be committed.
            return if self.is_resumed() { Ok(()) } else { Err(self.gone()) };
        };
        let turn = match state.step {
            state::Step::Committed | state::Step::Kept | state::Step::Dropping => return Ok(()),
            state::Step::Prepared => Turn::First,
            state::Step::Committing => Turn::Again,
            state::Step::Begun | state::Step::RolledBack => {
                return Err(Error::defect("a restore is committed that is not prepared"));
            }
        };
        self.cx.cancel.check()?;
        state.step = state::Step::Committing;
        state.write(&self.objects, &self.place).await?;
        self.each(&state, Pass::Put(turn)).await?;
        self.each(&state, Pass::Remove).await?;
        state.step = state::Step::Committed;
        state.write(&self.objects, &self.place).await
    }

    async fn each(&self, state: &State, pass: Pass) -> Result<()> {
        self.each_step(state, |step| async move {
            self.cx.cancel.check()?;
            match (pass, &step.new) {
                (Pass::Put(turn), Some(_)) => self.put(state, turn, &step).await,
                (Pass::Remove, None) => self.remove(state, &step).await,
                _ => Ok(()),
            }
        })
        .await
    }

    async fn put(&self, state: &State, turn: Turn, step: &Step) -> Result<()> {
        let Some(new) = &step.new else { return Ok(()) };
        let live = self.objects.look(&step.key).await?.map(|found| Identity::of(&found.state));
        match (turn, whose(step, live.as_ref(), state.copies_keep_etags)) {
            (_, Whose::Nobodys | Whose::Old) => {}
            (Turn::Again, Whose::Ours) => return Ok(()),
            (Turn::Again, Whose::Unsure) => {}
            (Turn::First, Whose::Unsure) if !is_told(step, live.as_ref()) => {}
            _ => self.save_late(step, live).await?,
        }
        self.objects.copy(new.source(), &step.key).await
    }

    async fn remove(&self, state: &State, step: &Step) -> Result<()> {
        let live = self.objects.look(&step.key).await?.map(|found| Identity::of(&found.state));
        match whose(step, live.as_ref(), state.copies_keep_etags) {
            Whose::Nobodys => return Ok(()),
            Whose::Theirs => self.save_late(step, live).await?,
            Whose::Old | Whose::Ours | Whose::Unsure => {}
        }
        self.objects.delete(&step.key).await
    }

    /// Somebody has written the object since it was saved.
    async fn save_late(&self, step: &Step, live: Option<Identity>) -> Result<()> {
        if let Some(live) = live
            && self.save(&step.key, &live, &self.place.late(&step.name)).await?.is_some()
        {
            self.tally.note_late(&step.key);
        }
        Ok(())
    }
}

/// Whether, where nothing is in place yet, an object that is there is not the one that was saved.
fn is_told(step: &Step, live: Option<&Identity>) -> bool {
    match (&step.old, live) {
        (Some(old), Some(live)) => !live.is(&old.was),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}
