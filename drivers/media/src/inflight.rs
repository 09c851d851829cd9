//! Objects that are being read into the archive right now.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// The keys of objects that lanes are at: no more than there are lanes.
#[derive(Default)]
pub(crate) struct InFlight {
    keys: Mutex<HashSet<String>>,
    /// Those that the list tells of already.
    told: Mutex<HashSet<String>>,
    landed: Notify,
}

/// One that ends its flight when it goes.
pub(crate) struct Flight<'a> {
    all: &'a InFlight,
    key: &'a str,
}

impl InFlight {
    fn keys(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin<'a>(&'a self, key: &'a str) -> Flight<'a> {
        self.keys().insert(key.to_owned());
        Flight { all: self, key }
    }

    /// The list tells of it: so it must get into the archive.
    pub(crate) fn tell(&self, key: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
    }

    pub(crate) fn is_told(&self, key: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Returns once no lane is at that object. Who is at one goes on by itself; who is not yet may be waiting for us.
    pub(crate) async fn landed(&self, key: &str) {
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            // From here on no landing is missed.
            landed.as_mut().enable();
            if !self.keys().contains(key) {
                return;
            }
            landed.await;
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.all.keys().remove(self.key);
        self.all.landed.notify_waiters();
    }
}
