//! The newest archive of a set: never a part of one, and never an older one in silence.

use dumprestore::OpenArchive;
use dumprestore_driver::{Error, ErrorKind, Result};
use time::{Duration, OffsetDateTime};

use super::clock::{Clocks, WrongClock};
use super::glance::{Summary, Unusable, glance_at};
use super::list::Entry;
use super::{Shelf, open};
use crate::place::Place;

/// The newest archive.
#[non_exhaustive]
pub struct Latest {
    /// It.
    pub archive: OpenArchive,
    /// Where it is.
    pub place: Place,
    /// A newer one that holds a part of the set only, by name, and what it is.
    pub passed_over: Option<(String, Summary)>,
    /// Nodes of the set that it does not hold: there is no archive that holds all of them.
    pub lacks: Vec<String>,
    /// Others that can't be used, and are older.
    pub unusable: Vec<Unusable>,
    /// What was written later and has another name than those of the set, by name: nobody has looked into it.
    pub unjudged: Vec<String>,
    /// Archives that say of themselves another time than the places tell: the clock was wrong where they were made.
    pub clocks: Vec<WrongClock>,
}

/// One archive among others.
pub(super) struct Candidate {
    pub(super) entry: Entry,
    pub(super) summary: Summary,
}

/// Archives of a set, and what lies beside them.
#[derive(Default)]
pub(super) struct Candidates {
    /// The set.
    pub(super) set: String,
    pub(super) archives: Vec<Candidate>,
    pub(super) unusable: Vec<Unusable>,
    /// Those with a name that none of the set has, in the same folder.
    pub(super) others: Vec<Entry>,
}

/// How much of a set an archive holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// Some nodes, as was asked for.
    Part,
    /// All that the set had when it was made.
    Whole,
    /// All that the set has now.
    All,
}

impl Shelf {
    /// The archive of this set that was sealed last, as its manifest says, among those with a name that the set's template
    /// makes: others may be of another environment. One that holds a part of the set only is not
    /// meant as long as there is a whole one, and is told of if it is newer.
    ///
    /// # Errors
    /// If there is none; if a place can't be asked; if something beside it was written later and can't be used: it may be
    /// the archive that is meant, and an older state is never restored without somebody having asked for it by name; or if
    /// one says that it is of the future, and no store tells when it was written.
    pub fn latest(&self) -> Result<Latest> {
        if let [only] = &self.settings.places[..]
            && matches!(only.place, Place::File(_) | Place::Object(_))
        {
            return Ok(Latest {
                archive: open(&only.place, &self.identities)?,
                place: only.place.clone(),
                passed_over: None,
                lacks: Vec::new(),
                unusable: Vec::new(),
                unjudged: Vec::new(),
                clocks: Vec::new(),
            });
        }
        self.newest_of(self.candidates(&self.set, "`latest`")?, None)
    }

