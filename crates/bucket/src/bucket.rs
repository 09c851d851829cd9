//! A store and a prefix in it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dumprestore_driver::{Error, Result};
use futures_util::TryStreamExt;
use opendal::Operator;
use percent_encoding::{AsciiSet, utf8_percent_encode};

use crate::pause::Pauses;
use crate::s3::{LifecycleRule, Lock, Locking, Marker, Page, UnfinishedUpload, Versioning};
use crate::service::{Operators, Store};
use crate::url::{plain_prefix, shown};
use crate::{BucketOptions, BucketUrl, Scheme, fault, identity};

/// What would end a parameter, or is read as the beginning of a code, or as a gap.
const IN_ADDRESS: AsciiSet = percent_encoding::CONTROLS.add(b'&').add(b'#').add(b'%').add(b'+').add(b' ');

/// A store and a prefix in it. Clones share its connections and its limits.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<Store>,
    prefix: String,
    operator: Operator,
    once: Operator,
    shown: String,
}

impl Bucket {
    /// The store at `url`. Relative paths in `options` start at `base`. Offline: credentials are looked for when the
    /// first request is made.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) for options that can't be, files of secrets that
    /// can't be read, or a folder that is not there.
    pub fn open(url: &BucketUrl, options: &BucketOptions, base: &Path) -> Result<Self> {
        Self::at(Arc::new(Store::new(url, options, base)?), url.prefix().to_owned())
    }

    fn at(store: Arc<Store>, prefix: String) -> Result<Self> {
        let Operators { patient: operator, once } = store.operators(&prefix)?;
        let shown = shown(store.scheme, &store.name, &prefix);
        Ok(Self { store, prefix, operator, once, shown })
    }

