//! Uploads in parts that are under way: what they bring carries the time at which they began.

use std::collections::HashSet;
use std::sync::Arc;

use dumprestore_bucket::Bucket;

use crate::clock::Window;
use crate::state::State;

/// The store tells of so many.
const MOST: usize = 100_000;

/// The uploads that were under way at a moment before the cut.
#[derive(Clone)]
pub(crate) struct Underway {
    keys: Arc<HashSet<String>>,
    at: Window,
}

impl Underway {
    /// `None` if it can't be told: then no upload in parts is known to have ended before the cut.
    pub(crate) async fn list(bucket: &Bucket, at: Option<Window>) -> Option<Self> {
        let uploads = bucket.unfinished_uploads().await.ok()?;
        // Of more, some are not told of.
        let is_all = uploads.len() < MOST;
        let keys: HashSet<String> = uploads.into_iter().map(|upload| upload.key).collect();
        Some(Self { keys: Arc::new(keys), at: at? }).filter(|_| is_all)
    }

    /// Whether what was uploaded in parts was there before that moment: it was begun before, and was not under way.
    pub(crate) fn had_ended(&self, key: &str, state: &State) -> bool {
        state.second().is_some_and(|second| self.at.is_before(second)) && !self.keys.contains(key)
    }
}
