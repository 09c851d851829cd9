//! Archives that say of themselves another time than the places that have them.

use std::collections::BTreeMap;

use dumprestore_driver::{Error, Result};
use time::{Duration, OffsetDateTime};

use super::glance::Summary;
use super::latest::Candidate;
use crate::place::Place;

/// What clocks may differ by.
const SKEW: Duration = Duration::HOUR;
/// An archive that was written so long after the moment at which it says that it was sealed may be one of a wrong clock. More
/// often it was copied.
const LATE: Duration = Duration::DAY;

/// An archive that says of itself another time than the place that has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WrongClock {
    /// The archive: a path or a URL.
    pub archive: String,
    /// When it was sealed, as it says.
    pub says: OffsetDateTime,
    /// When it was written, as its place says; of several copies the first one.
    pub written: OffsetDateTime,
}

/// When archives were written, by what they are known by: of several copies the first one.
pub(super) struct Clocks(BTreeMap<String, Written>);

struct Written {
    at: OffsetDateTime,
    says: OffsetDateTime,
    archive: String,
}

impl Clocks {
    pub(super) fn of(archives: &[Candidate]) -> Self {
        let mut all: BTreeMap<String, Written> = BTreeMap::new();
        for Candidate { entry, summary } in archives {
            let Some(at) = entry.modified else { continue };
            if all.get(&summary.sha256).is_none_or(|known| at < known.at) {
                let written = Written { at, says: summary.sealed, archive: entry.place.shown() };
                all.insert(summary.sha256.clone(), written);
            }
        }
        Self(all)
    }

    /// When it was written, if that is well before it says that it was sealed.
    fn ahead(&self, summary: &Summary) -> Option<OffsetDateTime> {
        self.0.get(&summary.sha256).map(|written| written.at).filter(|at| summary.sealed - *at > SKEW)
    }

    /// Which of two is the newer one.
    pub(super) fn age<'a>(&self, summary: &'a Summary) -> (OffsetDateTime, &'a str) {
        let (sealed, run) = summary.age();
        (self.ahead(summary).unwrap_or(sealed), run)
    }

    /// The moment whose state it holds, as far as that can be believed.
    pub(super) fn moment(&self, summary: &Summary) -> OffsetDateTime {
        self.ahead(summary).map_or(summary.moment, |at| at.min(summary.moment))
    }

    /// A file has the time of the machine that made it. If that was wrong, nobody can say whether it is the newest.
    pub(super) fn refuse_future(&self, candidate: &Candidate, now: OffsetDateTime) -> Result<()> {
        let Candidate { entry, summary } = candidate;
        let is_told = self.ahead(summary).is_some() || matches!(entry.place, Place::Object(_));
        if is_told || summary.sealed - now <= SKEW {
            return Ok(());
        }
        let message =
            format!("`{}` says that it was made in the future: at {}", entry.place.shown(), summary.sealed);
        Err(Error::environment(message).with_hint(
            "a clock is wrong, here or where it was made: name the archive that you mean, or move this one away",
        ))
    }

    /// Those whose time can't be right, and those that may be newer than `newest` all the same.
    pub(super) fn wrong(&self, newest: &Summary) -> Vec<WrongClock> {
        let since = self.0.get(&newest.sha256).map(|written| written.at);
        let is_wrong = |(digest, written): &(&String, &Written)| {
            let is_late = written.at - written.says > LATE && since.is_some_and(|since| written.at > since);
            written.says - written.at > SKEW || is_late && **digest != newest.sha256
        };
        let wrong = self.0.iter().filter(is_wrong).map(|(_, written)| WrongClock {
            archive: written.archive.clone(),
            says: written.says,
            written: written.at,
        });
        wrong.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl};
    use time::macros::datetime;

    use super::*;
    use crate::object::Object;
    use crate::shelf::Entry;

    fn candidate(name: &str, place: Place, written: OffsetDateTime, says: OffsetDateTime) -> Candidate {
        let entry = Entry {
            name: name.to_owned(),
            place,
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
        Candidate { entry, summary }
    }

    fn file(name: &str, written: OffsetDateTime, says: OffsetDateTime) -> Candidate {
        candidate(name, Place::File(PathBuf::from("/archives").join(name)), written, says)
    }

    fn object(name: &str, written: OffsetDateTime, says: OffsetDateTime) -> Candidate {
        let url = BucketUrl::parse("s3://b").unwrap();
        let mut options = BucketOptions::default();
        options.region = Some("eu-west-1".to_owned());
        let bucket = Bucket::open(&url, &options, std::path::Path::new("/")).unwrap();
        candidate(name, Place::Object(Object::new(bucket, name)), written, says)
    }

    #[test]
    fn an_archive_of_a_clock_that_ran_ahead_counts_by_when_it_was_written() {
        let (early, late) = (datetime!(2026-03-01 03:00 UTC), datetime!(2026-03-02 03:00 UTC));
        let all = [object("ahead", early, datetime!(2036-01-01 00:00 UTC)), object("newest", late, late)];
        let clocks = Clocks::of(&all);
        assert!(clocks.age(&all[1].summary) > clocks.age(&all[0].summary));
        assert_eq!(clocks.moment(&all[0].summary), early);
        let wrong = clocks.wrong(&all[1].summary);
        assert!(wrong.len() == 1 && wrong[0].archive.ends_with("ahead"), "{wrong:?}");
        all.iter().for_each(|one| clocks.refuse_future(one, late).unwrap());
    }

    #[test]
    fn a_file_of_the_future_is_refused_unless_a_store_tells_when_it_was_written() {
        let (now, future) = (datetime!(2026-03-02 03:00 UTC), datetime!(2036-01-01 00:00 UTC));
        let all = [file("a", future, future)];
        let error = Clocks::of(&all).refuse_future(&all[0], now).unwrap_err();
        assert!(error.message().contains("in the future") && error.hint().is_some(), "{error}");
        let all = [file("a", future, future), object("a", now, future)];
        Clocks::of(&all).refuse_future(&all[0], now).unwrap();
        let all = [file("a", now, now + Duration::minutes(30))];
        Clocks::of(&all).refuse_future(&all[0], now).unwrap();
    }

    #[test]
    fn what_was_written_later_and_says_that_it_is_older_is_told_of_unless_it_is_a_copy() {
        let day = |day| datetime!(2026-03-01 03:00 UTC) + Duration::days(day);
        let (old, newest) = (object("old", day(9), day(1)), object("newest", day(5), day(5)));
        let told = |all: &[Candidate]| Clocks::of(all).wrong(&newest.summary).len();
        assert_eq!(told(&[object("old", day(9), day(1)), object("newest", day(5), day(5))]), 1);
        let copied = [old, object("newest", day(5), day(5)), file("old", day(1), day(1))];
        assert_eq!(told(&copied), 0);
    }
}
