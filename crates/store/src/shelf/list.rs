//! What lies in a place, by name.

use std::io;
use std::path::{Path, PathBuf};

use dumprestore_bucket::Bucket;
use dumprestore_bucket::opendal::{self, ErrorKind as StoreErrorKind, options::ListOptions};
use dumprestore_driver::{Error, Result};
use futures_util::TryStreamExt;
use time::OffsetDateTime;

use super::{BEFORE_RESTORE, Shelf};
use crate::object::Object;
use crate::place::{Place, is_archive_name};
use crate::transfers;

/// What looks like an archive: it has the name of one, and was written to its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// Its name below its place.
    pub name: String,
    /// The file or the object.
    pub place: Place,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written, if the place says so.
    pub modified: Option<OffsetDateTime>,
    /// Whether another version has taken its place.
    pub superseded: bool,
    /// What its store knows this content by.
    pub(crate) etag: Option<String>,
}

/// What there is in one place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listing {
    /// The place.
    pub place: Place,
    /// What lies there, by name; or why that can't be told.
    pub entries: Result<Vec<Entry>>,
}

impl Shelf {
    /// Whether it is called as archives of that set are called there: the one that the place names, or what the template
    /// makes. What merely lies beside or below those is another environment's, or was put aside by somebody.
    pub(crate) fn may_be_of(&self, set: &str, place: &Place, entry: &Entry) -> bool {
        match place {
            Place::File(_) | Place::Object(_) => true,
            Place::Folder(_) | Place::Prefix(_) => self.settings().name.makes(set, &entry.name),
        }
    }
}

/// Why a folder of several places can't be looked into: what is not there may be a volume that is not mounted, and is not
/// the same as one without archives.
pub(super) fn refuse_missing(place: &Place) -> Result<()> {
    match place {
        Place::Folder(folder) if !folder.is_dir() => Err(Error::environment("the folder is not there")
            .with_context("folder", folder.display())
            .with_hint("is its volume mounted? If it is new, make the folder, or dump into it")),
        _ => Ok(()),
    }
}

/// Lists one place. `depth` is how many folders deep local archives lie; in a bucket all that is below counts.
pub(crate) fn list(place: &Place, depth: usize, versions: bool) -> Result<Vec<Entry>> {
    let mut entries = match place {
        Place::Folder(folder) => in_folder(folder, depth)?,
        Place::File(path) => one_file(path)?.into_iter().collect(),
        Place::Prefix(bucket) => in_bucket(bucket, "", versions)?,
        Place::Object(object) => {
            let entries = in_bucket(&object.bucket, &object.key, versions)?;
            entries.into_iter().filter(|entry| entry.name == object.key).collect()
        }
    };
    entries.sort_by(|a, b| (&a.name, a.modified).cmp(&(&b.name, b.modified)));
    Ok(entries)
}

fn in_bucket(bucket: &Bucket, prefix: &str, versions: bool) -> Result<Vec<Entry>> {
    let can = bucket.operator().info().capability();
    let (bucket, path) = (bucket.clone(), prefix.to_owned());
    let options = ListOptions {
        recursive: true,
        versions: versions && can.list_with_versions,
        ..ListOptions::default()
    };
    transfers::wait(async move {
        let failed = |error: opendal::Error| bucket.failed("list", &path, error);
        let mut entries = Vec::new();
        let mut lister = match bucket.operator().lister_options(&path, options).await {
            Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(entries),
            lister => lister.map_err(failed)?,
        };
        while let Some(found) = lister.try_next().await.map_err(failed)? {
            entries.extend(entry(&bucket, found, versions));
        }
        Ok(entries)
    })
}

fn entry(bucket: &Bucket, found: opendal::Entry, versions: bool) -> Option<Entry> {
    let (name, meta) = found.into_parts();
    let is_safety_dump = name.split('/').rev().skip(1).any(|folder| folder == BEFORE_RESTORE);
    if !meta.is_file() || meta.is_deleted() || is_safety_dump || !is_archive_name(&name) {
        return None;
    }
    let mut object = Object::new(bucket.clone(), name.as_str());
    // What was written before versions were switched on is called `null`, and can be read by that name once it is no longer
    // the current one.
    let superseded = meta.is_current() == Some(false);
    let named = |version: &&str| versions && (superseded || *version != "null");
    object.version = meta.version().filter(named).map(str::to_owned);
    let modified = meta.last_modified().map(|moment| moment.into_inner().as_nanosecond());
    Some(Entry {
        name,
        place: Place::Object(object),
        bytes: meta.content_length(),
        modified: modified.and_then(|moment| OffsetDateTime::from_unix_timestamp_nanos(moment).ok()),
        superseded,
        etag: meta.etag().map(str::to_owned),
    })
}

fn in_folder(folder: &Path, depth: usize) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    go_through(folder, "", depth, &mut entries).map_err(|error| {
        Error::io("can't look for archives", error)
            .with_context("folder", folder.display())
            .with_hint("name the archive's file")
    })?;
    Ok(entries)
}

fn go_through(folder: &Path, above: &str, depth: usize, entries: &mut Vec<Entry>) -> io::Result<()> {
    let found = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    for found in found {
        let found = found?;
        let Ok(name) = found.file_name().into_string() else { continue };
        let (path, name) = (found.path(), format!("{above}{name}"));
        if depth > 0 && path.is_dir() && found.file_name() != BEFORE_RESTORE {
            go_through(&path, &format!("{name}/"), depth - 1, entries)?;
        } else if is_archive_name(&name) && path.is_file() {
            entries.push(file(name, path)?);
        }
    }
    Ok(())
}

fn one_file(path: &Path) -> Result<Option<Entry>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match path.is_file() {
        false => Ok(None),
        true => file(name, path.to_owned()).map(Some).map_err(|error| {
            Error::io("can't look at the archive", error).with_context("file", path.display())
        }),
    }
}

fn file(name: String, path: PathBuf) -> io::Result<Entry> {
    let meta = path.metadata()?;
    let modified = meta.modified().ok().map(OffsetDateTime::from);
    Ok(Entry { name, place: Place::File(path), bytes: meta.len(), modified, superseded: false, etag: None })
}
