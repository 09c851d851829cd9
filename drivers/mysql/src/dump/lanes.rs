//! Sessions that see what is pinned.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dumprestore_driver::{Error, Result};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connect::Session;

/// As many as were opened before the cut: none can be added later.
pub(crate) struct Lanes {
    idle: Mutex<Vec<Session>>,
    free: Semaphore,
    /// Those that were not lost.
    alive: AtomicUsize,
}

impl Lanes {
    pub(super) fn new(sessions: Vec<Session>) -> Self {
        let count = sessions.len();
        Self { idle: Mutex::new(sessions), free: Semaphore::new(count), alive: AtomicUsize::new(count) }
    }

    /// A session that nobody else uses. Waits for one.
    ///
    /// # Errors
    /// If all of them were lost.
    pub(crate) async fn take(&self) -> Result<Lane<'_>> {
        let lost = || {
            Error::environment("all sessions that saw the cut have ended")
                .with_hint("the server was stopped, or ended them: run it again")
        };
        let permit = self.free.acquire().await.map_err(|_| lost())?;
        let session = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = session.ok_or_else(lost)?;
        Ok(Lane { lanes: self, session: Some(session), permit: Some(permit) })
    }

    /// Ends all sessions that are idle.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for session in idle {
            session.close().await;
        }
    }
}

/// A session, for as long as it is needed. Then it is kept for the next, with its transaction, unless it was lost or left
/// in the midst of a statement.
pub(crate) struct Lane<'a> {
    lanes: &'a Lanes,
    /// Always there, until it is dropped.
    session: Option<Session>,
    permit: Option<SemaphorePermit<'a>>,
}

impl Lane<'_> {
    /// The session.
    ///
    /// # Errors
    /// None, before it is given back.
    pub(crate) fn session(&mut self) -> Result<&mut Session> {
        self.session.as_mut().ok_or_else(|| Error::defect("a lane is used after it was given back"))
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if !session.is_gone() {
            self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            return;
        }
        // There is one fewer from now on; nobody is to wait for what never comes.
        if let Some(permit) = self.permit.take() {
            permit.forget();
        }
        if self.lanes.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.lanes.free.close();
        }
    }
}
