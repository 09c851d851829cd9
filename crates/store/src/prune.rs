//! Removing archives that others have taken the place of.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use dumprestore_archive::Status;
use dumprestore_bucket::{Bucket, UnfinishedUpload};
use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use serde::Serialize;
use time::OffsetDateTime;

use crate::place::Place;
use crate::retention::{Candidate, Judgement, Keep, KeptFor, Ruling, Verdict, judge};
use crate::shelf::{Entry, Listing, Shelf, Summary, glance_at};
use crate::transfers;

/// An upload that was begun so long ago is taken for dead. Large archives by slow lines take days; what this machine began
/// and did not complete, the set's next dump removes earlier, by its notes.
const DEAD: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is to become of the archives in one place. Each place is judged by itself: in each the newest good one stays.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct PrunePlan {
    /// The place.
    pub place: String,
    /// Its archives of this set, the newest first.
    pub archives: Vec<Judged>,
    /// What lies there and can't be read: it stays, for nobody knows what it is.
    pub unreadable: Vec<Unreadable>,
    /// Uploads that were begun more than seven days ago, and never completed.
    pub unfinished: Vec<String>,
    /// Why such uploads can't be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<String>,
    #[serde(skip)]
    uploads: Option<(Bucket, Vec<UnfinishedUpload>)>,
}

/// What is to become of one archive.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Judged {
    /// Its name, and whether it stays, and why.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// How it turned out.
    pub verdict: Verdict,
    /// The moment whose state it holds.
    #[serde(with = "time::serde::rfc3339")]
    pub moment: OffsetDateTime,
    /// How many bytes it has.
    pub bytes: u64,
    #[serde(skip)]
    entry: Entry,
}

/// What can't be read.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What was removed.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Pruned {
    /// Archives, by name.
    pub removed: Vec<String>,
    /// Bytes in them.
    pub bytes: u64,
    /// Unfinished uploads that were removed.
    pub unfinished: u64,
    /// What could not be removed, and why.
    pub failed: Vec<Unreadable>,
}

impl Shelf {
    /// Looks through all places, and judges what is to stay. Nothing is removed.
    ///
    /// # Errors
    /// If a place can't be listed, or an archive can't be looked at for want of a way to it: what nobody knows is not
    /// judged; or if it was cancelled.
    pub fn plan_prune(&self, keep: &Keep, cancel: &Cancel) -> Result<Vec<PrunePlan>> {
        let plan = |listing: Listing| {
            cancel.check()?;
            self.plan_place(&listing.place, listing.entries?, keep, cancel)
        };
        self.list(false).into_iter().map(plan).collect()
    }

