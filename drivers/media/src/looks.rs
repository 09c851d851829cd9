//! What is there after the pin.

use dumprestore_driver::{Error, Result};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::asof::{AsOf, Finding, Version};
use crate::clock::Window;
use crate::config::Mode;
use crate::key::shown;
use crate::listing::{history, objects, versions};
use crate::memory::{Look, Record};
use crate::reading::Reading;
use crate::shared::{Cut, Shared, locked};
use crate::state::State;

/// A page of a listing tells of a thousand objects, and many single looks are under way at once: if a listing of all is
/// no longer than so many objects for each that is to be looked at, it is faster.
const WORTH_ALL: u64 = 20;

type Known = Box<dyn Fn(&Version) -> bool + Send>;

impl Shared {
    /// Looks at these objects, unless that was done since the pin.
    pub(crate) async fn look_at(&self, keys: &[&str], cut: Cut, window: Option<Window>) -> Result<()> {
        let mut unseen = Vec::new();
        for key in keys {
            let memory = self.memory();
            if memory.look(memory.record(key)?.as_ref()).is_none() {
                unseen.push(*key);
            }
        }
        unseen.dedup();
        if unseen.is_empty() {
            return Ok(());
        }
        let is_known = self.site.mode == Mode::Copy;
        if is_known && self.memory().count <= unseen.len() as u64 * WORTH_ALL {
            return self.look_at_all(cut, window).await;
        }
        let looks: Vec<_> =
            unseen.into_iter().map(|key| self.look_and_tell(key.to_owned(), cut, window).boxed()).collect();
        let mut looks = stream::iter(looks).buffer_unordered(self.site.bucket.concurrency());
        while let Some((key, look)) = looks.try_next().await? {
            self.memory().note_look(&key, look)?;
        }
        Ok(())
    }

    /// Looks at everything, in one listing.
    pub(crate) async fn look_at_all(&self, cut: Cut, window: Option<Window>) -> Result<()> {
        if self.keeps_versions {
            self.each_as_of(cut, window, |key, found| self.memory().note_look(key, Look::AsOf(found)))
                .await?;
        } else {
            let mut found = objects(&self.site.bucket);
            while let Some(found) = found.try_next().await? {
                self.cancel.check()?;
                if self.site.filter.takes(&found.key) {
                    let record = self.memory().record(&found.key)?;
                    let as_of_the_cut = self.is_as_of(record.as_ref(), &found.state, cut, window);
                    self.memory().note_look(&found.key, Look::Now { state: found.state, as_of_the_cut })?;
                }
            }
        }
        self.memory().note_looked_at_all();
        Ok(())
    }

    async fn look_and_tell(&self, key: String, cut: Cut, window: Option<Window>) -> Result<(String, Look)> {
        let look = self.look_at_one(&key, cut, window).await?;
        Ok((key, look))
    }

    async fn look_at_one(&self, key: &str, cut: Cut, window: Option<Window>) -> Result<Look> {
        if self.keeps_versions {
            return self.look_at_history(key, cut, window).await.map(Look::AsOf);
        }
        Ok(match self.reader.look(key).await? {
            Reading::Whole(now) => {
                let record = self.memory().record(key)?;
                let as_of_the_cut = self.is_as_of(record.as_ref(), &now.state, cut, window);
                Look::Now { state: now.state, as_of_the_cut }
            }
            Reading::Gone | Reading::Changed => Look::Gone,
            Reading::Refused(why) => Look::Refused(why),
        })
    }

    async fn look_at_history(&self, key: &str, cut: Cut, window: Option<Window>) -> Result<AsOf> {
        let mut going = Going::new(cut, window, self.known(key)?);
        let mut entries = history(&self.site.bucket, key);
        while let Some(entry) = entries.try_next().await? {
            if !going.take(entry) {
                break;
            }
        }
        Ok(going.end())
    }

