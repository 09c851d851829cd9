//! The newest archive of a set: never a part of one, and never an older one in silence.

use dumprestore::OpenArchive;
use dumprestore_driver::{Error, ErrorKind, Result};
use time::OffsetDateTime;

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
    /// Others that can't be used, and are older.
    pub unusable: Vec<Unusable>,
    /// What was written later and has another name than those of the set, by name: nobody has looked into it.
    pub unjudged: Vec<String>,
}

/// One archive among others.
pub(super) struct Candidate {
    pub(super) entry: Entry,
    pub(super) summary: Summary,
}

/// Archives of the set, and what lies beside them.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) archives: Vec<Candidate>,
    pub(super) unusable: Vec<Unusable>,
    /// Those with a name that none of the set has, in the same folder.
    pub(super) others: Vec<Entry>,
}

impl Shelf {
    /// The archive of this set that was sealed last, as its manifest says, among those with a name that the set's template
    /// makes: others may be of another environment. One that holds a part of the set only is not
    /// meant as long as there is a whole one, and is told of if it is newer.
    ///
    /// # Errors
    /// If there is none; if a place can't be asked; or if something beside it was written later and can't be used: it may be the archive that is meant, and an older state is never restored without somebody having asked
    /// for it by name.
    pub fn latest(&self) -> Result<Latest> {
        if let [only] = &self.settings.places[..]
            && matches!(only.place, Place::File(_) | Place::Object(_))
        {
            let archive = open(&only.place, &self.identities)?;
            return Ok(Latest {
                archive,
                place: only.place.clone(),
                passed_over: None,
                unusable: Vec::new(),
                unjudged: Vec::new(),
            });
        }
        self.newest_of(self.candidates(&self.set, "`latest`")?, None)
    }

    /// All archives of that set in all places. `asked` is what they are looked for, for errors.
    pub(super) fn candidates(&self, set: &str, asked: &str) -> Result<Candidates> {
        let mut candidates = Candidates::default();
        for listing in self.list(false) {
            let entries = listing.entries.map_err(|error| unasked(error, asked))?;
            let (entries, others): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|entry| self.may_be_of(set, &listing.place, entry));
            let depth = self.settings.name.depth();
            candidates
                .others
                .extend(others.into_iter().filter(|other| other.name.matches('/').count() == depth));
            for (entry, looked) in glance_at(entries, &self.identities) {
                match looked {
                    Ok(summary) if summary.set == set => {
                        candidates.archives.push(Candidate { entry, summary })
                    }
                    Ok(_) => {}
                    Err(error) if is_of_archive(&error) => {
                        candidates.unusable.push(Unusable { entry, error })
                    }
                    Err(error) => return Err(unasked(error, asked)),
                }
            }
        }
        Ok(candidates)
    }

    /// The newest of these, and not of a moment after `until`.
    pub(super) fn newest_of(&self, candidates: Candidates, until: Option<OffsetDateTime>) -> Result<Latest> {
        let Candidates { archives, unusable, others } = candidates;
        let (mut whole, mut part) = (None, None);
        for candidate in archives {
            if until.is_some_and(|until| candidate.summary.moment > until) {
                continue;
            }
            let newest = if candidate.summary.holds(&self.nodes) { &mut whole } else { &mut part };
            // Of two copies the one in the place that is named first.
            let newer = |newest: &Candidate| candidate.summary.age() > newest.summary.age();
            if newest.as_ref().is_none_or(newer) {
                *newest = Some(candidate);
            }
        }
        let (newest, part) = if whole.is_some() { (whole, part) } else { (part, None) };
        if let Some(Unusable { error, .. }) = unusable.iter().find(|it| may_be_meant(it, newest.as_ref())) {
            let why = "an older archive would be meant: name the one that you mean, or move this one away";
            return Err(again(error).with_hint(why));
        }
        let newest = newest.ok_or_else(|| self.none(until, others.len()))?;
        let archive = open(&newest.entry.place, &self.identities)?;
        if archive.archive().sha256().to_string() != newest.summary.sha256 {
            return Err(Error::environment("the archive was replaced by another while it was looked for")
                .with_context("archive", newest.entry.place.shown()));
        }
        let passed_over = part.filter(|part| part.summary.age() > newest.summary.age());
        let passed_over = passed_over.map(|part| (part.entry.place.shown(), part.summary));
        let since = newest.entry.modified;
        let unjudged = others.into_iter().filter(|other| since.is_none() || other.modified > since);
        let unjudged = unjudged.map(|other| other.place.shown()).collect();
        Ok(Latest { archive, place: newest.entry.place, passed_over, unusable, unjudged })
    }

    fn none(&self, until: Option<OffsetDateTime>, others: usize) -> Error {
        let places: Vec<_> = self.settings.places.iter().map(|place| place.place.shown()).collect();
        let until = until.map(|until| format!(" of {until} or before")).unwrap_or_default();
        let hint = match others {
            0 => "name the archive's file instead of `latest`".to_owned(),
            _ => format!(
                "what is there is not called `{}`, so that nobody knows whether it is meant: name it instead of `latest`",
                self.settings.name
            ),
        };
        Error::config(format!("there is no archive of the set `{}`{until}", self.set))
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

/// The same error, for one who only has it lent.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}

/// Whether something that can't be read may hold a later state. A copy of the archive may have been made later than that:
/// what counts is when it was sealed.
fn may_be_meant(unusable: &Unusable, newest: Option<&Candidate>) -> bool {
    let written = unusable.entry.modified;
    let Some(newest) = newest else { return true };
    let since =
        newest.entry.modified.map_or(newest.summary.sealed, |copied| copied.min(newest.summary.sealed));
    written.is_none_or(|written| written >= since)
}
