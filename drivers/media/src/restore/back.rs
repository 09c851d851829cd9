//! Old objects are back in their places.

use std::collections::BTreeSet;
use std::time::Duration;

use dumprestore_driver::{Error, ErrorKind, Result};

use super::Work;
use super::identity::Identity;
use super::objects::From;
use super::plan::Step;
use super::state::{self, State};
use super::whose::{Whose, whose};

/// Copies that were asked for before a commit was cut off are through by then, but for very large ones.
const LATE_COPIES: Duration = Duration::from_secs(1);

impl Work {
    pub(super) async fn rollback(&self) -> Result<()> {
        self.go_back().await.map_err(|error| match error.kind() {
            ErrorKind::Stuck => error,
            _ => self.stuck(error),
        })
    }

    async fn go_back(&self) -> Result<()> {
        let state = State::read(&self.objects, &self.place).await?;
        match state {
            None => {}
            Some(state) => match state.step {
                state::Step::Begun | state::Step::Prepared | state::Step::RolledBack => {}
                state::Step::Committing | state::Step::Committed => self.put_all_back(state).await?,
                state::Step::Kept | state::Step::Dropping => {
                    return Err(Error::stuck(
                        "the old objects are not kept for this restore any more: it was finished",
                    )
                    .with_context("key", self.place.all())
                    .with_hint("the restored objects are in place; `dumprestore recover` removes the rest"));
                }
            },
        }
        self.clear().await
    }

    async fn put_all_back(&self, mut state: State) -> Result<()> {
        let late = self.late_names(&self.place).await?;
        let (late, known) = (&late, &state);
        self.each_step(known, |step| async move { self.put_back(known, late, &step).await }).await?;
        if state.step == state::Step::Committing {
            // Whoever was cut off, or whose line was, may have asked for copies that are made only now.
            tokio::time::sleep(LATE_COPIES).await;
            self.each_step(known, |step| async move { self.put_back(known, late, &step).await }).await?;
        }
        // From here on nothing is put back any more, for it will be gone.
        state.step = state::Step::RolledBack;
        state.write(&self.objects, &self.place).await
    }

    async fn put_back(&self, state: &State, late: &BTreeSet<String>, step: &Step) -> Result<()> {
        let live = self.objects.look(&step.key).await?.map(|found| Identity::of(&found.state));
        let saved = match (late.contains(&step.name), &step.old) {
            (true, _) => Some(self.place.late(&step.name)),
            (false, Some(_)) => Some(self.place.old(&step.name)),
            (false, None) => None,
        };
        match whose(step, live.as_ref(), state.copies_keep_etags) {
            // It was not its turn yet, or it was back before a crash.
            Whose::Old => Ok(()),
            // The application has written it since, or it is what came late and is there already.
            Whose::Theirs => Ok(()),
            Whose::Nobodys if saved.is_none() => Ok(()),
            _ => self.put_one_back(step, saved.as_deref()).await,
        }
    }

    async fn put_one_back(&self, step: &Step, saved: Option<&str>) -> Result<()> {
        let Some(saved) = saved else { return self.objects.delete(&step.key).await };
        let found = self.objects.look(saved).await?.ok_or_else(|| self.gone())?;
        self.objects.copy(From::latest(saved, found.state.size), &step.key).await
    }

    fn stuck(&self, error: Error) -> Error {
        let hint = format!(
            "remove the cause, then run `dumprestore recover`; the old objects are in `{}old/`, and `{}` says of which key each is",
            self.place.all(),
            self.place.plan()
        );
        let hint = match error.hint() {
            Some(cause) => format!("{cause}; {hint}"),
            None => hint,
        };
        error.with_kind(ErrorKind::Stuck).with_hint(hint)
    }
}
