//! Old objects are back in their places.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dumprestore_driver::{Error, ErrorKind, Result};
use futures_util::TryStreamExt;

use super::Work;
use super::identity::Identity;
use super::live::live;
use super::objects::From;
use super::plan::Step;
use super::state::{self, State};
use super::whose::{Whose, whose};

/// What was asked for before a commit was cut off is through by then,
const LATE: Duration = Duration::from_secs(1);
/// but for copies of large objects, of which a store makes so much in a second, or more,
const COPIED_IN_A_SECOND: u64 = 64 << 20;
/// and no more than that is copied by one request.
const LONGEST: Duration = Duration::from_secs(60);

fn time_to_copy(size: u64) -> Duration {
    (LATE + Duration::from_secs(size / COPIED_IN_A_SECOND)).min(LONGEST)
}

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
            None => self.check_over().await?,
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

    /// The state goes last, so that nothing is there without it.
    async fn check_over(&self) -> Result<()> {
        let left = self.objects.get_size(&self.place.plan()).await?;
        let old = live(&self.objects, &self.place.old_objects()).try_next().await?;
        if left.is_none() && old.is_none() {
            return Ok(());
        }
        Err(Error::stuck(
            "how far the restore had come is not noted in the bucket any more, but old objects are there",
        )
        .with_context("key", self.place.state())
        .with_hint(
            "does somebody clean up `.dumprestore/` in that bucket? bring back what was removed there",
        ))
    }

    async fn put_all_back(&self, mut state: State) -> Result<()> {
        let late = self.late_names(&self.place).await?;
        let (late, known, largest) = (&late, &state, AtomicU64::new(0));
        self.each_step(known, |step| {
            largest.fetch_max(step.new.as_ref().map_or(0, |new| new.is.size), Ordering::Relaxed);
            async move { self.put_back(known, late, &step).await }
        })
        .await?;
        let unanswered = self.objects.bucket().unanswered_since();
        if state.step == state::Step::Committing || unanswered.is_some() {
            // Whoever was cut off, or whose line was, may have asked for copies that are made only now.
            let patience = self.objects.bucket().patience();
            let rest = unanswered.map_or(Duration::ZERO, |since| patience.saturating_sub(since));
            tokio::time::sleep(rest.max(time_to_copy(largest.into_inner()))).await;
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
