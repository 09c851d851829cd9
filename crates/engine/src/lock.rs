//! One run per set at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use dumprestore_driver::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::set::BackupSet;

/// Holds a set's lock; the kernel lets it go when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct SetLock {
    file: File,
}

impl SetLock {
    /// Takes the lock of a set, or says who has it.
    pub(crate) fn acquire(set: &BackupSet, run: &str) -> Result<Self> {
        let (folder, set) = (ready_state_folder(set)?, set.name());
        let path = folder.join(format!("{set}.lock"));
        let failed =
            |error| Error::io("can't take the set's lock", error).with_context("file", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, set)),
        }
        // Who holds it stands in the file for those who don't get it. It means nothing without the lock.
        file.set_len(0)
            .and_then(|()| writeln!(file, "run {run}, process {}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for SetLock {
    fn drop(&mut self) {
        // Closing alone does not do it while a child that is just being started has the file open as well.
        let _closing_does_it_otherwise = self.file.unlock();
    }
}

fn held(file: &mut File, set: &str) -> Error {
    let mut holder = String::new();
    // The text is a courtesy: the lock says what matters.
    let told = file.rewind().and_then(|()| file.take(200).read_to_string(&mut holder)).is_ok();
    let error = Error::new(ErrorKind::Locked, format!("another run of the set `{set}` is under way"))
        .with_hint("wait for it to end");
    if told && !holder.trim().is_empty() { error.with_context("holder", holder.trim()) } else { error }
}

/// Sees to it that the folder for locks and journals is there.
///
/// # Behavior
/// - One that the set names is never made: a mount point whose volume is not there would get an empty one, in which
///   there is no journal of an interrupted restore.
/// - The top of a volume is refused: without the volume its bare mount point would pass for it.
/// - The default one is made, in a folder that is there, readable by its owner only.
fn ready_state_folder(set: &BackupSet) -> Result<&Path> {
    let folder = set.state_dir();
    if !set.look_at_state_folder()? {
        make(folder)?;
        refuse_top_of_mount(folder)?;
    }
    Ok(folder)
}

impl BackupSet {
    /// The folder for locks and journals. Makes it, if it is the default one.
    ///
    /// # Errors
    /// What would stop every run.
    pub fn ready_state_folder(&self) -> Result<&Path> {
        ready_state_folder(self)
    }

    /// Looks for the folder for locks and journals as a run would, and makes nothing. `false`: a run would make it.
    ///
    /// # Errors
    /// What would stop every run.
    pub fn look_at_state_folder(&self) -> Result<bool> {
        look(self.state_dir(), self.state_is_named)
    }
}

fn look(folder: &Path, is_named: bool) -> Result<bool> {
    match folder.metadata() {
        Ok(found) if !found.is_dir() => {
            return Err(Error::environment("the state folder is no folder")
                .with_context("path", folder.display())
                .with_hint("name another one with `state:`"));
        }
        Ok(_) => {}
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(
                Error::io("can't look at the state folder", error).with_context("folder", folder.display())
            );
        }
        Err(_) if is_named => return Err(not_there(folder)),
        Err(_) => return Ok(false),
    }
    refuse_top_of_mount(folder).map(|()| true)
}

fn refuse_top_of_mount(folder: &Path) -> Result<()> {
    match is_top_of_mount(folder) {
        false => Ok(()),
        true => Err(Error::config(
            "the state folder is the top of a volume, and could not be told from its mount point",
        )
        .with_context("folder", folder.display())
        .with_hint("name a folder on the volume with `state:`, and make that")),
    }
}

fn not_there(folder: &Path) -> Error {
    Error::environment("the state folder that is named with `state:` is not there")
        .with_context("folder", folder.display())
        .with_hint("is its volume mounted? if it was never used, make it: a folder that is named is never made by itself")
}

fn make(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    // A journal is worth nothing in a folder that a power cut takes away.
    let kept = made.and_then(|()| File::open(folder.parent().unwrap_or(folder))?.sync_all());
    kept.map_err(|error| {
        Error::io("can't create the state folder", error)
            .with_context("folder", folder.display())
            .with_hint("set `state:` to a folder that can be written")
    })
}

fn is_top_of_mount(folder: &Path) -> bool {
    match statx(CWD, folder, AtFlags::empty(), StatxFlags::TYPE) {
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        // Before Linux 5.8, or where `statx` is filtered away.
        _ => {
            let dev = |path: &Path| path.metadata().ok().map(|meta| meta.dev());
            dev(folder) != dev(&folder.join(".."))
        }
    }
}
