//! The archives of a set, wherever they are.

mod clock;
mod find;
mod folder;
mod glance;
mod latest;
mod list;
mod look;
mod moment;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::{BackupSet, OpenArchive};
use dumprestore_driver::{Error, Result};
use opendal::ErrorKind as StoreErrorKind;

use crate::carry::Cargo;
use crate::destination::Target;
use crate::encryption::{Identities, readable};
use crate::object::Object;
use crate::place::Place;
use crate::read::StoredArchive;
use crate::retention::Verdict;
use crate::settings::{ArchiveSettings, SetPlace, local};
use crate::template::{Naming, Template, numbered};
use crate::transfers;
use dumprestore_bucket::opendal;
use folder::make_folder;

pub use clock::WrongClock;
pub(crate) use glance::glance_at;
pub use glance::{ArchivedNode, Summary, Unusable};
pub use latest::Latest;
pub use list::{Entry, Listing};
pub use look::{Copies, Listed, StoredCopy};
pub use moment::parse_moment;

/// Below the places of a set: dumps that are made before restores, which `latest` never means.
pub const BEFORE_RESTORE: &str = "before-restore";
/// The name of the newest archive of a set.
pub const LATEST: &str = "latest";

/// The places where archives of a set are.
#[derive(Clone)]
pub struct Shelf {
    set: String,
    nodes: Vec<String>,
    base: PathBuf,
    settings: ArchiveSettings,
    identities: Identities,
}

impl Shelf {
    /// Those of that set: what its configuration says under `archive:`, else the folder of that. `identities` open what is
    /// encrypted.
    pub fn of(set: &BackupSet, identities: Identities) -> Self {
        let archive = set.archive();
        let settings = archive.and_then(|archive| archive.settings::<ArchiveSettings>().cloned());
        let settings = settings.unwrap_or_else(|| {
            let path = archive.and_then(|archive| archive.local.first().cloned());
            ArchiveSettings::local(path.unwrap_or_else(|| set.base().join("")))
        });
        Self {
            set: set.name().to_owned(),
            nodes: set.dump_order().iter().map(ToString::to_string).collect(),
            base: set.base().to_owned(),
            settings,
            identities,
        }
    }

    /// The name of the set.
    pub fn set(&self) -> &str {
        &self.set
    }

    /// How archives are kept.
    pub fn settings(&self) -> &ArchiveSettings {
        &self.settings
    }

    /// What opens archives that are encrypted.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Where a new archive goes: the same name in every place, one that is free in all of those that can be asked. Folders
    /// are made.
    ///
    /// # Errors
    /// If no name is free, or a folder can't be made.
    pub fn targets(&self, naming: &Naming<'_>) -> Result<Vec<Target>> {
        targets(&self.settings.places, &self.settings.name, naming, self.end())
    }

    /// The same, in a place that is not the set's own: see [`set_place_at`](Self::set_place_at).
    ///
    /// # Errors
    /// As of [`targets`](Self::targets).
    pub fn targets_at(&self, place: SetPlace, naming: &Naming<'_>) -> Result<Vec<Target>> {
        targets(&[place], &self.settings.name, naming, self.end())
    }

    /// Where a dump before a restore goes.
    ///
    /// # Errors
    /// As of [`targets`](Self::targets).
    pub fn targets_before_restore(&self, naming: &Naming<'_>) -> Result<Vec<Target>> {
        let below = |place: &SetPlace| {
            let within = match &place.place {
                Place::File(path) => Place::Folder(path.parent().unwrap_or(Path::new("/")).to_owned()),
                other => other.clone(),
            };
            make_folder(&within, &format!("{BEFORE_RESTORE}/archive"))?;
            let place = SetPlace { place: below(&place.place, BEFORE_RESTORE)?, ..place.clone() };
            Ok(place)
        };
        let places = self.settings.places.iter().map(below).collect::<Result<Vec<_>>>()?;
        targets(&places, &Template::default(), naming, self.end())
    }

