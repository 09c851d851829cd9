//! What is being written to places, noted down so that it outlives a crash: the next run of the set removes what a killed
//! one has left.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dumprestore_bucket::Bucket;
use dumprestore_driver::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::destination::Target;
use crate::place::Place;
use crate::transfers;

/// A note about a place that is not the set's any more is forgotten after so long: nobody can act on it.
const FORGOTTEN: time::Duration = time::Duration::days(30);

/// A copy that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    what: Begun,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Begun {
    /// A file, which has a partial one beside it.
    File(PathBuf),
    /// An upload.
    Object {
        bucket: String,
        key: String,
        /// What tells the bucket from those of the same name on other servers.
        #[serde(default)]
        identity: Option<String>,
    },
}

/// What is noted of one run.
pub(crate) struct Notes {
    path: PathBuf,
    /// Those that could not be acted on.
    kept: Vec<Note>,
    /// Locked as long as whoever has written it lives, if that holds no lock of the set.
    own: Option<File>,
}

impl Notes {
    /// Acts on what earlier runs have left, and notes down what is begun now, for a run that holds the set's lock. What could
    /// not be done is told, and stays noted. No dump is stopped by it: it tidies up.
    pub(crate) fn begin(state: &Path, set: &str, targets: &[Target]) -> (Self, Vec<Error>) {
        let mut notes = Self { path: state.join(format!("{set}.copies.json")), kept: Vec::new(), own: None };
        let mut warnings = Vec::new();
        let left = notes.read().unwrap_or_else(|error| {
            warnings.push(error);
            Vec::new()
        });
        let (dead, alive) = beside(state, set, &mut warnings);
        let left = left.into_iter().chain(dead.iter().flat_map(|dead| dead.notes.clone()));
        notes.act(left.collect(), &alive, targets, &mut warnings);
        let all = notes.kept.iter().cloned().chain(begun(targets)).collect::<Vec<_>>();
        match notes.write(&all) {
            Ok(()) => dead.iter().for_each(Beside::remove),
            Err(error) => warnings.push(error),
        }
        (notes, warnings)
    }

    /// The same for one who does not hold the set's lock: in a file of its own, and it acts only on what others like it have
    /// left who are dead. Nothing, if it can't be noted down, which is told.
    pub(crate) fn beside(state: &Path, set: &str, targets: &[Target]) -> (Option<Self>, Vec<Error>) {
        let mut warnings = Vec::new();
        let (dead, mut alive) = beside(state, set, &mut warnings);
        // A dump may be under way, or has left it for the next one.
        let of_dump = Self { path: state.join(format!("{set}.copies.json")), kept: Vec::new(), own: None };
        alive.extend(of_dump.look().unwrap_or_default());
        let path = state.join(format!("{set}.copies-{:016x}.json", RandomState::new().hash_one(set)));
        let mut notes = Self { path, kept: Vec::new(), own: None };
        let left = dead.iter().flat_map(|dead| dead.notes.clone()).collect();
        notes.act(left, &alive, targets, &mut warnings);
        let all = notes.kept.iter().cloned().chain(begun(targets)).collect::<Vec<_>>();
        match notes.write_own(&all) {
            Ok(()) => {
                dead.iter().for_each(Beside::remove);
                (Some(notes), warnings)
            }
            Err(error) => {
                warnings.push(error);
                (None, warnings)
            }
        }
    }

    /// All that was begun has come to its end. Of what failed something may be left, which nobody could remove for the same
    /// reason: that stays noted.
    ///
    /// # Errors
    /// If that can't be noted down; the next run finds it out.
    pub(crate) fn end(&self, failed: &[&Target]) -> Result<()> {
        let at = OffsetDateTime::now_utc();
        let failed =
            failed.iter().filter_map(|target| Begun::of(&target.place)).map(|what| Note { at, what });
        self.write(&self.kept.iter().cloned().chain(failed).collect::<Vec<_>>())
    }

    /// Removes what was left, but for what somebody who lives may be writing.
    fn act(&mut self, left: Vec<Note>, alive: &[Note], targets: &[Target], warnings: &mut Vec<Error>) {
        for note in left {
            if alive.iter().any(|other| other.what == note.what) {
                self.kept.push(note);
                continue;
            }
            match note.act(targets) {
                Ok(true) => {}
                Ok(false) => self.kept.push(note),
                Err(error) => {
                    warnings.push(error);
                    self.kept.push(note);
                }
            }
        }
    }

    /// What is noted. What can't be understood is put aside.
    fn read(&self) -> Result<Vec<Note>> {
        self.look().map_err(|error| {
            let aside = self.path.with_extension("json.damaged");
            // If that fails too, it is written over.
            let _moved = fs::rename(&self.path, aside);
            error.with_hint(
                "it is put aside as `.damaged`; look into the places for uploads that were not completed",
            )
        })
    }

