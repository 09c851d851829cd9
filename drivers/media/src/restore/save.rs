//! What will be replaced or removed, saved.

use dumprestore_driver::{Error, Result};

use super::Work;
use super::identity::Identity;
use super::objects::From;
use super::plan::Old;

/// An object that is written more often than that, while it is copied, is not to be caught.
const TRIES: u32 = 8;

impl Work {
    /// Copies a live object to `to`, and says what the copy is of; nothing if it is gone by now.
    pub(super) async fn save(&self, key: &str, listed: &Identity, to: &str) -> Result<Option<Old>> {
        let mut was = listed.clone();
        for _ in 0..TRIES {
            let copied = self.objects.copy(From::latest(key, was.size), to).await;
            let found = self.objects.look(key).await?;
            let Some(found) = found else {
                // It went, before the copy or after it.
                self.objects.delete(to).await?;
                return Ok(None);
            };
            copied?;
            let now = Identity::of(&found.state);
            if now.is(&was) {
                return Ok(Some(Old { was: now }));
            }
            // Somebody has written it: the copy may be of either.
            was = now;
        }
        Err(Error::environment("an object is written so often that it can't be saved before it is replaced")
            .with_context("key", key.escape_debug())
            .with_hint("restore again when there is less going on"))
    }
}