    /// Tells of every object of a versioned bucket that was there at the cut, or may have been.
    pub(crate) async fn each_as_of(
        &self,
        cut: Cut,
        window: Option<Window>,
        mut take: impl FnMut(&str, AsOf) -> Result<()> + Send,
    ) -> Result<()> {
        let mut entries = versions(&self.site.bucket);
        let mut now: Option<(String, Going)> = None;
        while let Some((key, version)) = entries.try_next().await? {
            self.cancel.check()?;
            if let Some((_, going)) = now.as_mut().filter(|(last, _)| *last == key) {
                going.take(version);
                continue;
            }
            if let Some((last, going)) = now.take() {
                if last > key {
                    return Err(out_of_order(&key));
                }
                take(&last, going.end())?;
            }
            if self.site.filter.takes(&key) {
                let mut going = Going::new(cut, window, self.known(&key)?);
                going.take(version);
                now = Some((key, going));
            }
        }
        match now {
            Some((last, going)) => take(&last, going.end()),
            None => Ok(()),
        }
    }

    /// What is known to have been there before the cut, whatever its time says.
    fn known(&self, key: &str) -> Result<Known> {
        if self.site.mode == Mode::Versions {
            let underway = locked(&self.underway).clone();
            let key = key.to_owned();
            return Ok(Box::new(move |version| {
                underway.as_ref().is_some_and(|underway| underway.had_ended(&key, &version.state))
            }));
        }
        let memory = self.memory();
        let pass = memory.pass;
        let record = memory.record(key)?.unwrap_or_default();
        drop(memory);
        let seen = record.seen.filter(|_| record.pass == pass);
        let deletion = record.deletion.filter(|deletion| deletion.0 == pass).map(|deletion| deletion.1);
        let began = self.began();
        Ok(Box::new(move |version| match version.deleted {
            // The clock may have been told less exactly at the cut: what the pass knew to be over is over.
            true => {
                let is_old =
                    version.state.second().zip(began).is_some_and(|(second, began)| began.is_before(second));
                is_old || (deletion.is_some() && deletion == version.state.version)
            }
            false => seen.as_ref().is_some_and(|seen| seen.is(&version.state)),
        }))
    }

    /// Whether an object that is in that state after the pin was so at the cut: `resolve.rs` has the argument.
    fn is_as_of(&self, record: Option<&Record>, state: &State, cut: Cut, window: Option<Window>) -> bool {
        if cut.locked {
            return true;
        }
        if state.etag.is_none() {
            return false;
        }
        let pass = self.memory().pass;
        let was_seen = record.is_some_and(|record| {
            record.pass == pass && record.seen.as_ref().is_some_and(|seen| seen.is(state))
        });
        let second = state.second();
        match self.has_etags_of_content() {
            true => {
                let by_time = second.zip(window).is_some_and(|(second, window)| window.is_before(second));
                let by_pass = was_seen && second.is_some_and(|second| self.is_before_pass(second));
                (by_time && state.is_told_by_time()) || by_pass
            }
            false => was_seen,
        }
    }

    /// Whether the same bytes, written again, get the same ETag. Elsewhere each writing gets one of its own.
    fn has_etags_of_content(&self) -> bool {
        !matches!(
            self.site.bucket.scheme(),
            dumprestore_bucket::Scheme::Gcs | dumprestore_bucket::Scheme::Azblob
        )
    }
}

/// The history of one key, as it is gone through.
enum Going {
    /// Writers wait: what is there now was there at the cut.
    Locked(Option<Version>),
    Open(Finding<Known>),
}

impl Going {
    fn new(cut: Cut, window: Option<Window>, known: Known) -> Self {
        match cut.locked {
            true => Self::Locked(None),
            false => Self::Open(Finding::new(window, known)),
        }
    }

    fn take(&mut self, version: Version) -> bool {
        match self {
            Self::Locked(newest) => {
                newest.get_or_insert(version);
                false
            }
            Self::Open(finding) => finding.take(version),
        }
    }

    fn end(self) -> AsOf {
        match self {
            Self::Locked(Some(newest)) if !newest.deleted => AsOf { data: vec![newest.state], absent: false },
            Self::Locked(_) => AsOf { data: Vec::new(), absent: true },
            Self::Open(finding) => finding.end(),
        }
    }
}

fn out_of_order(key: &str) -> Error {
    Error::unsupported("the store does not list versions in the order of their keys")
        .with_context("key", shown(key))
}
