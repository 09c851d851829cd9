//! What a store has: its objects, and of versioned buckets the history of each.

use std::collections::VecDeque;

use dumprestore_bucket::opendal::options::ListOptions;
use dumprestore_bucket::{Bucket, Listed, Marker, Scheme};
use dumprestore_driver::{Error, Result};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};

use crate::asof::Version;
use crate::state::{State, nanos, strong};

/// An object as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) state: State,
}

/// All objects, in constant memory; ours included. Most stores give them in the order of their keys, folders don't.
pub(crate) fn objects(bucket: &Bucket) -> BoxStream<'static, Result<Found>> {
    match bucket.scheme() {
        Scheme::S3 => {
            let entries = pages(bucket.clone(), None)
                .map_ok(|listed| Found { state: state_of(&listed), key: listed.key });
            entries.try_filter(|found| std::future::ready(!found.key.is_empty())).boxed()
        }
        _ => of_operator(bucket.clone()),
    }
}

/// All versions of all objects of a versioned bucket, and deletions, key by key, the newest first.
pub(crate) fn versions(bucket: &Bucket) -> BoxStream<'static, Result<(String, Version)>> {
    pages(bucket.clone(), Some(String::new()))
        .map_ok(|listed| (listed.key.clone(), version_of(&listed)))
        .boxed()
}

/// The history of one key, the newest first; what follows in the listing is passed over.
pub(crate) fn history(bucket: &Bucket, key: &str) -> BoxStream<'static, Result<Version>> {
    let wanted = key.to_owned();
    // Its own key comes before all others that begin with it.
    let own = pages(bucket.clone(), Some(wanted.clone()))
        .try_take_while(move |listed| std::future::ready(Ok(listed.key == wanted)));
    own.map_ok(|listed| version_of(&listed)).boxed()
}

fn version_of(listed: &Listed) -> Version {
    Version { state: state_of(listed), deleted: listed.deleted }
}

fn state_of(listed: &Listed) -> State {
    State {
        size: listed.size,
        etag: listed.etag.as_deref().and_then(strong),
        version: listed.version.clone().filter(|version| !version.is_empty()),
        modified: nanos(listed.modified),
    }
}

/// Whether a key that nothing is found under is listed all the same: of Azure's listings, OpenDAL takes the blanks at the ends of keys.
///
/// # Errors
/// If the store can't be listed.
pub(crate) async fn is_misread(bucket: &Bucket, key: &str) -> Result<bool> {
    if bucket.scheme() != Scheme::Azblob {
        return Ok(false);
    }
    let failed = |error| bucket.failed("list", key, error);
    let mut found = bucket.operator().lister_with(key).recursive(true).await.map_err(failed)?;
    while let Some(entry) = found.try_next().await.map_err(failed)? {
        match entry.path().cmp(key) {
            std::cmp::Ordering::Less => {}
            order => return Ok(order.is_eq()),
        }
    }
    Ok(false)
}

struct Pages {
    bucket: Bucket,
    /// Of versions, below that; else of objects.
    versions_below: Option<String>,
    some: VecDeque<Listed>,
    next: Option<Marker>,
    is_over: bool,
}

fn pages(bucket: Bucket, versions_below: Option<String>) -> BoxStream<'static, Result<Listed>> {
    let pages = Pages { bucket, versions_below, some: VecDeque::new(), next: None, is_over: false };
    try_unfold(pages, async |mut pages| Ok(pages.next().await?.map(|listed| (listed, pages)))).boxed()
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Listed>> {
        while self.some.is_empty() && !self.is_over {
            let after = self.next.as_ref();
            let page = match &self.versions_below {
                Some(below) => self.bucket.list_versions(below, after).await?,
                None => self.bucket.list_objects(after).await?,
            };
            self.some = page.listed.into();
            self.is_over = page.next.is_none();
            self.next = page.next;
        }
        Ok(self.some.pop_front())
    }
}

fn of_operator(bucket: Bucket) -> BoxStream<'static, Result<Found>> {
    let is_folder = bucket.scheme() == Scheme::Fs;
    let opened = async move {
        let options = ListOptions { recursive: true, ..Default::default() };
        let lister = bucket.operator().lister_options("", options).await;
        let lister = lister.map_err(|error| bucket.failed("list", "", error))?;
        Ok::<_, Error>(lister.map_err(move |error| bucket.failed("list", "", error)))
    };
    let entries = futures_util::stream::once(opened).try_flatten();
    entries
        .try_filter_map(move |entry| {
            // A folder of a file system is no object; a key that ends in `/` is one elsewhere.
            let is_object = entry.path() != "/"
                && match is_folder {
                    true => entry.metadata().is_file(),
                    false => entry.metadata().is_file() || entry.metadata().is_dir(),
                };
            let found =
                is_object.then(|| Found { key: entry.path().to_owned(), state: State::of(entry.metadata()) });
            std::future::ready(Ok(found))
        })
        .boxed()
}
