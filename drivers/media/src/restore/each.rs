//! All steps of a plan, some at once.

use std::sync::{Mutex, PoisonError};

use dumprestore_driver::{Error, Result};
use futures_util::StreamExt;

use super::plan::{self, Step};
use super::state::State;
use super::{AT_ONCE, Work};

impl Work {
    /// Does something with each object of the plan. Once one fails, no other is begun, and those under way are waited for: what
    /// the store has been asked to do must be done before anybody looks at what has become of it.
    pub(super) async fn each_step<F>(&self, state: &State, work: impl Fn(Step) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let failed = Failed::default();
        let plan = plan::read(self.objects.clone(), self.place.plan(), state.plan);
        let (noted, work) = (&failed, &work);
        let steps = plan.take_while(move |_| std::future::ready(!noted.is_set()));
        steps
            .for_each_concurrent(AT_ONCE, |step| async move {
                let done = match step {
                    Ok(step) => work(step).await,
                    Err(error) => Err(error),
                };
                noted.note(done);
            })
            .await;
        failed.end()
    }
}

/// The first of several errors.
#[derive(Default)]
struct Failed(Mutex<Option<Error>>);

impl Failed {
    fn note(&self, done: Result<()>) {
        if let Err(error) = done {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn end(self) -> Result<()> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