    /// Where copies of an archive of that name go: those of these places that do not have it. A place that has another of
    /// that name is an error.
    ///
    /// # Errors
    /// If a place has another of that name, or can't be asked.
    pub fn missing(&self, places: &[SetPlace], name: &str, cargo: &Cargo) -> Result<Vec<Target>> {
        let mut missing = Vec::new();
        for place in places {
            make_folder(&place.place, name)?;
            let there = at(&place.place, name);
            if !is_there(&there)? {
                missing.push(Target { place: there, part_size: place.part_size });
                continue;
            }
            if !cargo.is_at(&there, &self.identities)? {
                return Err(Error::environment(format!(
                    "`{}` exists, and is another archive",
                    there.shown()
                ))
                .with_hint("none is overwritten: look at it with `dumprestore inspect`"));
            }
        }
        Ok(missing)
    }

    fn end(&self) -> &'static str {
        if self.settings.encryption.is_some() { ".age" } else { "" }
    }

    /// Places that can't be reached, or not be listed, and why.
    pub fn look_at_places(&self) -> Vec<Error> {
        let look = |place: &SetPlace| {
            let bucket = match &place.place {
                Place::Prefix(bucket) => bucket.clone(),
                Place::Object(object) => object.bucket.clone(),
                Place::Folder(_) | Place::File(_) => return None,
            };
            transfers::wait(async move { bucket.check().await }).err()
        };
        self.settings.places.iter().filter_map(look).collect()
    }

    /// What a URL means. One that lies in a place of the set is got to as that is.
    ///
    /// # Errors
    /// If it is no URL of a store, or lies in places of the set that are different stores.
    pub fn place_at(&self, url: &str) -> Result<Place> {
        self.set_place_at(url).map(|place| place.place)
    }

    /// The same, with all that the configuration says of that place.
    ///
    /// # Errors
    /// As of [`place_at`](Self::place_at).
    pub fn set_place_at(&self, url: &str) -> Result<SetPlace> {
        let around = self.place_around(url)?;
        let (options, part_size) =
            around.map_or_else(Default::default, |place| (place.options.clone(), place.part_size));
        let place = Place::from_url(url, &options, &self.base)?;
        Ok(SetPlace { place, options, part_size })
    }

    /// The place of the set that a URL lies in, or else one in the same bucket.
    fn place_around(&self, url: &str) -> Result<Option<&SetPlace>> {
        let (asked, query) = url.split_once('?').unwrap_or((url, ""));
        // Who says in the URL how to get there means that.
        if query.split('&').any(|pair| !pair.is_empty() && !pair.starts_with("version")) {
            return Ok(None);
        }
        let lies_in = |around: &str| {
            let rest = asked.strip_prefix(around.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let near = |place: &SetPlace| {
            let shown = place.place.shown();
            let bucket = shown.split('/').take(3).collect::<Vec<_>>().join("/");
            let is_near = lies_in(&bucket);
            is_near.then(|| if lies_in(&shown) { shown.len() } else { 0 })
        };
        let elsewhere = self.settings.places.iter().filter(|place| place.place.local().is_none());
        let near: Vec<_> = elsewhere.filter_map(|place| near(place).map(|length| (length, place))).collect();
        let nearest = near.iter().map(|(length, _)| *length).max().unwrap_or_default();
        let mut nearest = near.iter().filter(|(length, _)| *length == nearest).map(|(_, place)| *place);
        let first = nearest.next();
        let differs =
            |other: &SetPlace| first.is_some_and(|first| store_of(&first.place) != store_of(&other.place));
        if nearest.any(differs) {
            return Err(Error::config(format!("`{asked}` may be in several of the set's places"))
                .with_hint("say which store is meant: `?endpoint=https://...`"));
        }
        Ok(first)
    }
}

/// What tells the store of a place from others, whatever the prefix.
fn store_of(place: &Place) -> String {
    let bucket = match place {
        Place::Prefix(bucket) => bucket,
        Place::Object(object) => &object.bucket,
        Place::Folder(_) | Place::File(_) => return String::new(),
    };
    let identity = bucket.identity();
    identity.strip_suffix(bucket.prefix()).unwrap_or(&identity).trim_end_matches('/').to_owned()
}

/// The name that an archive has by itself: the last one of its path or its key.
pub fn name_of(place: &Place) -> String {
    match place {
        Place::File(path) | Place::Folder(path) => {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        Place::Object(object) => object.key.rsplit('/').next().unwrap_or_default().to_owned(),
        Place::Prefix(_) => String::new(),
    }
}

/// Opens one archive, where it lies.
///
/// # Errors
/// If it is not there, is no archive, can't be read, or none of the identities opens it.
pub fn open(place: &Place, identities: &Identities) -> Result<OpenArchive> {
    match place {
        Place::File(path) | Place::Folder(path) => open_file(path, identities),
        Place::Object(object) => {
            let stored = StoredArchive::open(object)?;
            let opened = OpenArchive::read(readable(Arc::new(stored), identities)?, object.shown())?;
            Ok(opened.at_place(place.identity()))
        }
        Place::Prefix(bucket) => Err(Error::config("this is no archive, but what archives lie in")
            .with_context("place", bucket.shown())
            .with_hint("name the object, which ends in `.zip`; `dumprestore ls` lists them")),
    }
}

fn open_file(path: &Path, identities: &Identities) -> Result<OpenArchive> {
    let Ok(file) = std::fs::File::open(path) else { return OpenArchive::open(path) };
    if !crate::encryption::is_encrypted(&file).unwrap_or(false) {
        return OpenArchive::open(path);
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let opened = OpenArchive::read(readable(Arc::new(file), identities)?, path.display().to_string())?;
    Ok(opened.at_path(absolute))
}

fn below(place: &Place, folder: &str) -> Result<Place> {
    Ok(match place {
        Place::Folder(path) => Place::Folder(path.join(folder)),
        Place::File(path) => Place::Folder(path.parent().unwrap_or(Path::new("/")).join(folder)),
        Place::Prefix(bucket) => Place::Prefix(bucket.within(folder)?),
        Place::Object(object) => Place::Prefix(object.bucket.within(folder)?),
    })
}

/// A name that is free wherever it can be asked.
fn targets(places: &[SetPlace], name: &Template, naming: &Naming<'_>, end: &str) -> Result<Vec<Target>> {
    let name = format!("{}{end}", name.render(naming));
    for place in places {
        make_folder(&place.place, &name)?;
    }
    for nth in 1..100 {
        let name = numbered(&name, nth);
        let places = || places.iter().map(|place| (place, at(&place.place, &name)));
        if places().all(|(_, at)| !is_taken(&at))
            || places().all(|(place, at)| at.shown() == place.place.shown())
        {
            let target = |(place, at): (&SetPlace, Place)| Target { place: at, part_size: place.part_size };
            return Ok(places().map(target).collect());
        }
    }
    Err(Error::environment("all names for an archive are taken").with_context("name", name))
}

/// The archive of that name in a place; a place that is an archive itself is that one.
fn at(place: &Place, name: &str) -> Place {
    match place {
        Place::Folder(path) => Place::File(path.join(name)),
        Place::Prefix(bucket) => Place::Object(Object::new(bucket.clone(), name)),
        Place::File(_) | Place::Object(_) => place.clone(),
    }
}

/// Whether it is there. Where nobody can say, the dump itself finds out: it overwrites nothing.
pub(crate) fn is_taken(archive: &Place) -> bool {
    is_there(archive).unwrap_or(false)
}

fn is_there(archive: &Place) -> Result<bool> {
    match archive {
        Place::File(path) | Place::Folder(path) => Ok(path.symlink_metadata().is_ok()),
        Place::Prefix(_) => Ok(false),
        Place::Object(object) => {
            let object = object.clone();
            transfers::wait(async move {
                match object.bucket.operator().stat(&object.key).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(false),
                    Err(error) => Err(object.failed("look at", error)),
                }
            })
        }
    }
}

/// What a local path means, as a place.
pub fn place_of_path(path: &Path) -> Place {
    local(path.to_owned())
}
