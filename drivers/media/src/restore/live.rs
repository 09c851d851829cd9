//! What is live, in the order of its keys.

use std::collections::VecDeque;

use dumprestore_bucket::opendal::{Entry, EntryMode, Lister};
use dumprestore_driver::{Error, Result};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};

use super::identity::Identity;
use super::objects::Objects;
use crate::state::State;

/// An object as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) key: String,
    pub(super) is: Identity,
}

/// Everything below a folder, ours included; an empty folder is all of it. Keys of a folder that is not the root begin with it.
///
/// # Errors
/// If keys don't ascend: two listings could not be compared.
pub(super) fn live(objects: &Objects, below: &str) -> BoxStream<'static, Result<Live>> {
    let all = match (objects.is_folder(), below) {
        (true, _) => folder_by_folder(objects.clone(), below.to_owned()),
        (false, "") => {
            let found = crate::listing::objects(objects.bucket());
            found.map_ok(|found| Live { key: found.key, is: Identity::of(&found.state) }).boxed()
        }
        (false, _) => in_one_go(objects.clone(), below.to_owned()),
    };
    let mut last: Option<String> = None;
    let checked = all.map(move |found| {
        let found = found?;
        if last.as_ref().is_some_and(|last| *last >= found.key) {
            return Err(Error::unsupported("the store does not list its objects in the order of their keys")
                .with_context("key", format!("{:?}", found.key))
                .with_hint("directory buckets do so"));
        }
        last = Some(found.key.clone());
        Ok(found)
    });
    checked.boxed()
}

/// As most stores list: by key, and nothing else. The names of what we make are tidy.
fn in_one_go(objects: Objects, below: String) -> BoxStream<'static, Result<Live>> {
    let opened = async move {
        let lister = objects.operator().lister_with(&below).recursive(true).await;
        let lister = lister.map_err(|error| objects.failed("list", &below, error))?;
        Ok(lister.map(move |entry| entry.map_err(|error| objects.failed("list", &below, error))))
    };
    let entries = futures_util::stream::once(opened).try_flatten();
    entries.try_filter_map(async |entry| Ok(as_live(&entry))).boxed()
}

/// A folder lists its entries in any order: so each is sorted, and gone into where the keys in it have their place.
fn folder_by_folder(objects: Objects, below: String) -> BoxStream<'static, Result<Live>> {
    let walk = Walk { objects, folders: Vec::new(), next: Some(below) };
    let entries = try_unfold(walk, async |mut walk| Ok(walk.next().await?.map(|entry| (entry, walk))));
    entries.try_filter_map(async |entry| Ok(as_live(&entry))).boxed()
}

struct Walk {
    objects: Objects,
    /// What is left of each folder on the way.
    folders: Vec<VecDeque<Entry>>,
    /// The folder to go into.
    next: Option<String>,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(folder) = self.next.take() {
                let entries = self.list(&folder).await?;
                self.folders.push(entries);
            }
            let Some(folder) = self.folders.last_mut() else { return Ok(None) };
            match folder.pop_front() {
                None => drop(self.folders.pop()),
                Some(entry) if entry.metadata().mode() == EntryMode::DIR => {
                    self.next = Some(entry.path().to_owned());
                }
                Some(entry) => return Ok(Some(entry)),
            }
        }
    }

    async fn list(&self, folder: &str) -> Result<VecDeque<Entry>> {
        let failed = |error| self.objects.failed("list", folder, error);
        let lister: Lister = self.objects.operator().lister(folder).await.map_err(failed)?;
        let mut entries: Vec<Entry> = lister.try_collect().await.map_err(failed)?;
        entries.retain(|entry| entry.path() != folder && entry.path() != "/");
        // A folder's name ends with a `/`: so it stands where what is in it stands.
        entries.sort_unstable_by(|one, other| one.path().cmp(other.path()));
        Ok(entries.into())
    }
}

fn as_live(entry: &Entry) -> Option<Live> {
    // The prefix itself is no object in it; what is neither file nor folder is no object.
    let is_object = entry.path() != "/" && entry.metadata().mode() != EntryMode::Unknown;
    is_object.then(|| Live { key: entry.path().to_owned(), is: Identity::of(&State::of(entry.metadata())) })
}