    /// All archives of that set in all places. `asked` is what they are looked for, for errors.
    pub(super) fn candidates(&self, set: &str, asked: &str) -> Result<Candidates> {
        let mut candidates = Candidates { set: set.to_owned(), ..Candidates::default() };
        for listing in self.list(false) {
            let entries = listing.entries.map_err(|error| unasked(error, asked))?;
            let (entries, others): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|entry| self.may_be_of(set, &listing.place, entry));
            let depth = self.settings.name.depth();
            candidates
                .others
                .extend(others.into_iter().filter(|other| other.name.matches('/').count() == depth));
            for looked in glance_at(entries, &self.identities) {
                let (entry, noted) = (looked.entry, looked.noted);
                match looked.summary {
                    Ok(summary) if summary.set == set => {
                        candidates.archives.push(Candidate { entry, summary })
                    }
                    Ok(_) => {}
                    Err(error) if is_of_archive(&error) => {
                        candidates.unusable.push(Unusable { entry, error, noted })
                    }
                    Err(error) => return Err(unasked(error, asked)),
                }
            }
        }
        Ok(candidates)
    }

    /// The newest of these, and not of a moment after `until`.
    pub(super) fn newest_of(&self, candidates: Candidates, until: Option<OffsetDateTime>) -> Result<Latest> {
        let Candidates { set, archives, unusable, others } = candidates;
        let clocks = Clocks::of(&archives);
        let mut newest: [Option<Candidate>; 3] = [None, None, None];
        for candidate in archives {
            if until.is_some_and(|until| clocks.moment(&candidate.summary) > until) {
                continue;
            }
            if until.is_none() {
                clocks.refuse_future(&candidate, OffsetDateTime::now_utc())?;
            }
            let newest = &mut newest[self.extent(&set, &candidate.summary) as usize];
            // Of two copies the one in the place that is named first.
            let newer = |newest: &Candidate| clocks.age(&candidate.summary) > clocks.age(&newest.summary);
            if newest.as_ref().is_none_or(newer) {
                *newest = Some(candidate);
            }
        }
        let mut best = newest.into_iter().rev().flatten();
        let newest = best.next();
        let doubtful = |it: &&Unusable| self.may_be_meant(&set, it, newest.as_ref(), until);
        if let Some(unusable) = unusable.iter().find(doubtful) {
            return Err(in_doubt(unusable, newest.as_ref()));
        }
        let newest = newest.ok_or_else(|| self.none(&set, until, others.len()))?;
        let archive = open(&newest.entry.place, &self.identities)?;
        if archive.archive().sha256().to_string() != newest.summary.sha256 {
            return Err(Error::environment("the archive was replaced by another while it was looked for")
                .with_context("archive", newest.entry.place.shown()));
        }
        let age = clocks.age(&newest.summary);
        let passed_over = best.filter(|other| clocks.age(&other.summary) > age);
        let passed_over = passed_over.max_by(|a, b| clocks.age(&a.summary).cmp(&clocks.age(&b.summary)));
        let passed_over = passed_over.map(|part| (part.entry.place.shown(), part.summary));
        let since = newest.entry.modified;
        let unjudged = others.into_iter().filter(|other| since.is_none() || other.modified > since);
        let unjudged = unjudged.map(|other| other.place.shown()).collect();
        let lacks = self.lacks(&set, &newest.summary);
        let clocks = clocks.wrong(&newest.summary);
        Ok(Latest { archive, place: newest.entry.place, passed_over, lacks, unusable, unjudged, clocks })
    }

    /// Of another set nobody here knows which nodes it has now.
    fn extent(&self, set: &str, summary: &Summary) -> Extent {
        match (set == self.set && summary.holds(&self.nodes), summary.is_whole) {
            (true, _) => Extent::All,
            (false, true) => Extent::Whole,
            (false, false) => Extent::Part,
        }
    }

    fn lacks(&self, set: &str, summary: &Summary) -> Vec<String> {
        match set == self.set {
            true => self.nodes.iter().filter(|node| !summary.holds(&[(*node).clone()])).cloned().collect(),
            false => summary.lacks.clone(),
        }
    }

    /// Whether something that can't be read may hold a later state. A copy of the archive may have been made later than
    /// that: what counts is when it was sealed.
    fn may_be_meant(
        &self,
        set: &str,
        unusable: &Unusable,
        newest: Option<&Candidate>,
        until: Option<OffsetDateTime>,
    ) -> bool {
        let (written, entry) = (unusable.entry.modified, &unusable.entry);
        if unusable.noted.as_ref().is_some_and(|noted| noted != set) {
            return false;
        }
        // What was begun after that moment holds no state of before it.
        let begun = self.settings.name.moment_of(set, &entry.name);
        if until.is_some_and(|until| begun.is_some_and(|begun| begun > until)) {
            return false;
        }
        let Some(newest) = newest else { return true };
        let since =
            newest.entry.modified.map_or(newest.summary.sealed, |copied| copied.min(newest.summary.sealed));
        match entry.place {
            // Its store tells it in whole seconds, cut off.
            Place::Object(_) => written.is_none_or(|written| written + Duration::SECOND > since),
            _ => written.is_none_or(|written| written >= since),
        }
    }

    fn none(&self, set: &str, until: Option<OffsetDateTime>, others: usize) -> Error {
        let places: Vec<_> = self.settings.places.iter().map(|place| place.place.shown()).collect();
        let until = until.map(|until| format!(" of {until} or before")).unwrap_or_default();
        let hint = match others {
            0 => "name the archive's file instead of `latest`".to_owned(),
            _ => format!(
                "what is there is not called `{}`, so that nobody knows whether it is meant: name it instead of `latest`",
                self.settings.name
            ),
        };
        Error::config(format!("there is no archive of the set `{set}`{until}"))
            .with_context(if self.is_one_folder() { "folder" } else { "places" }, places.join(", "))
            .with_hint(hint)
    }

    fn is_one_folder(&self) -> bool {
        matches!(&self.settings.places[..], [only] if matches!(only.place, Place::Folder(_)))
    }
}

/// What is wrong with the archive, or with how it was to be opened; not with the way to it.
pub(super) fn is_of_archive(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Archive | ErrorKind::Config)
}

fn unasked(error: Error, asked: &str) -> Error {
    let hint = match error.hint() {
        Some(hint) => format!("{hint}; or name the archive that you mean instead of {asked}"),
        None => format!("name the archive that you mean instead of {asked}: a newer one may be there"),
    };
    error.with_hint(hint)
}

/// What can't be used, and may be what is meant.
fn in_doubt(unusable: &Unusable, readable: Option<&Candidate>) -> Error {
    let Unusable { entry, error, .. } = unusable;
    let cure = error.hint().map(|hint| format!("{hint}; or ")).unwrap_or_default();
    let way_out = match readable {
        Some(older) => {
            format!("name the one that you mean (`{}` is older), or move this one away", older.entry.name)
        }
        None => "name the one that you mean".to_owned(),
    };
    Error::new(error.kind(), error.to_string())
        .with_context("archive", entry.place.shown())
        .with_hint(format!("{cure}{way_out}"))
}
