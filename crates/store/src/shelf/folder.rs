//! Folders for archives: made where they are wanted, but not where a volume is missing.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};

use crate::place::Place;

/// Makes what is missing of a folder for an archive of that name, readable by its owner only.
///
/// # Errors
/// If it can't be made, or what it would be made in is not there or looks like a volume that is not mounted.
pub(super) fn make_folder(place: &Place, name: &str) -> Result<()> {
    let Place::Folder(place) = place else { return Ok(()) };
    if !place.is_dir() {
        refuse_unmounted(place)?;
    }
    let folder = place.join(name).parent().map_or_else(|| place.clone(), Path::to_owned);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
        Error::io("can't make the folder for archives", error).with_context("folder", folder.display())
    })
}

/// Archives would go to the disk below, for ever, and nobody would see it.
fn refuse_unmounted(folder: &Path) -> Result<()> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some(parent) = absolute.parent() else { return Ok(()) };
    let why = match parent.is_dir() {
        false => "is not there",
        true if is_bare(parent) => "is empty, and no volume is mounted there",
        true => return Ok(()),
    };
    let parent = PathBuf::from(parent);
    Err(Error::environment(format!("can't make a folder for archives: `{}` {why}", parent.display()))
        .with_context("folder", absolute.display())
        .with_hint("is its volume mounted? If all is well, make the folder"))
}

/// An empty folder that is no volume of its own: as a mount point is without its volume.
fn is_bare(folder: &Path) -> bool {
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    let device = |path: &Path| path.metadata().map(|meta| meta.dev()).ok();
    is_empty && device(folder) == device(&folder.join(".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_but_not_where_a_volume_may_be_missing() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let make = |name: &str, archive: &str| make_folder(&Place::Folder(path(name)), archive);
        fs::create_dir(path("mnt")).unwrap();
        for missing in ["mnt/backups", "none/backups"] {
            let error = make(missing, "a.zip").unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("mounted")), "{error}");
            assert!(!path(missing).exists());
        }
        make("backups", "shop/2026/a.zip").unwrap();
        assert!(path("backups/shop/2026").is_dir() && !path("backups/shop/2026/a.zip").exists());
        fs::create_dir(path("mnt/backups")).unwrap();
        make("mnt/backups", "shop/a.zip").unwrap();
        assert!(path("mnt/backups/shop").is_dir(), "who has made it has said that all is well");
    }
}