    fn look(&self) -> Result<Vec<Note>> {
        let failed = |error| {
            Error::io("can't read what is noted of copies", error).with_context("file", self.path.display())
        };
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => serde_json::from_slice(&read.map_err(failed)?).map_err(|error| failed(error.into())),
        }
    }

    fn write(&self, notes: &[Note]) -> Result<()> {
        if notes.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.unwritten(error)),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_vec(notes).map_err(|error| self.unwritten(error.into()))?;
        replace(&self.path, &text).map(drop).map_err(|error| self.unwritten(error))
    }

    /// The same, and keeps it locked.
    fn write_own(&mut self, notes: &[Note]) -> Result<()> {
        let text = serde_json::to_vec(notes).map_err(|error| self.unwritten(error.into()))?;
        self.own = Some(replace(&self.path, &text).map_err(|error| self.unwritten(error))?);
        Ok(())
    }

    fn unwritten(&self, error: io::Error) -> Error {
        Error::io("can't note down the copies of an archive", error)
            .with_context("file", self.path.display())
            .with_hint("what a crash leaves of them in a store would not be removed by itself")
    }
}

fn begun(targets: &[Target]) -> impl Iterator<Item = Note> {
    let at = OffsetDateTime::now_utc();
    targets.iter().filter_map(|target| Begun::of(&target.place)).map(move |what| Note { at, what })
}

/// What one who held no lock of the set has noted, and left.
struct Beside {
    path: PathBuf,
    notes: Vec<Note>,
    /// Nobody else acts on it meanwhile.
    _locked: File,
}

impl Beside {
    fn remove(&self) {
        // The next run tries again: by then it finds nothing to do.
        let _removed = fs::remove_file(&self.path);
    }
}

/// What those have noted who hold no lock of the set: who are dead, and who live.
fn beside(state: &Path, set: &str, warnings: &mut Vec<Error>) -> (Vec<Beside>, Vec<Note>) {
    let (mut dead, mut alive) = (Vec::new(), Vec::new());
    let begin = format!("{set}.copies-");
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let digits = name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(".json"));
        if !digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|c| c.is_ascii_hexdigit())) {
            continue;
        }
        let path = entry.path();
        let opened = File::open(&path).and_then(|file| {
            let mut text = Vec::new();
            (&file).read_to_end(&mut text)?;
            Ok((file, serde_json::from_slice::<Vec<Note>>(&text)?))
        });
        match opened {
            Ok((file, notes)) => match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Whoever has it may have come to its end just now.
                Ok(()) if path.exists() => dead.push(Beside { path, notes, _locked: file }),
                Ok(()) => {}
                Err(_) => alive.extend(notes),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warnings.push(
                Error::io("can't read what is noted of copies", error)
                    .with_context("file", path.display())
                    .with_hint(
                        "remove the file, and look into the places for uploads that were not completed",
                    ),
            ),
        }
    }
    (dead, alive)
}

