//! What a restore would change, counted without changing it.

use std::sync::Arc;

use dumprestore_bucket::Locking;
use dumprestore_driver::{ArchivedNode, Changes, Extras, Result, StageContext};
use futures_util::TryStreamExt;

use super::chosen::Chosen;
use super::compare::is_same;
use super::entry::Entry;
use super::pairs::Pair;
use super::{AT_ONCE, Origin, Restore, Work};
use crate::site::Site;

/// Counts objects.
pub(crate) async fn changes(
    site: &Site,
    archived: Arc<dyn ArchivedNode>,
    cx: &StageContext,
) -> Result<Changes> {
    let chosen = Chosen::new(&site.filter, &cx.selection)?;
    let restore = Restore::new(
        site,
        Entry::of(cx, &site.bucket)?,
        chosen,
        Origin::Archive(archived.clone()),
        cx.clone(),
    );
    let counting =
        Counting { work: &restore.work, changes: Changes::of("objects"), needs: 0, versions: false };
    counting.run(&archived).await
}

struct Counting<'a> {
    work: &'a Work,
    changes: Changes,
    needs: u64,
    /// Whether something is copied from a version.
    versions: bool,
}

impl Counting<'_> {
    async fn run(mut self, archived: &Arc<dyn ArchivedNode>) -> Result<Changes> {
        let work = self.work;
        let pairs = work.pairs(archived);
        let looked = pairs.map_ok(|pair| async move { look(work, &pair).await.map(|same| (same, pair)) });
        let mut looked = std::pin::pin!(looked.try_buffered(AT_ONCE));
        while let Some((same, pair)) = looked.try_next().await? {
            work.cx.cancel.check()?;
            self.count(same, &pair);
        }
        self.notes(work.chosen.passed_over());
        if let Locking::Enabled { by_default: Some((_, days)) } = work.objects.bucket().locking().await? {
            self.changes.notes.push(format!(
                "the bucket locks what is written for {days} days: what is staged, and is removed at the end, stays that long as versions"
            ));
        }
        self.changes.needs_bytes = Some(self.needs);
        Ok(self.changes)
    }

    fn count(&mut self, same: bool, pair: &Pair) {
        let Some(wanted) = &pair.wanted else {
            self.changes.count_removed(|| pair.key.escape_debug().to_string());
            return;
        };
        match (&pair.live, same) {
            (Some(_), true) => {
                self.changes.unchanged += 1;
                return;
            }
            (Some(live), false) => {
                self.changes.replace += 1;
                // The old one is kept until the end.
                self.needs = self.needs.saturating_add(live.is.size);
            }
            (None, _) => self.changes.create += 1,
        }
        self.versions |= wanted.line.part.is_none();
        self.needs = self.needs.saturating_add(wanted.line.size);
    }

    fn notes(&mut self, passed_over: u64) {
        let notes = &mut self.changes.notes;
        if passed_over > 0 {
            notes.push(format!(
                "{passed_over} objects of the archive are left out here by `include` or `exclude`"
            ));
        }
        let changed = self.changes.create + self.changes.replace;
        if changed + self.changes.remove > 0 {
            notes.push(
                "objects change one by one: for as long as the commit takes, readers may see some new and some old ones".to_owned(),
            );
        }
        if self.versions {
            notes.push(
                "the archive has no bytes: the objects are copied from the versions that the bucket still has".to_owned(),
            );
        }
        if self.work.cx.extras == Extras::Keep && self.changes.remove > 0 {
            notes.push("objects that the archive does not have stay".to_owned());
        }
    }
}

/// Whether an object needs no change. What it needs must be there.
async fn look(work: &Work, pair: &Pair) -> Result<bool> {
    let Some(wanted) = &pair.wanted else { return Ok(false) };
    if let Some(live) = &pair.live
        && is_same(&work.objects, &wanted.line, live).await?
    {
        return Ok(true);
    }
    work.objects.check_key(&wanted.line.key)?;
    if wanted.line.part.is_none() {
        work.check_version(&wanted.line).await?;
    }
    Ok(false)
}
