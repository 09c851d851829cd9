//! Where an archive goes while it is written.

use crate::error::{Error, ErrorKind, Result};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A destination that takes bytes in order and shows nothing under the final name before it is published.
///
/// # Behavior
/// - After an error of `write_all` nothing more is written; `abort` is called.
/// - `publish` returns when the archive is durable under its final name. After an error there is either nothing
///   under that name or the whole archive, never a part of it.
/// - `abort`, and dropping without `publish`, leave nothing behind.
pub trait Output: Send {
    /// Appends.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable and visible.
    fn publish(self: Box<Self>) -> Result<()>;
    /// Removes what was written.
    fn abort(self: Box<Self>);
}

/// What to do about a file that has the final name already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail.
    #[default]
    Keep,
    /// Put the archive in its place, in one step.
    Replace,
}

/// Bytes between two requests to begin writing to disk.
const PUSH: u64 = 8 << 20;

/// A file: written under a partial name in the same folder, mode 0600, renamed when it is durable.
///
/// The partial name is the final name with `.partial-` and random digits. It is removed unless published.
#[derive(Debug)]
pub struct FileOutput {
    file: File,
    partial: Partial,
    path: PathBuf,
    existing: Existing,
    written: u64,
    /// Up to where the system has been asked to write to disk.
    pushed: u64,
}

impl FileOutput {
    /// Creates the partial file. Fails at once if the final name is taken and is to be kept.
    pub fn create(path: impl Into<PathBuf>, existing: Existing) -> Result<Self> {
        let path = path.into();
        if existing == Existing::Keep && fs::symlink_metadata(&path).is_ok() {
            return Err(taken(&path));
        }
        let partial = partial_path(&path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(|e| Error::io(format!("creating `{}`", partial.display()), e))?;
        Ok(Self { file, partial: Partial(Some(partial)), path, existing, written: 0, pushed: 0 })
    }

    /// Has the system begin to write to disk, which it would put off until the final flush had to wait for all.
    fn push(&mut self) {
        // A hint, which Linux takes so. Of what is not on disk yet nothing is dropped, in spite of the name.
        #[cfg(target_os = "linux")]
        {
            let length = std::num::NonZero::new(self.written - self.pushed);
            let _ = rustix::fs::fadvise(&self.file, self.pushed, length, rustix::fs::Advice::DontNeed);
        }
        self.pushed = self.written;
    }

    /// Where the bytes go before the archive is published.
    pub fn partial_path(&self) -> &Path {
        self.partial.0.as_deref().unwrap_or(&self.path)
    }
}

fn taken(path: &Path) -> Error {
    Error::new(ErrorKind::Exists, format!("`{}` exists", path.display()))
        .hint("name another file, or remove that one first")
}

fn partial_path(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::Misuse, format!("`{}` does not name a file", path.display())))?;
    let mut partial = OsString::from(name);
    partial.push(format!(".partial-{:016x}", RandomState::new().hash_one(std::process::id())));
    Ok(path.with_file_name(partial))
}

/// Removes the partial file when it is dropped.
#[derive(Debug)]
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // After the rename it is gone already. Otherwise nobody is left to hear of an error, and a partial
            // file is never taken for an archive.
            let _ = fs::remove_file(path);
        }
    }
}

impl Output for FileOutput {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.written - self.pushed >= PUSH {
            self.push();
        }
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<()> {
        let failed = |doing: &str, e: io::Error| Error::io(format!("{doing} `{}`", self.path.display()), e);
        self.file.sync_all().map_err(|e| failed("flushing to disk", e))?;
        // Whatever can fail here must fail before the archive has its name.
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flushing = |e| Error::io(format!("flushing the folder `{}`", folder.display()), e);
        let opened = open_folder(folder).map_err(flushing)?;
        rename(self.partial_path(), &self.path, self.existing).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.path),
            _ => failed("renaming the partial file to", e),
        })?;
        opened.map_or(Ok(()), |opened| settled(opened.sync_all())).map_err(flushing)
    }

    fn abort(self: Box<Self>) {}
}

/// None of a folder that may be written but not read, as a drop box: its names reach the disk in their own time.
fn open_folder(folder: &Path) -> io::Result<Option<File>> {
    match File::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        opened => opened.map(Some),
    }
}

/// Some file systems can't flush a folder, and say so: then there is nothing to wait for.
fn settled(synced: io::Result<()>) -> io::Result<()> {
    use rustix::io::Errno;
    match synced {
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP | Errno::BADF)) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

fn rename(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if existing == Existing::Replace {
        return fs::rename(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(error) if has_no_flags(error) => by_link_or_rename(from, to, |from, to| fs::hard_link(from, to)),
        done => Ok(done?),
    }
}

/// Whether an error of a rename says that the file system knows no flags of it.
fn has_no_flags(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// A hard link never replaces anything. Where the file system has no links either (FAT, many that programs serve), it
/// is looked whether the name is free: what is made there in between is replaced. An archive that is complete gets its
/// name in any case.
fn by_link_or_rename(
    from: &Path,
    to: &Path,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    match link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => match fs::symlink_metadata(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        },
    }
}

/// A stream that cannot seek, such as standard output. It cannot take back what it has written: a reader
/// knows an aborted archive by its missing manifest.
#[derive(Debug)]
pub struct StreamOutput<W>(W);

impl<W: Write + Send> StreamOutput<W> {
    /// Writes to `stream`.
    pub fn new(stream: W) -> Self {
        Self(stream)
    }
}

impl<W: Write + Send> Output for StreamOutput<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        self.0.flush().map_err(|e| Error::io("writing the archive to the stream", e))
    }

    fn abort(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn without_flags_and_without_links_a_name_is_given_and_nothing_is_replaced() {
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
            assert!(has_no_flags(errno));
        }
        assert!(!has_no_flags(Errno::EXIST) && !has_no_flags(Errno::IO));
        type Link = fn(&Path, &Path) -> io::Result<()>;
        let links: [Link; 3] = [
            |from, to| fs::hard_link(from, to),
            |_, _| Err(Errno::PERM.into()),
            |_, _| Err(Errno::OPNOTSUPP.into()),
        ];
        for link in links {
            let folder = tempfile::tempdir().unwrap();
            let (from, to) = (folder.path().join("partial"), folder.path().join("archive"));
            fs::write(&from, "new").unwrap();
            fs::write(&to, "old").unwrap();
            let error = by_link_or_rename(&from, &to, link).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).unwrap(), b"old");
            fs::remove_file(&to).unwrap();
            by_link_or_rename(&from, &to, link).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"new");
        }
    }

    #[test]
    fn a_folder_that_can_not_be_flushed_is_no_failure_but_a_broken_disk_is() {
        for errno in [Errno::INVAL, Errno::NOTSUP, Errno::BADF] {
            settled(Err(errno.into())).unwrap();
        }
        assert!(settled(Err(Errno::IO.into())).is_err());
        assert!(settled(Err(Errno::NOSPC.into())).is_err());
    }
}
