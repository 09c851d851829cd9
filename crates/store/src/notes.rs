//! What is being written to places, noted down so that it outlives a crash: the next run of the set removes what a killed
//! one has left.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dumprestore_bucket::Bucket;
use dumprestore_driver::{Error, ErrorKind, Result};
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
    Object { bucket: String, key: String },
}

/// The notes of one set. Only a run that holds the set's lock may have them.
pub(crate) struct Notes {
    path: PathBuf,
    /// Those that could not be acted on.
    kept: Vec<Note>,
}

impl Notes {
    /// Acts on what an earlier run has left, and notes down what is begun now. What could not be done is told, and stays
    /// noted.
    ///
    /// # Errors
    /// If it can't be noted down.
    pub(crate) fn begin(state: &Path, set: &str, targets: &[Target]) -> Result<(Self, Vec<Error>)> {
        let mut notes = Self { path: state.join(format!("{set}.copies.json")), kept: Vec::new() };
        let mut warnings = Vec::new();
        for note in notes.read()? {
            match note.act(targets) {
                Ok(true) => {}
                Ok(false) => notes.kept.push(note),
                Err(error) => {
                    warnings.push(error);
                    notes.kept.push(note);
                }
            }
        }
        let at = OffsetDateTime::now_utc();
        let begun = targets.iter().filter_map(|target| Begun::of(&target.place));
        let all: Vec<_> = notes.kept.iter().cloned().chain(begun.map(|what| Note { at, what })).collect();
        notes.write(&all)?;
        Ok((notes, warnings))
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

    fn read(&self) -> Result<Vec<Note>> {
        let failed = |error| {
            Error::io("can't read what is noted of copies", error).with_context("file", self.path.display())
        };
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => serde_json::from_slice(&read.map_err(failed)?).map_err(|error| failed(error.into())),
        }
    }

    fn write(&self, notes: &[Note]) -> Result<()> {
        let failed = |error| {
            Error::io("can't note down the copies of an archive", error)
                .with_context("file", self.path.display())
        };
        if notes.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_vec(notes).map_err(|error| failed(error.into()))?;
        replace(&self.path, &text).map_err(failed)
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

impl Begun {
    fn of(place: &Place) -> Option<Self> {
        match place {
            Place::File(path) => Some(Self::File(std::path::absolute(path).unwrap_or_else(|_| path.clone()))),
            Place::Object(object) => {
                Some(Self::Object { bucket: object.bucket.shown().to_owned(), key: object.key.clone() })
            }
            Place::Folder(_) | Place::Prefix(_) => None,
        }
    }
}

impl Note {
    /// Removes what was left. False if that can't be told now.
    fn act(&self, targets: &[Target]) -> Result<bool> {
        match &self.what {
            Begun::File(path) => remove_partials(path),
            Begun::Object { bucket, key } => {
                let known = targets.iter().find_map(|target| match &target.place {
                    Place::Object(object) if object.bucket.shown() == bucket => Some(object.bucket.clone()),
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
        let (_killed, warnings) = Notes::begin(state, "shop", &targets).unwrap();
        assert!(warnings.is_empty());
        let left = folder.path().join("shop.zip.partial-0123456789abcdef");
        let others = ["shop.zip", "shop.zip.partial-x", "my-shop.zip.partial-0123456789abcdef"];
        fs::write(&left, "half").unwrap();
        others.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let (notes, _) = Notes::begin(state, "shop", &targets).unwrap();
        assert!(!left.exists());
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
        notes.end(&[]).unwrap();
        assert!(!state.join("shop.copies.json").exists());
        let (notes, _) = Notes::begin(state, "shop", &targets).unwrap();
        notes.end(&[&targets[0]]).unwrap();
        fs::write(&left, "half").unwrap();
        Notes::begin(state, "shop", &[]).unwrap();
        assert!(!left.exists(), "of a copy that failed it stays noted");
    }

    #[test]
    fn what_can_not_be_looked_at_stays_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = folder.path().join("volume");
        let away = Target::new(Place::File(mounted.join("shop.zip")));
        let here = Target::new(Place::File(folder.path().join("shop.zip")));
        Notes::begin(folder.path(), "shop", std::slice::from_ref(&away)).unwrap();
        let (notes, _) = Notes::begin(folder.path(), "shop", &[here]).unwrap();
        notes.end(&[]).unwrap();
        fs::create_dir(&mounted).unwrap();
        let left = mounted.join("shop.zip.partial-0123456789abcdef");
        fs::write(&left, "half").unwrap();
        Notes::begin(folder.path(), "shop", &[away]).unwrap();
        assert!(!left.exists());
    }
}