    /// The same store at each prefix above, the nearest first. Nothing is above a folder.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn above(&self) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let mut prefix = if self.scheme() == Scheme::Fs { "" } else { self.prefix.as_str() };
        while !prefix.is_empty() {
            prefix = prefix.rsplit_once('/').map_or("", |(above, _)| above);
            found.push(Self::at(Arc::clone(&self.store), prefix.to_owned())?);
        }
        Ok(found)
    }

    /// The same store, deeper.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if that is no prefix: it has empty names, `.` or `..`.
    pub fn within(&self, prefix: &str) -> Result<Self> {
        let prefix = plain_prefix(prefix)?;
        let whole = match (self.prefix.as_str(), prefix.as_str()) {
            (_, "") => self.prefix.clone(),
            ("", deeper) => deeper.to_owned(),
            (above, deeper) => format!("{}/{deeper}", above.trim_end_matches('/')),
        };
        Self::at(Arc::clone(&self.store), whole)
    }

    /// The way to its objects, by keys below the prefix. Requests are tried again where that may help, and limited.
    ///
    /// OpenDAL takes blanks off the ends of a key, and leaves out its empty names: `a//b` becomes `a/b`.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The same, with each request made once: for whoever tries again on his own, after each of the [`pauses`](Self::pauses), what
    /// failed with an error that is temporary.
    pub fn once(&self) -> &Operator {
        &self.once
    }

    /// The pauses between as many tries as there are.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        Pauses::new(self.store.tries())
    }

    /// The longest that a server may stand still.
    pub fn patience(&self) -> Duration {
        self.store.patience()
    }

    /// How long ago a request was given up on that may have changed something, whether or not it was tried again: the server may
    /// yet do it.
    pub fn unanswered_since(&self) -> Option<Duration> {
        self.store.unanswered.since()
    }

    /// Whether an error is the single object's, and others may well be read: such as one that is encrypted with a key that only
    /// its owner has.
    pub fn is_of_object(&self, error: &opendal::Error) -> bool {
        fault::is_of_object(error)
    }

    /// For people: the store and the prefix.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What tells this place from all others, as [`BucketUrl::identity`] has it.
    pub fn identity(&self) -> String {
        identity::identity(self.store.server.as_deref(), &self.store.name, &self.prefix)
    }

    /// The URL that leads here, without a secret: with the server, if that does not follow from the kind of the store.
    pub fn address(&self) -> String {
        match self.store.unusual_origin() {
            Some(origin) => format!("{}?endpoint={}", self.shown, utf8_percent_encode(origin, &IN_ADDRESS)),
            None => self.shown.clone(),
        }
    }

    /// Which kind of store.
    pub fn scheme(&self) -> Scheme {
        self.store.scheme
    }

    /// Where in the store: without a slash at either end; for a folder, its absolute path.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The most requests under way at once.
    pub fn concurrency(&self) -> usize {
        self.store.concurrency()
    }

    /// Whether the store can be reached, and what is below the prefix be listed.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub async fn check(&self) -> Result<()> {
        let list = async {
            let mut lister = self.operator.lister_with("").limit(1).await?;
            lister.try_next().await
        };
        list.await.map(|_| ()).map_err(|error| self.failed("list", "", error))
    }

    /// The store's own clock, to the second; where there is none to ask, this machine's.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub async fn server_time(&self) -> Result<SystemTime> {
        match self.store.calls() {
            Some(calls) => calls.clock().await.map_err(|error| self.failed("ask for the time of", "", error)),
            None => Ok(SystemTime::now()),
        }
    }

    /// Whether the store keeps what is overwritten and deleted.
    ///
    /// # Errors
    /// As [`failed`](Self::failed). That it may not be asked is [`Versioning::Unknown`].
    pub async fn versioning(&self) -> Result<Versioning> {
        match (self.store.calls(), self.store.scheme) {
            (Some(calls), _) => {
                calls.versioning().await.map_err(|error| self.failed("ask for the versioning of", "", error))
            }
            (None, Scheme::Fs) => Ok(Versioning::Off),
            (None, _) => Ok(Versioning::Unknown("of this kind of store it is not asked".to_owned())),
        }
    }

    /// What the store deletes and moves by itself: none, if it has no rules.
    ///
    /// # Errors
    /// As [`failed`](Self::failed); [`ErrorKind::Unsupported`](dumprestore_driver::ErrorKind::Unsupported) for what is
    /// not S3. That the rules may not be seen is an error too, and not the same as none.
    pub async fn lifecycle(&self) -> Result<Vec<LifecycleRule>> {
        match (self.store.calls(), self.store.scheme) {
            (Some(calls), _) => calls
                .lifecycle()
                .await
                .map_err(|error| self.failed("ask for the lifecycle rules of", "", error)),
            (None, Scheme::Fs) => Ok(Vec::new()),
            (None, _) => {
                Err(Error::unsupported(format!("can't ask for the lifecycle rules of `{}`", self.shown)))
            }
        }
    }

    /// Uploads below the prefix that were begun and neither finished nor aborted, the first hundred thousand; some may be
    /// under way. Of a folder, all files in it that were not finished, with the time when they were last written to. Where
    /// they can't be asked for, none.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub async fn unfinished_uploads(&self) -> Result<Vec<UnfinishedUpload>> {
        match (self.store.calls(), self.store.folder()) {
            (Some(calls), _) => calls
                .unfinished_uploads(&self.whole_key(""))
                .await
                .map_err(|error| self.failed("list unfinished uploads in", "", error)),
            (None, Some(folder)) => folder.unfinished().await,
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Those of the object with that key. The store is asked for exactly that: some, as MinIO, tell of no others.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub async fn unfinished_uploads_of(&self, key: &str) -> Result<Vec<UnfinishedUpload>> {
        let Some(calls) = self.store.calls() else {
            let all = self.unfinished_uploads().await?;
            return Ok(all.into_iter().filter(|upload| upload.key == key).collect());
        };
        let found = calls.unfinished_uploads(&self.whole_key(key)).await;
        let found = found.map_err(|error| self.failed("list unfinished uploads of", key, error))?;
        // What follows the prefix that was asked for is a longer key.
        let exact = found.into_iter().filter(|upload| upload.key.is_empty());
        Ok(exact.map(|upload| UnfinishedUpload { key: key.to_owned(), ..upload }).collect())
    }

    /// Aborts such an upload, and so frees what it takes. If it is gone already, all is well.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub async fn abort_upload(&self, upload: &UnfinishedUpload) -> Result<()> {
        match (self.store.calls(), self.store.folder()) {
            (Some(calls), _) => calls
                .abort_upload(&self.whole_key(&upload.key), &upload.id)
                .await
                .map_err(|error| self.failed("abort an upload of", &upload.key, error)),
            (None, Some(folder)) => folder.remove_unfinished(&upload.id).await,
            (None, None) => Ok(()),
        }
    }

    /// Whether the store can lock what is in it.
    ///
    /// # Errors
    /// As [`failed`](Self::failed). That it may not be asked is [`Locking::Unknown`].
    pub async fn locking(&self) -> Result<Locking> {
        match (self.store.calls(), self.store.scheme) {
            (Some(calls), _) => {
                calls.locking().await.map_err(|error| self.failed("ask for the object lock of", "", error))
            }
            (None, Scheme::Fs) => Ok(Locking::Off),
            (None, _) => Ok(Locking::Unknown("of this kind of store it is not asked".to_owned())),
        }
    }

    /// What keeps that version of an object, or the current one, from being deleted. Where there are no locks, nothing.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub async fn lock(&self, key: &str, version: Option<&str>) -> Result<Lock> {
        match self.store.calls() {
            Some(calls) => calls
                .lock(&self.whole_key(key), version)
                .await
                .map_err(|error| self.failed("ask for the lock of", key, error)),
            None => Ok(Lock::default()),
        }
    }

    /// Objects below the prefix, some at a time, with their exact keys: from the first one, or on from a marker.
    ///
    /// # Errors
    /// As [`failed`](Self::failed); [`ErrorKind::Unsupported`](dumprestore_driver::ErrorKind::Unsupported) for what is
    /// not S3.
    pub async fn list_objects(&self, after: Option<&Marker>) -> Result<Page> {
        let Some(calls) = self.store.calls() else { return Err(self.is_not_s3()) };
        calls.objects(&self.whole_key(""), after).await.map_err(|error| self.failed("list", "", error))
    }

    /// Versions of objects, and deletions, whose key below the prefix begins with `below`; otherwise the same.
    ///
    /// # Errors
    /// The same.
    pub async fn list_versions(&self, below: &str, after: Option<&Marker>) -> Result<Page> {
        let Some(calls) = self.store.calls() else { return Err(self.is_not_s3()) };
        calls
            .versions(&self.whole_key(""), below, after)
            .await
            .map_err(|error| self.failed("list versions in", "", error))
    }

    fn is_not_s3(&self) -> Error {
        Error::unsupported(format!("`{}` can't be listed as S3 is", self.shown))
    }

    /// A key as the store has it, from the top of the bucket.
    fn whole_key(&self, key: &str) -> String {
        match self.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// An error for people: `can't {doing} …`, on that key (nothing: on the store itself), why, and what to do.
    ///
    /// `doing` is a verb, with what it is about: `read`, `write`, `list`.
    pub fn failed(&self, doing: &str, key: &str, error: opendal::Error) -> Error {
        fault::told(&self.store, &self.shown, doing, key, &error)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.shown)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