    fn plan_place(
        &self,
        place: &Place,
        mut entries: Vec<Entry>,
        keep: &Keep,
        cancel: &Cancel,
    ) -> Result<PrunePlan> {
        entries.retain(|entry| self.may_be_of(self.set(), place, entry));
        let (mut archives, mut unreadable) = (Vec::new(), Vec::new());
        for looked in glance_at(entries, self.identities()) {
            cancel.check()?;
            let (entry, noted) = (looked.entry, looked.noted);
            match looked.summary {
                Ok(summary) if summary.set == self.set() => archives.push((entry, summary)),
                Ok(_) => {}
                // Of another set, which may be encrypted to others: it is not judged here at all.
                Err(_) if noted.is_some_and(|noted| noted != self.set()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Archive | ErrorKind::Config) => {
                    unreadable.push(Unreadable { name: entry.name, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        // One that lies there twice is one state, and takes up one place of what is kept.
        let (archives, twins) = distinct(archives);
        let mut candidates: Vec<_> =
            archives.iter().map(|(entry, summary)| candidate(entry, summary)).collect();
        let now = server_time(place)?;
        let first = judge(&candidates, keep, now);
        // Only of those that would go it has to be asked.
        for ((judgement, candidate), found) in first.iter().zip(&mut candidates).zip(&archives) {
            if !judgement.ruling.keeps() {
                let all = std::iter::once(found).chain(twins_of(found, &twins));
                let locked = all.map(|(entry, _)| locked_until(&entry.place)).collect::<Result<Vec<_>>>()?;
                candidate.locked_until = locked.into_iter().flatten().max();
            }
        }
        let mut ruled = judge(&candidates, keep, now);
        keep_written_later(&mut ruled, &candidates, &archives, now);
        let ruled = ruled.into_iter().zip(candidates).zip(archives);
        let mut judged: Vec<_> = ruled.flat_map(|ruled| with_twins(ruled, &twins)).collect();
        judged.sort_by_key(|judged| std::cmp::Reverse(judged.moment));
        // Who may not list them can remove archives all the same.
        let (uploads, unlisted) = match self.dead_uploads(place, now) {
            Ok(uploads) => (uploads, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let unfinished =
            uploads.iter().flat_map(|(_, all)| all.iter().map(|upload| upload.key.clone())).collect();
        Ok(PrunePlan { place: place.shown(), archives: judged, unreadable, unfinished, unlisted, uploads })
    }

    /// Those that have a name of this set's archives and are old.
    fn dead_uploads(
        &self,
        place: &Place,
        now: OffsetDateTime,
    ) -> Result<Option<(Bucket, Vec<UnfinishedUpload>)>> {
        let bucket = match place {
            Place::Prefix(bucket) => bucket.clone(),
            Place::Object(object) => object.bucket.clone(),
            Place::Folder(_) | Place::File(_) => return Ok(None),
        };
        let asked = bucket.clone();
        let mut uploads = transfers::wait(async move { asked.unfinished_uploads().await })?;
        let now = SystemTime::from(now);
        uploads.retain(|upload| {
            let is_old = now.duration_since(upload.initiated).is_ok_and(|age| age > DEAD);
            is_old
                && match place {
                    Place::Object(object) => object.key == upload.key,
                    _ => self.settings().name.makes(self.set(), &upload.key),
                }
        });
        Ok(Some((bucket, uploads)))
    }
}

impl PrunePlan {
    /// Whether it would remove nothing.
    pub fn is_idle(&self) -> bool {
        self.unfinished.is_empty() && self.archives.iter().all(|judged| judged.judgement.ruling.keeps())
    }

    /// Removes what is to go, the oldest first. One that changed since it was looked at stays, and one that can't be removed
    /// does not stop the rest. If the newest good one is not there any more, no archive is removed: somebody may have taken
    /// their time to say yes. Cancelled, it stops, and says what it has done by then.
    pub fn perform(&self, cancel: &Cancel) -> Pruned {
        let mut pruned = Pruned::default();
        let mut going: Vec<_> =
            self.archives.iter().rev().filter(|judged| !judged.judgement.ruling.keeps()).collect();
        if let Some(newest) = self.newest_good().filter(|_| !going.is_empty())
            && let Err(error) = look_again(&newest.entry)
        {
            let why = format!("the newest good archive is not what it was, so that all stay: {error}");
            pruned.failed.push(Unreadable { name: self.place.clone(), why });
            going.clear();
        }
        for judged in going {
            if cancel.check().is_err() {
                return pruned;
            }
            let name = judged.entry.place.shown();
            match remove(&judged.entry) {
                Ok(()) => {
                    pruned.bytes += judged.bytes;
                    pruned.removed.push(name);
                }
                Err(error) => pruned.failed.push(Unreadable { name, why: error.to_string() }),
            }
        }
        for (bucket, upload) in
            self.uploads.iter().flat_map(|(bucket, all)| all.iter().map(move |one| (bucket, one)))
        {
            let (asked, dead) = (bucket.clone(), upload.clone());
            if cancel.check().is_err() {
                return pruned;
            }
            match transfers::wait(async move { asked.abort_upload(&dead).await }) {
                Ok(()) => pruned.unfinished += 1,
                Err(error) => {
                    pruned.failed.push(Unreadable { name: upload.key.clone(), why: error.to_string() });
                }
            }
        }
        pruned
    }

    /// The one for whose sake others go.
    fn newest_good(&self) -> Option<&Judged> {
        let is_last = |judged: &&Judged| match &judged.judgement.ruling {
            Ruling::Keep(reasons) => reasons.contains(&KeptFor::LastGood),
            Ruling::Remove(_) => false,
        };
        self.archives.iter().find(is_last)
    }
}

type Found = (Entry, Summary);

/// What was written after the newest good one, but says that it is older, stays until there is a newer one: the clock of the
/// machine that made it may have been wrong, and it may be the newest.
fn keep_written_later(
    judged: &mut [Judgement],
    candidates: &[Candidate],
    archives: &[Found],
    now: OffsetDateTime,
) {
    let good =
        candidates.iter().zip(archives).filter(|(one, _)| one.verdict == Verdict::Good && one.time <= now);
    let Some((_, (newest, _))) = good.max_by_key(|(one, _)| one.time) else { return };
    for (judgement, (entry, _)) in judged.iter_mut().zip(archives) {
        if !judgement.ruling.keeps() && newest.modified.is_some() && entry.modified > newest.modified {
            judgement.ruling = Ruling::Keep(vec![KeptFor::WrittenLater]);
        }
    }
}

/// Each archive once, and what lies there once more.
fn distinct(archives: Vec<Found>) -> (Vec<Found>, Vec<Found>) {
    let mut known = BTreeSet::new();
    archives.into_iter().partition(|(_, summary)| known.insert(summary.sha256.clone()))
}

fn twins_of<'a>((_, summary): &'a Found, twins: &'a [Found]) -> impl Iterator<Item = &'a Found> {
    twins.iter().filter(|(_, twin)| twin.sha256 == summary.sha256)
}

/// What is to become of an archive, and the same of what it lies there once more as.
fn with_twins(
    ((judgement, candidate), found): ((Judgement, Candidate), Found),
    twins: &[Found],
) -> Vec<Judged> {
    let all = std::iter::once(&found).chain(twins_of(&found, twins));
    let judged = all.map(|(entry, _)| Judged {
        judgement: Judgement { name: entry.name.clone(), ruling: judgement.ruling.clone() },
        verdict: candidate.verdict,
        moment: candidate.time,
        bytes: entry.bytes,
        entry: entry.clone(),
    });
    judged.collect()
}

fn candidate(entry: &Entry, summary: &Summary) -> Candidate {
    Candidate {
        name: entry.name.clone(),
        set: summary.set.clone(),
        time: summary.moment,
        verdict: summary.verdict(),
        locked_until: None,
    }
}

impl Summary {
    /// How it turned out, by what it says of itself. Whether it holds the whole set is told by the configuration that it was
    /// made with: a node that was added later makes no older archive a part.
    pub fn verdict(&self) -> Verdict {
        let any = |status: Status| self.nodes.iter().any(|node| node.status == status);
        if any(Status::Failed) || self.nodes.is_empty() {
            Verdict::Failed
        } else if !self.is_whole {
            Verdict::Partial
        } else if any(Status::Degraded) || self.dangling > 0 && !self.known {
            Verdict::Degraded
        } else {
            Verdict::Good
        }
    }
}

/// The store's own clock decides what is old there.
fn server_time(place: &Place) -> Result<OffsetDateTime> {
    let bucket = match place {
        Place::Prefix(bucket) => bucket.clone(),
        Place::Object(object) => object.bucket.clone(),
        Place::Folder(_) | Place::File(_) => return Ok(OffsetDateTime::now_utc()),
    };
    // Stores tell it in whole seconds: what was dumped a moment ago would be in the future.
    let told = transfers::wait(async move { bucket.server_time().await })?;
    Ok(OffsetDateTime::from(told) + time::Duration::SECOND)
}

fn locked_until(place: &Place) -> Result<Option<OffsetDateTime>> {
    let Place::Object(object) = place else { return Ok(None) };
    let object = object.clone();
    let lock =
        transfers::wait(async move { object.bucket.lock(&object.key, object.version.as_deref()).await })?;
    // A legal hold has no end.
    let held = lock.legal_hold.then(|| time::Date::MAX.midnight().assume_utc());
    Ok(held.or(lock.retention.map(|(_, until)| until.into())))
}

/// Looks whether an archive is still the one that was judged.
fn look_again(entry: &Entry) -> Result<()> {
    let changed = || {
        Error::environment("it was changed after it was judged").with_context("archive", entry.place.shown())
    };
    match &entry.place {
        Place::File(path) => {
            let there = path.metadata().map_err(|error| {
                Error::io("can't look at the archive", error).with_context("archive", path.display())
            })?;
            let modified = there.modified().ok().map(OffsetDateTime::from);
            let same = there.len() == entry.bytes && modified == entry.modified;
            if same { Ok(()) } else { Err(changed()) }
        }
        Place::Object(object) => {
            let looked = object.clone();
            let there = transfers::wait(async move {
                let there = looked.bucket.operator().stat(&looked.key).await;
                there.map_err(|error| looked.failed("look at", error))
            })?;
            let same = there.content_length() == entry.bytes
                && entry
                    .etag
                    .as_deref()
                    .is_none_or(|etag| there.etag().is_none_or(|now| same_etag(etag, now)));
            if same { Ok(()) } else { Err(changed()) }
        }
        Place::Folder(_) | Place::Prefix(_) => Err(Error::defect("this is no archive")),
    }
}

/// Removes an archive, if it is still the one that was judged.
fn remove(entry: &Entry) -> Result<()> {
    look_again(entry)?;
    match &entry.place {
        Place::File(path) => {
            std::fs::remove_file(path).map_err(|error| Error::io("can't remove the archive", error))
        }
        Place::Object(object) => {
            let object = object.clone();
            transfers::wait(async move {
                let removed = object.bucket.operator().delete(&object.key).await;
                removed.map_err(|error| object.failed("remove", error))
            })
        }
        Place::Folder(_) | Place::Prefix(_) => Err(Error::defect("only an archive is ever removed")),
    }
}

fn same_etag(a: &str, b: &str) -> bool {
    a.trim_matches('"') == b.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use time::macros::datetime;

    use super::*;

    fn found(name: &str, written: OffsetDateTime, says: OffsetDateTime) -> Found {
        let entry = Entry {
            name: name.to_owned(),
            place: Place::File(PathBuf::from(name)),
            bytes: 1,
            modified: Some(written),
            superseded: false,
            etag: None,
        };
        let summary = Summary {
            set: "shop".to_owned(),
            run: name.to_owned(),
            moment: says,
            sealed: says,
            nodes: Vec::new(),
            is_whole: true,
            dangling: 0,
            known: false,
            sha256: name.to_owned(),
            lacks: Vec::new(),
        };
        (entry, summary)
    }

    #[test]
    fn what_a_wrong_clock_made_look_old_stays_until_a_newer_one_is_written() {
        let now = datetime!(2026-03-10 12:00 UTC);
        let day = |day| datetime!(2026-03-01 03:00 UTC) + time::Duration::days(day);
        let mut all = vec![found("a", day(1), day(1)), found("b", day(2), day(2))];
        all.push(found("clock", day(3), datetime!(2020-01-01 00:00 UTC)));
        let goes = |all: &[Found]| {
            let candidates: Vec<_> = all
                .iter()
                .map(|(entry, summary)| Candidate { verdict: Verdict::Good, ..candidate(entry, summary) })
                .collect();
            let keep = Keep { last: 1, ..Keep::default() };
            let mut judged = judge(&candidates, &keep, now);
            keep_written_later(&mut judged, &candidates, all, now);
            judged.into_iter().filter(|one| !one.ruling.keeps()).map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(goes(&all), ["a"]);
        all.push(found("c", day(4), day(4)));
        assert_eq!(goes(&all), ["a", "b", "clock"]);
    }
}
