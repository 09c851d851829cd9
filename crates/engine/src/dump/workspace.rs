//! What a dump leaves on disk if it is killed, and its removal by the next run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Ground, NodePath, Result};

use crate::event::warn;
use crate::run::Run;
use crate::set::BackupSet;

/// A folder for scratch files, and a note of where the archive is written to.
#[derive(Debug)]
pub(super) struct Workspace {
    folder: PathBuf,
}

fn folder(set: &BackupSet) -> PathBuf {
    set.state_dir().join(format!("{}.dump", set.name()))
}

/// A note of a partial archive, kept until the volume that this is on can be seen again.
fn kept_note(set: &BackupSet, number: u32) -> PathBuf {
    set.state_dir().join(format!("{}.dump-{number}", set.name()))
}

/// So many notes are kept. More killed dumps than that, with none of their volumes there, stop the next run.
const MOST_NOTES: u32 = 1000;

const NOTE: &str = "archive";
const GROUND: &str = "ground.json";
const FROZEN: &str = "frozen";

impl Workspace {
    /// Makes the folder, and notes down where the archive will be written to before anything is written there.
    pub(super) fn create(set: &BackupSet, archive: Option<&Path>) -> Result<Self> {
        let folder = folder(set);
        let created = fs::DirBuilder::new().mode(0o700).create(&folder);
        created.map_err(|error| failed("can't create the folder for scratch files", &folder, error))?;
        let noted = archive.map_or(Ok(()), |archive| Goal::of(archive).note(&folder));
        match noted.and_then(|()| sync_folder(set.state_dir())) {
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
/// if there was nothing that could be removed.
pub(crate) async fn remove_left(set: &BackupSet, run: &Run) -> Result<bool> {
    let mut removed = false;
    for note in (1..=MOST_NOTES).map(|number| kept_note(set, number)).filter(|note| note.exists()) {
        removed |= act_on_kept(&note, run)?;
    }
    let folder = folder(set);
    if !folder.exists() {
        return Ok(removed);
    }
    thaw_left(set, &folder).await?;
    if let Some(goal) = Goal::noted(&folder)? {
        match goal.check() {
            Ok(()) => remove_partials(&goal.archive)?,
            Err(_) => {
                let kept = keep_note(set, &goal)?;
                warn_of_kept(&goal, &kept, run);
            }
        }
    }
    remove_folder(&folder).map(|()| true)
}

fn act_on_kept(note: &Path, run: &Run) -> Result<bool> {
    match Goal::noted(note)? {
        Some(goal) if goal.check().is_err() => {
            warn_of_kept(&goal, note, run);
            return Ok(false);
        }
        Some(goal) => remove_partials(&goal.archive)?,
        None => {}
    }
    remove_folder(note).map(|()| true)
}

fn warn_of_kept(goal: &Goal, note: &Path, run: &Run) {
    let archive = goal.archive.display();
    let message = format!(
        "a dump to `{archive}` was killed, and what it left there can't be removed: the folder is not there, or another one"
    );
    let hint = format!("is the volume mounted? if that folder is gone for good, remove `{}`", note.display());
    warn(&*run.observer, None, message, Some(hint));
}

fn keep_note(set: &BackupSet, goal: &Goal) -> Result<PathBuf> {
    for note in (1..=MOST_NOTES).map(|number| kept_note(set, number)) {
        let kept = match fs::DirBuilder::new().mode(0o700).create(&note) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.and_then(|()| goal.note(&note)).and_then(|()| sync_folder(set.state_dir())),
        };
        return match kept {
            Ok(()) => Ok(note),
            Err(error) => Err(failed("can't keep the note of a partial archive", &note, error)),
        };
    }
    Err(Error::environment("too many partial archives of killed dumps are where no volume is mounted")
        .with_context("notes", set.state_dir().display())
        .with_hint("mount the volumes, or remove the notes"))
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("can't remove what a killed dump has left", folder, error))
        }
        _ => Ok(()),
    }
}

/// Where an archive is written to.
struct Goal {
    archive: PathBuf,
    /// The folder that it is in, to be told from the mount point of its volume.
    ground: Option<Ground>,
}

impl Goal {
    fn of(archive: &Path) -> Self {
        let parent = match archive.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent.unwrap_or(archive),
        };
        match (parent.canonicalize(), archive.file_name()) {
            (Ok(real), Some(name)) => Self { archive: real.join(name), ground: Ground::of(&real) },
            // The dump is about to fail on it.
            _ => Self { archive: archive.to_owned(), ground: None },
        }
    }

    fn note(&self, folder: &Path) -> io::Result<()> {
        write_note(&folder.join(GROUND), &serde_json::to_vec(&self.ground)?)?;
        write_note(&folder.join(NOTE), self.archive.as_os_str().as_bytes())?;
        sync_folder(folder)
    }

    /// What was noted down; `None` if nothing was, or nothing whole: then nothing was written there either.
    fn noted(folder: &Path) -> Result<Option<Self>> {
        let read = |name: &str| match fs::read(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read
                .map(Some)
                .map_err(|error| failed("can't read what a killed dump has left", folder, error)),
        };
        let Some(archive) = read(NOTE)?.filter(|archive| !archive.is_empty()) else { return Ok(None) };
        let ground = read(GROUND)?.map_or(Ok(None), |ground| serde_json::from_slice(&ground));
        let ground =
            ground.map_err(|error| failed("can't read what a killed dump has left", folder, error.into()))?;
        Ok(Some(Self { archive: std::ffi::OsString::from_vec(archive).into(), ground }))
    }

    /// Checks that what is in the archive's folder can be seen.
    fn check(&self) -> Result<()> {
        let around = self.archive.parent().unwrap_or(&self.archive);
        self.ground.map_or(Ok(()), |ground| ground.check(around))
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
