//! Where a dump goes that goes elsewhere than simply into a file.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use dumprestore::{ArchiveCopy, CopyOutcome, Elsewhere, Opened};
use dumprestore_archive::{Existing, Output};
use dumprestore_driver::{Cancel, Error, Result};

use crate::encryption::Encryption;
use crate::notes::Notes;
use crate::place::Place;
use crate::write::{
    Content, Copying, Lane, Limited, LocalCopy, Outcomes, Pace, PartSizes, StoreOutput, Upload, UploadOptions,
};

/// Parts that an upload has at the most when it is as large as was expected.
const WANTED: u64 = 9_000;

/// It may be that it fits once it is compressed: only the user knows.
fn too_small(target: &Target, bytes: u64, most: u64) -> Error {
    let part = bytes.div_ceil(WANTED).div_ceil(1 << 20);
    let message = format!("what is dumped has {bytes} bytes, and an upload in such parts can have {most}");
    Error::environment(message).with_context("archive", target.place.shown()).with_hint(format!(
        "set `part_size: {part}MiB` for this place, unless it compresses well: it fails at the end otherwise"
    ))
}

/// An output that keeps to the limits of `settings` where there is no place that does.
pub fn limited(output: Box<dyn Output>, settings: &WriteSettings, cancel: &Cancel) -> Box<dyn Output> {
    Box::new(Limited::new(output, settings.bandwidth, settings.max_size, cancel.clone()))
}

/// How an archive is written to its places.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriteSettings {
    /// What becomes of an archive that has the name already.
    pub existing: Existing,
    /// Bytes per second that all uploads take together at the most; if there is none, what is written instead.
    pub bandwidth: Option<u64>,
    /// Bytes that the archive may have.
    pub max_size: Option<u64>,
    /// To whom it is encrypted.
    pub encryption: Option<Encryption>,
    /// The name of its set, which is noted down beside it.
    pub set: String,
}

impl Default for WriteSettings {
    fn default() -> Self {
        Self {
            existing: Existing::Keep,
            bandwidth: None,
            max_size: None,
            encryption: None,
            set: String::new(),
        }
    }
}

/// One place that an archive is to be in: [`Place::File`] or [`Place::Object`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Target {
    /// Where.
    pub place: Place,
    /// Bytes of each part of an upload, where a store wants them all to be the same.
    pub part_size: Option<u64>,
}

impl Target {
    /// That file, or that object.
    pub fn new(place: Place) -> Self {
        Self { place, part_size: None }
    }
}

/// One place of the archive, or several, all of which are written at once.
///
/// # Behavior
/// - The archive counts as published as soon as one place has it whole. What became of the others is told.
/// - It appears under its name only when it is whole, and an archive that has the name already stays.
pub struct StoreDestination {
    targets: Vec<Target>,
    settings: WriteSettings,
    outcomes: Outcomes,
    cancel: Cancel,
    notes: Option<Notes>,
}

impl StoreDestination {
    /// Those places; `cancel` stops what waits for one of them.
    pub fn new(targets: Vec<Target>, settings: WriteSettings, cancel: Cancel) -> Self {
        let outcomes = Outcomes::default();
        Self { targets, settings, outcomes, cancel, notes: None }
    }

    /// Notes down in the set's folder for state what is about to be written, for one who does not hold the set's lock: what
    /// such a one leaves who is killed, the next run removes. Gives what did not go as it should.
    pub fn noted_in(mut self, set: &str, state: &Path) -> (Self, Vec<Error>) {
        let (notes, warnings) = Notes::beside(state, set, &self.targets);
        self.notes = notes;
        (self, warnings)
    }

    fn copy(&self, target: &Target, pace: Option<&Pace>, cancel: &Cancel) -> Result<Begun> {
        match &target.place {
            Place::File(path) => {
                // Beside uploads a file waits for those anyway.
                let is_only = self.targets.iter().all(|target| target.place.local().is_some());
                let pace = pace.filter(|_| is_only).cloned();
                let copy = LocalCopy::create(path, self.settings.existing, pace, cancel.clone())?;
                let ours = vec![copy.partial_path().to_owned(), path.clone()];
                Ok(Begun { copy: Box::new(copy), ours })
            }
            Place::Object(object) => {
                let options = UploadOptions {
                    existing: self.settings.existing,
                    part_size: target.part_size,
                    pace: pace.cloned(),
                    content_type: match self.settings.encryption {
                        Some(_) => "application/octet-stream",
                        None => "application/zip",
                    },
                    // Of one that nothing opens nobody knows it.
                    notes: Some(self.settings.set.clone())
                        .filter(|set| !set.is_empty())
                        .map(|set| (crate::read::SET.to_owned(), set))
                        .into_iter()
                        .collect(),
                    cancel: cancel.clone(),
                };
                Ok(Begun { copy: Box::new(Upload::begin(object.clone(), options)?), ours: Vec::new() })
            }
            Place::Folder(_) | Place::Prefix(_) => {
                Err(Error::defect("an archive needs a name to be written to"))
            }
        }
    }
}

