//! What was staged is removed.

use dumprestore_bucket::Scheme;
use dumprestore_driver::{LedgerEntry, Result};
use futures_util::TryStreamExt;

use super::Work;
use super::live::live;
use super::objects::Objects;
use super::place::{MARK, Place};
use super::state::{end_turn, is_turn_of};

impl Work {
    /// Removes everything of this restore, and ends its turn. Twice is once.
    pub(super) async fn clear(&self) -> Result<()> {
        self.clear_run(&self.place).await?;
        self.end().await
    }

    /// Ends the turn of this restore, if it is its: another's mark is what keeps yet others away from that one.
    pub(super) async fn end(&self) -> Result<()> {
        let run = self.place.run();
        if is_turn_of(&self.objects, run).await? {
            self.tell(clear_mark(&self.objects).await);
            // Where it had no version that could be removed. It may be another's by now.
            end_turn(&self.objects, run).await?;
        }
        clear_folder(&self.objects).await
    }

    /// Removes everything of a run.
    pub(super) async fn clear_run(&self, place: &Place) -> Result<()> {
        let told = clear_run(&self.objects, place).await?;
        self.tell(told);
        Ok(())
    }

    /// Removes what is not needed any more once it is committed.
    pub(super) async fn clear_new(&self) -> Result<()> {
        remove_all(&self.objects, &self.place.new_objects(), None).await?;
        self.tell(clear_versions(&self.objects, &self.place.new_objects()).await);
        Ok(())
    }

    fn tell(&self, entries: impl IntoIterator<Item = LedgerEntry>) {
        entries.into_iter().for_each(|entry| self.tally.tell(entry));
    }
}

/// Removes everything of a run, the state last: without it, nobody would know what the rest is. Tells what may not be removed.
pub(super) async fn clear_run(objects: &Objects, place: &Place) -> Result<Vec<LedgerEntry>> {
    let (all, state) = (place.all(), place.state());
    let mut told = Vec::new();
    // Of a folder it can't be told whose files are unfinished: they are those of whoever has his turn.
    if !objects.is_folder() || is_turn_of(objects, objects.run()).await? {
        told.extend(abort_uploads(objects, place).await);
    }
    // Where there is none, a versioned bucket would keep that it was deleted.
    if remove_all(objects, &all, Some(&state)).await? {
        objects.delete(&state).await?;
    }
    if objects.is_folder() {
        // The folders.
        let deleted = objects.operator().delete_with(&all).recursive(true).await;
        deleted.map_err(|error| objects.failed("delete", &all, error))?;
    }
    told.extend(clear_versions(objects, &all).await);
    Ok(told)
}

/// Removes all but one, and says whether that is there.
async fn remove_all(objects: &Objects, below: &str, but: Option<&str>) -> Result<bool> {
    let mut deletes = objects.deletes()?;
    let mut found = live(objects, below);
    let mut is_there = false;
    while let Some(found) = found.try_next().await? {
        match but == Some(found.key.as_str()) {
            true => is_there = true,
            false => deletes.push(&found.key, None).await?,
        }
    }
    deletes.finish().await?;
    Ok(is_there)
}

/// In a versioned bucket, what was removed is still there as versions, and paid for. Whoever may not remove these is told.
async fn clear_versions(objects: &Objects, below: &str) -> Option<LedgerEntry> {
    if objects.bucket().scheme() != Scheme::S3 || !objects.can().delete_with_version {
        return None;
    }
    let cleared = try_clear_versions(objects, below).await;
    cleared.err().map(|error| {
        LedgerEntry::note(
            below,
            format!("what was staged there is removed, but its versions could not be: {}", error.message()),
        )
    })
}

/// Removes the mark, which is ours, with all versions of it: while it stands, nobody writes another.
async fn clear_mark(objects: &Objects) -> Option<LedgerEntry> {
    if objects.bucket().scheme() != Scheme::S3 || !objects.can().delete_with_version {
        return None;
    }
    let cleared = try_clear_mark(objects).await;
    cleared.err().map(|error| {
        let why = format!("it is removed, but its versions could not be: {}", error.message());
        LedgerEntry::note(MARK, why)
    })
}

/// Ours goes last: what it hides must not come to light.
async fn try_clear_mark(objects: &Objects) -> Result<()> {
    let mut versions = versions_of(objects, MARK).await?;
    // Without versions, all marks have that name, and the next one would go.
    versions.retain(|version| version != "null");
    let Some((newest, older)) = versions.split_first() else { return Ok(()) };
    let mut deletes = objects.deletes()?;
    for version in older {
        deletes.push(MARK, Some(version)).await?;
    }
    deletes.finish().await?;
    let mut deletes = objects.deletes()?;
    deletes.push(MARK, Some(newest)).await?;
    deletes.finish().await
}

/// The versions of one object, and its deletions, the newest first.
async fn versions_of(objects: &Objects, key: &str) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    let mut next = None;
    loop {
        let page = objects.bucket().list_versions(key, next.as_ref()).await?;
        let own = page.listed.into_iter().filter(|listed| listed.key == key);
        versions.extend(own.filter_map(|listed| listed.version.filter(|version| !version.is_empty())));
        next = page.next;
        if next.is_none() {
            return Ok(versions);
        }
    }
}

async fn try_clear_versions(objects: &Objects, below: &str) -> Result<()> {
    let mut deletes = objects.deletes()?;
    let mut next = None;
    loop {
        let page = objects.bucket().list_versions(below, next.as_ref()).await?;
        for listed in page.listed.iter().filter(|listed| listed.key.starts_with(below)) {
            if let Some(version) = listed.version.as_deref().filter(|version| !version.is_empty()) {
                deletes.push(&listed.key, Some(version)).await?;
            }
        }
        next = page.next;
        if next.is_none() {
            return deletes.finish().await;
        }
    }
}

/// Uploads of large objects that a kill has cut off are in no listing, and paid for. Whoever may not see them is told.
async fn abort_uploads(objects: &Objects, place: &Place) -> Option<LedgerEntry> {
    let aborted = try_abort_uploads(objects, place).await;
    aborted.err().map(|error| {
        LedgerEntry::note(
            place.all(),
            format!(
                "uploads there that were cut off, if there are any, could not be aborted: {}",
                error.message()
            ),
        )
    })
}

async fn try_abort_uploads(objects: &Objects, place: &Place) -> Result<()> {
    let within = objects.bucket().within(place.all().trim_end_matches('/'))?;
    for upload in within.unfinished_uploads().await? {
        within.abort_upload(&upload).await?;
    }
    Ok(())
}

/// Of a store that is a folder, ours goes with what was in it.
pub(super) async fn clear_folder(objects: &Objects) -> Result<()> {
    if !objects.is_folder() {
        return Ok(());
    }
    let folder = format!("{}/", crate::ours::OURS);
    let left = objects.operator().list(&folder).await;
    let left = left.map_err(|error| objects.failed("list", &folder, error))?;
    if left.iter().any(|entry| entry.path() != folder) {
        return Ok(());
    }
    let deleted = objects.operator().delete(&folder).await;
    deleted.map_err(|error| objects.failed("delete", &folder, error))
}