/// Writes a file anew, which nobody sees before it is whole and locked: the lock lasts as long as it is open.
fn replace(path: &Path, text: &[u8]) -> io::Result<File> {
    let new = path.with_extension("json.new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(file)
}

impl Begun {
    fn of(place: &Place) -> Option<Self> {
        match place {
            Place::File(path) => Some(Self::File(std::path::absolute(path).unwrap_or_else(|_| path.clone()))),
            Place::Object(object) => Some(Self::Object {
                bucket: object.bucket.shown().to_owned(),
                key: object.key.clone(),
                identity: Some(object.bucket.identity()),
            }),
            Place::Folder(_) | Place::Prefix(_) => None,
        }
    }
}

impl Note {
    /// Removes what was left. False if that can't be told now.
    fn act(&self, targets: &[Target]) -> Result<bool> {
        match &self.what {
            Begun::File(path) => remove_partials(path),
            Begun::Object { bucket, key, identity } => {
                let is_it = |known: &Bucket| {
                    known.shown() == bucket
                        && identity.as_ref().is_none_or(|identity| known.identity() == *identity)
                };
                let known = targets.iter().find_map(|target| match &target.place {
                    Place::Object(object) if is_it(&object.bucket) => Some(object.bucket.clone()),
                    _ => None,
                });
                match known {
                    Some(bucket) => abort_uploads(bucket, key.clone()).map(|()| true),
                    None => Ok(OffsetDateTime::now_utc() - self.at > FORGOTTEN),
                }
            }
        }
    }
}

/// Whoever has the set's lock is the only one who writes under a name of it.
fn abort_uploads(bucket: Bucket, key: String) -> Result<()> {
    transfers::wait(async move {
        let uploads = match bucket.unfinished_uploads_of(&key).await {
            // Elsewhere what was not completed goes by itself.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            uploads => uploads.map_err(|error| left(error, &bucket, &key))?,
        };
        for upload in &uploads {
            bucket.abort_upload(upload).await.map_err(|error| left(error, &bucket, &key))?;
        }
        Ok(())
    })
}

fn left(error: Error, bucket: &Bucket, key: &str) -> Error {
    let message = format!("an upload of a killed dump may be left unfinished: {error}");
    Error::new(error.kind(), message)
        .with_context("upload", format!("{bucket}/{key}"))
        .with_hint("the next dump tries again; the store bills what is left there")
}

/// Removes the files that an archive was written to before it was whole. False if its folder is not there: its volume may
/// not be mounted.
fn remove_partials(archive: &Path) -> Result<bool> {
    let (Some(folder), Some(name)) = (archive.parent(), archive.file_name()) else { return Ok(true) };
    let failed = |error| {
        Error::io("can't remove what a killed dump has left", error).with_context("folder", folder.display())
    };
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        listed => listed.map_err(failed)?,
    };
    for entry in listed {
        let entry = entry.map_err(failed)?;
        if is_partial_of(&entry.file_name(), name) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(true)
}

fn is_partial_of(name: &OsStr, archive: &OsStr) -> bool {
    let (name, archive) = (name.as_encoded_bytes(), archive.as_encoded_bytes());
    let digits = name.strip_prefix(archive).and_then(|rest| rest.strip_prefix(b".partial-"));
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_dump_has_left_beside_an_archive_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (state, archive) = (folder.path(), folder.path().join("shop.zip"));
        let targets = [Target::new(Place::File(archive.clone()))];
        let (_killed, warnings) = Notes::begin(state, "shop", &targets);
        assert!(warnings.is_empty());
        let left = folder.path().join("shop.zip.partial-0123456789abcdef");
        let others = ["shop.zip", "shop.zip.partial-x", "my-shop.zip.partial-0123456789abcdef"];
        fs::write(&left, "half").unwrap();
        others.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let (notes, _) = Notes::begin(state, "shop", &targets);
        assert!(!left.exists());
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
        notes.end(&[]).unwrap();
        assert!(!state.join("shop.copies.json").exists());
        let (notes, _) = Notes::begin(state, "shop", &targets);
        notes.end(&[&targets[0]]).unwrap();
        fs::write(&left, "half").unwrap();
        Notes::begin(state, "shop", &[]);
        assert!(!left.exists(), "of a copy that failed it stays noted");
    }

    #[test]
    fn what_can_not_be_looked_at_stays_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = folder.path().join("volume");
        let away = Target::new(Place::File(mounted.join("shop.zip")));
        let here = Target::new(Place::File(folder.path().join("shop.zip")));
        Notes::begin(folder.path(), "shop", std::slice::from_ref(&away));
        let (notes, _) = Notes::begin(folder.path(), "shop", &[here]);
        notes.end(&[]).unwrap();
        fs::create_dir(&mounted).unwrap();
        let left = mounted.join("shop.zip.partial-0123456789abcdef");
        fs::write(&left, "half").unwrap();
        Notes::begin(folder.path(), "shop", &[away]);
        assert!(!left.exists());
    }
    #[test]
    fn notes_that_are_damaged_or_can_not_be_written_stop_no_dump() {
        let folder = tempfile::tempdir().unwrap();
        let target = [Target::new(Place::File(folder.path().join("shop.zip")))];
        fs::write(folder.path().join("shop.copies.json"), "[{").unwrap();
        let (notes, warnings) = Notes::begin(folder.path(), "shop", &target);
        assert!(warnings.len() == 1 && warnings[0].hint().is_some(), "{warnings:?}");
        assert!(folder.path().join("shop.copies.json.damaged").exists());
        notes.end(&[]).unwrap();
        let (_, warnings) = Notes::begin(&folder.path().join("none"), "shop", &target);
        assert!(warnings.iter().any(|error| error.message().contains("can't note down")), "{warnings:?}");
    }

    #[test]
    fn what_one_without_the_lock_has_left_is_removed_once_that_one_is_dead_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("shop.zip");
        let target = [Target::new(Place::File(archive.clone()))];
        let left = folder.path().join("shop.zip.partial-0123456789abcdef");
        fs::write(&left, "half").unwrap();
        let (pushing, _) = Notes::beside(folder.path(), "shop", &target);
        let (dump, _) = Notes::begin(folder.path(), "shop", &[]);
        assert!(left.exists(), "it may be writing it");
        dump.end(&[]).unwrap();
        // As by a kill: nothing was ended.
        drop(pushing);
        let other = [Target::new(Place::File(folder.path().join("other.zip")))];
        let (next, warnings) = Notes::beside(folder.path(), "shop", &other);
        assert!(!left.exists() && warnings.is_empty(), "{warnings:?}");
        next.unwrap().end(&[]).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is noted any more");
        fs::write(&left, "half").unwrap();
        drop(Notes::beside(folder.path(), "shop", &target));
        Notes::begin(folder.path(), "shop", &[]);
        assert!(!left.exists(), "a dump removes it too");
    }
}