struct Begun {
    copy: Box<dyn Copying>,
    ours: Vec<PathBuf>,
}

/// What was opened of several places.
struct Places {
    lanes: Vec<Lane>,
    ours: Vec<PathBuf>,
    failures: Vec<Error>,
}

impl StoreDestination {
    /// Opens every place. One that can't be opened is told of, unless all are so.
    fn places(&self) -> Result<Places> {
        let pace = self.settings.bandwidth.map(Pace::new);
        let mut places = Places { lanes: Vec::new(), ours: Vec::new(), failures: Vec::new() };
        for target in &self.targets {
            let cancel = self.cancel.child();
            let begun = self.copy(target, pace.as_ref(), &cancel);
            match begun.and_then(|begun| Ok((Lane::start(begun.copy, cancel)?, begun.ours))) {
                Ok((lane, files)) => {
                    places.lanes.push(lane);
                    places.ours.extend(files);
                }
                Err(error) => {
                    let copy = ArchiveCopy::amiss(target.place.shown(), CopyOutcome::Failed, &error);
                    self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                    places.failures.push(error);
                }
            }
        }
        match places.lanes.is_empty() {
            false => Ok(places),
            true => {
                // Nothing was begun.
                self.end_notes(&[]);
                let first = places.failures.into_iter().next();
                Err(first.unwrap_or_else(|| Error::config("an archive needs a place to go to")))
            }
        }
    }

    /// What became of each copy, once all have come to an end.
    pub fn finished(&self) -> Vec<ArchiveCopy> {
        let outcomes = self.outcomes();
        let has_failed = |target: &&Target| {
            let shown = target.place.shown();
            outcomes.iter().any(|copy| copy.place == shown && copy.outcome == CopyOutcome::Failed)
        };
        let failed: Vec<_> = self.targets.iter().filter(has_failed).collect();
        self.end_notes(&failed);
        outcomes
    }

    fn end_notes(&self, failed: &[&Target]) {
        // If it fails, the next run finds nothing to remove, and says so once more.
        let _ended = self.notes.as_ref().map(|notes| notes.end(failed));
    }

    /// What takes an archive byte by byte as it is; `encrypted` says whether it is already.
    ///
    /// # Errors
    /// If no place can be opened.
    pub fn raw(&self, encrypted: bool) -> Result<Box<dyn Output>> {
        let Places { lanes, .. } = self.places()?;
        let content = if encrypted { Content::Sealed } else { Content::Plain };
        Ok(Box::new(StoreOutput::new(lanes, content, self.settings.max_size, self.outcomes.clone())))
    }

    /// What became of each copy.
    pub fn outcomes(&self) -> Vec<ArchiveCopy> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Elsewhere for StoreDestination {
    fn label(&self) -> String {
        let shown: Vec<_> = self.targets.iter().map(|target| target.place.shown()).collect();
        shown.join(", ")
    }

    fn open(&mut self, state: &Path) -> Result<Opened> {
        let (notes, warnings) = Notes::begin(state, &self.settings.set, &self.targets);
        self.notes = Some(notes);
        let Places { lanes, ours, failures } = self.places()?;
        let content = if self.settings.encryption.is_some() { Content::Sealed } else { Content::Plain };
        let output =
            Box::new(StoreOutput::new(lanes, content, self.settings.max_size, self.outcomes.clone()));
        let mut opened = Opened::new(match &self.settings.encryption {
            Some(encryption) => encryption.wrap(output)?,
            None => output,
        });
        opened.ours = ours;
        opened.warnings = warnings.into_iter().chain(failures).collect();
        Ok(opened)
    }

    fn expect(&mut self, bytes: u64) -> Vec<Error> {
        let short = |target: &Target| {
            let most = PartSizes::new(target.part_size).capacity();
            let is_upload = matches!(target.place, Place::Object(_));
            (is_upload && bytes > most).then(|| too_small(target, bytes, most))
        };
        self.targets.iter().filter_map(short).collect()
    }

    fn copies(&self) -> Vec<ArchiveCopy> {
        self.finished()
    }
}
