//! What a dump leaves on disk if it is killed, and its removal by the next run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};

use crate::set::BackupSet;

/// A folder for scratch files, and a note of where the archive is written to.
#[derive(Debug)]
pub(super) struct Workspace {
    folder: PathBuf,
}

fn folder(set: &BackupSet) -> PathBuf {
    set.state_dir().join(format!("{}.dump", set.name()))
}

const NOTE: &str = "archive";

impl Workspace {
    /// Makes the folder, and notes down where the archive will be written to before anything is written there.
    pub(super) fn create(set: &BackupSet, archive: Option<&Path>) -> Result<Self> {
        let folder = folder(set);
        let created = fs::DirBuilder::new().mode(0o700).create(&folder).and_then(|()| match archive {
            Some(archive) => note(&folder, archive),
            None => Ok(()),
        });
        created.map_err(|error| failed("can't create the folder for scratch files", &folder, error))?;
        Ok(Self { folder })
    }

    /// Where scratch files go.
    pub(super) fn scratch(&self) -> &Path {
        &self.folder
    }

    /// Removes it with all that is in it.
    pub(super) fn remove(self) -> Result<()> {
        let removed = fs::remove_dir_all(&self.folder);
        removed.map_err(|error| failed("can't remove the folder for scratch files", &self.folder, error))
    }
}

fn note(folder: &Path, archive: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(folder.join(NOTE))?;
    file.write_all(archive.as_os_str().as_bytes())?;
    file.sync_all()
}

/// Removes what a dump has left that was killed: the partial archive and scratch files.
pub(crate) fn remove_left(set: &BackupSet) -> Result<()> {
    let folder = folder(set);
    match fs::read(folder.join(NOTE)) {
        Ok(archive) => remove_partials(Path::new(&std::ffi::OsString::from_vec(archive)))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("can't read what a killed dump has left", &folder, error)),
    }
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("can't remove what a killed dump has left", &folder, error))
        }
        _ => Ok(()),
    }
}

/// Removes the files that [`FileOutput`](dumprestore_archive::FileOutput) writes to before the archive is whole.
fn remove_partials(archive: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (archive.parent(), archive.file_name()) else { return Ok(()) };
    let listed = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(|error| failed("can't look for a partial archive", parent, error))?,
    };
    for entry in listed {
        let entry = entry.map_err(|error| failed("can't look for a partial archive", parent, error))?;
        if is_partial_of(entry.file_name().as_bytes(), name.as_bytes()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|error| failed("can't remove a partial archive", &path, error))?;
        }
    }
    Ok(())
}

fn is_partial_of(name: &[u8], archive: &[u8]) -> bool {
    let digits = name.strip_prefix(archive).and_then(|rest| rest.strip_prefix(b".partial-"));
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(what, error).with_context("path", path.display())
}

#[cfg(test)]
mod tests {
    use super::is_partial_of;

    #[test]
    fn only_partial_archives_of_that_very_name_are_taken_for_ours() {
        assert!(is_partial_of(b"shop.zip.partial-0123456789abcdef", b"shop.zip"));
        for other in [
            "shop.zip",
            "shop.zip.partial-",
            "shop.zip.partial-0123456789abcdeg",
            "my-shop.zip.partial-0123456789abcdef",
        ] {
            assert!(!is_partial_of(other.as_bytes(), b"shop.zip"), "{other}");
        }
    }
}
