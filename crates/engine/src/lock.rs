//! One run per set at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use dumprestore_driver::{Error, ErrorKind, Result};

/// Holds a set's lock; the kernel lets it go when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct SetLock {
    file: File,
}

impl SetLock {
    /// Takes the lock of the set that keeps its state in `folder`, or says who has it.
    pub(crate) fn acquire(folder: &Path, set: &str, run: &str) -> Result<Self> {
        create_state_folder(folder)?;
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

/// Makes the folder for locks and journals, readable by its owner only.
pub(crate) fn create_state_folder(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    // A journal is worth nothing in a folder that a power cut takes away.
    let kept = made.and_then(|()| File::open(folder.parent().unwrap_or(folder))?.sync_all());
    kept.map_err(|error| {
        Error::io("can't create the state folder", error)
            .with_context("folder", folder.display())
            .with_hint("set `state:` to a folder that can be written")
    })
}
