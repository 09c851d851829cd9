//! What a dump leaves on disk if it is killed, and its removal by the next run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, NodePath, Result};

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
const FROZEN: &str = "frozen";

impl Workspace {
    /// Makes the folder, and notes down where the archive will be written to before anything is written there.
    pub(super) fn create(set: &BackupSet, archive: Option<&Path>) -> Result<Self> {
        let folder = folder(set);
        let created = fs::DirBuilder::new().mode(0o700).create(&folder);
        created.map_err(|error| failed("can't create the folder for scratch files", &folder, error))?;
        let noted =
            archive.map_or(Ok(()), |archive| write_note(&folder.join(NOTE), archive.as_os_str().as_bytes()));
        match noted {
            Ok(()) => Ok(Self { folder }),
            Err(error) => {
                // It would be taken for what a killed dump has left. If it can't be removed, the next run does so.
                let _removed = fs::remove_dir_all(&folder);
                Err(failed("can't note down where the archive goes", &folder, error))
            }
        }
    }

    /// Notes down, before it happens, that the pins of these nodes may freeze an application.
    pub(super) fn note_frozen(&self, nodes: &[&NodePath]) -> Result<()> {
        let names: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
        let noted = write_note(&self.folder.join(FROZEN), names.join("\n").as_bytes());
        noted.map_err(|error| failed("can't note down which nodes are frozen", &self.folder, error))
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

fn write_note(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Whether a dump is under way, or was killed.
pub(crate) fn has_left(set: &BackupSet) -> bool {
    folder(set).exists()
}

/// Removes what a dump has left that was killed: the partial archive, scratch files, and a frozen application. False
/// if there was nothing.
pub(crate) async fn remove_left(set: &BackupSet) -> Result<bool> {
    let folder = folder(set);
    if !folder.exists() {
        return Ok(false);
    }
    thaw_left(set, &folder).await?;
    match fs::read(folder.join(NOTE)) {
        Ok(archive) => remove_partials(Path::new(&std::ffi::OsString::from_vec(archive)))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("can't read what a killed dump has left", &folder, error)),
    }
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("can't remove what a killed dump has left", &folder, error))
        }
        _ => Ok(true),
    }
}

async fn thaw_left(set: &BackupSet, folder: &Path) -> Result<()> {
    let names = match fs::read_to_string(folder.join(FROZEN)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| failed("can't read what a killed dump has left", folder, error))?,
    };
    for name in names.lines() {
        let node = NodePath::new(name)?;
        // A node that has left the set can't be thawed by us any more.
        let Some(driver) = set.node(&node).and_then(|node| node.driver()) else { continue };
        driver.thaw().await.map_err(|error| error.with_node(&node))?;
    }
    Ok(())
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
