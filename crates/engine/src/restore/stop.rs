//! Whom a wish to stop reaches. The drivers of a restore are told by the engine, each for as long as there is a way back:
//! once a commit can't be undone, stopping is what would leave a mix.

use std::future::Future;
use std::pin::pin;

use dumprestore_driver::Cancel;
use futures_util::future::{Either, select};

/// Stops all drivers of a restore, at the latest when it is dropped.
#[derive(Default)]
pub(super) struct StopAll(Cancel);

impl StopAll {
    /// What stops one of them.
    pub(super) fn one(&self) -> Cancel {
        self.0.child()
    }

    pub(super) fn all(&self) {
        self.0.cancel();
    }
}

impl Drop for StopAll {
    fn drop(&mut self) {
        self.all();
    }
}

/// The caller's wish to stop, and to whom it is passed on.
pub(super) struct Heed {
    wish: Cancel,
    stops: Vec<Cancel>,
}

impl Heed {
    pub(super) fn new(wish: &Cancel, stops: Vec<Cancel>) -> Self {
        Self { wish: wish.clone(), stops }
    }

    /// Does all of `work`, which ends sooner if it is told to stop.
    pub(super) async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let wished = pin!(self.wish.cancelled());
        match select(pin!(work), wished).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => {
                self.stops.iter().for_each(Cancel::cancel);
                work.await
            }
        }
    }
}
