//! An archive that takes the place of another: under a name of its own, beside it.

use std::time::SystemTime;

use dumprestore_bucket::opendal::options::{DeleteOptions, StatOptions};
use dumprestore_driver::{Error, Result};

use crate::object::Object;
use crate::place::{ENDS, Place};
use crate::shelf::is_taken;
use crate::template::numbered;
use crate::transfers;

/// A free name beside an archive, for one of the same content: `a.zip` becomes `a.zip.age` or `a-2.zip`.
///
/// # Errors
/// If the archive has no name that could be varied, or all are taken.
pub fn free_beside(archive: &Place, encrypted: bool) -> Result<Place> {
    let name = match archive {
        Place::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Place::Object(object) => last(&object.key).to_owned(),
        Place::Folder(_) | Place::Prefix(_) => return Err(Error::defect("this is no archive")),
    };
    let stem = ENDS.iter().rev().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let name = format!("{stem}{}", if encrypted { ".zip.age" } else { ".zip" });
    let free = (1..100).map(|nth| beside(archive, &numbered(&name, nth))).find(|place| !is_taken(place));
    free.ok_or_else(|| Error::environment("all names for an archive are taken").with_context("name", name))
}

fn last(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// What is called so, in the same folder.
fn beside(archive: &Place, name: &str) -> Place {
    match archive {
        Place::File(path) | Place::Folder(path) => Place::File(path.with_file_name(name)),
        Place::Prefix(bucket) => Place::Object(Object::new(bucket.clone(), name)),
        Place::Object(object) => {
            let folder = &object.key[..object.key.len() - last(&object.key).len()];
            Place::Object(Object::new(object.bucket.clone(), format!("{folder}{name}")))
        }
    }
}

/// What a place had of an archive when that was read: only this is removed later.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
    etag: Option<String>,
    version: Option<String>,
}

impl Seen {
    /// What is there now.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub fn of(archive: &Place) -> Result<Self> {
        match archive {
            Place::File(path) | Place::Folder(path) => {
                let there = path.metadata().map_err(|error| {
                    Error::io("can't look at the archive", error).with_context("file", path.display())
                })?;
                let modified = there.modified().ok();
                Ok(Self { bytes: there.len(), modified, etag: None, version: None })
            }
            Place::Object(object) => {
                let object = object.clone();
                transfers::wait(async move {
                    let options = StatOptions { version: object.version.clone(), ..StatOptions::default() };
                    let there = object.bucket.operator().stat_options(&object.key, options).await;
                    let there = there.map_err(|error| object.failed("look at", error))?;
                    Ok(Self {
                        bytes: there.content_length(),
                        modified: there.last_modified().map(SystemTime::from),
                        etag: there.etag().map(str::to_owned),
                        version: there.version().map(str::to_owned),
                    })
                })
            }
            Place::Prefix(_) => Err(Error::defect("this is no archive")),
        }
    }

    /// Whether the store keeps what is removed there, as an older version.
    pub fn stays_as_version(&self, archive: &Place) -> bool {
        let is_whole_object = matches!(archive, Place::Object(object) if object.version.is_none());
        let has_versions =
            self.version.as_deref().is_some_and(|version| !version.is_empty() && version != "null");
        is_whole_object && has_versions
    }

    /// Removes the archive, if it is still the same: a file, an object, or the version of one that the place names.
    ///
    /// # Errors
    /// If it was changed, or the place refuses.
    pub fn remove(&self, archive: &Place) -> Result<()> {
        if Self::of(archive)? != *self {
            return Err(Error::environment("the archive was changed after it was read: it stays")
                .with_context("archive", archive.shown()));
        }
        remove_archive(archive)
    }
}

fn remove_archive(archive: &Place) -> Result<()> {
    match archive {
        Place::File(path) => std::fs::remove_file(path).map_err(|error| {
            Error::io("can't remove the archive", error).with_context("file", path.display())
        }),
        Place::Object(object) => {
            let object = object.clone();
            transfers::wait(async move {
                let options = DeleteOptions { version: object.version.clone(), ..DeleteOptions::default() };
                let removed = object.bucket.operator().delete_options(&object.key, options).await;
                removed.map_err(|error| object.failed("remove", error))
            })
        }
        Place::Folder(_) | Place::Prefix(_) => Err(Error::defect("this is no archive")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_says_whether_it_is_encrypted_and_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, encrypted, free) in [
            ("a.zip", true, "a.zip.age"),
            ("a.zip", false, "a-2.zip"),
            ("b.zip.age", true, "b-2.zip.age"),
            ("b.zip.age", false, "b.zip"),
            ("c", true, "c.zip.age"),
        ] {
            std::fs::write(path(name), "").unwrap();
            let found = free_beside(&Place::File(path(name)), encrypted).unwrap();
            assert_eq!(found.local(), Some(&*path(free)));
        }
    }

    #[test]
    fn only_what_was_read_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let place = Place::File(path.clone());
        std::fs::write(&path, "read").unwrap();
        let seen = Seen::of(&place).unwrap();
        std::fs::write(&path, "another").unwrap();
        let error = seen.remove(&place).unwrap_err();
        assert!(error.message().contains("changed") && path.exists(), "{error}");
        Seen::of(&place).unwrap().remove(&place).unwrap();
        assert!(!path.exists() && Seen::of(&place).is_err());
    }
}
