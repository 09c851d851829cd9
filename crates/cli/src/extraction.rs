//! Writing what an archive holds into a folder: never outside of it, never through a symbolic link.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use dumprestore::archive::Existing;
use dumprestore::{Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// A folder that is written into.
pub(crate) struct ExtractionFolder {
    folder: OwnedFd,
    existing: Existing,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl ExtractionFolder {
    /// Opens the folder, and makes it if need be.
    pub(crate) fn create(path: &Path, existing: Existing) -> Result<Self> {
        let failed = |error| Error::io("can't open the folder", error).with_context("folder", path.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let folder = rustix::fs::open(path, FOLDER | OFlags::RDONLY, Mode::empty());
        Ok(Self { folder: folder.map_err(|error| failed(error.into()))?, existing })
    }

    /// Makes the file of that relative name, with all folders above it. It appears when `content` has written all
    /// of it, and not at all if that fails.
    pub(crate) fn write(
        &self,
        name: &str,
        content: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
    ) -> Result<()> {
        let (folders, file) =
            name.rsplit_once('/').map_or((None, name), |(folders, file)| (Some(folders), file));
        let mut folder = None;
        for component in folders.into_iter().flat_map(|folders| folders.split('/')) {
            let below = enter(folder.as_ref().unwrap_or(&self.folder), component);
            folder = Some(below.map_err(|error| in_the_way(name, component, error))?);
        }
        let folder = folder.as_ref().unwrap_or(&self.folder);
        let partial = Partial::create(folder).map_err(|error| in_the_way(name, file, error))?;
        content(&mut &partial.file)?;
        partial.publish(file, self.existing).map_err(|error| in_the_way(name, file, error))
    }

    /// Writes the names of all that was extracted down to the disk: to be called last.
    pub(crate) fn finish(self) -> Result<()> {
        let failed = |error: Errno| Error::io("can't write what was extracted to the disk", error.into());
        rustix::fs::syncfs(&self.folder).map_err(failed)
    }
}

/// Opens a folder below `folder`, and makes it if need be.
fn enter(folder: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())
}

fn in_the_way(name: &str, component: &str, error: Errno) -> Error {
    let made = match error {
        Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => {
            Error::environment(format!("`{component}` is there already"))
        }
        Errno::NOTDIR | Errno::LOOP => {
            Error::environment(format!("`{component}` is there already, and is not a folder"))
        }
        error => Error::io("can't write a part", error.into()),
    };
    let made = made.with_context("part", name);
    match error {
        Errno::EXIST => made.with_hint("name another folder, or replace files with `--force`"),
        Errno::ISDIR | Errno::NOTEMPTY | Errno::NOTDIR | Errno::LOOP => made.with_hint("name another folder"),
        _ => made,
    }
}

/// A file that has no final name yet; it goes if it does not get one.
struct Partial<'a> {
    folder: &'a OwnedFd,
    name: String,
    file: File,
}

impl<'a> Partial<'a> {
    fn create(folder: &'a OwnedFd) -> rustix::io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Another process, perhaps of the same number in another container, may extract into the same folder.
        let random = RandomState::new().hash_one(std::process::id());
        let name = format!(".dumprestore-extract-{random:016x}");
        let made = rustix::fs::openat(folder, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { folder, name, file: made.into() })
    }

    /// Gives it its name, once what is in it is on the disk.
    fn publish(self, name: &str, existing: Existing) -> rustix::io::Result<()> {
        rustix::fs::fsync(&self.file)?;
        self.rename(name, existing)
    }

    fn rename(&self, name: &str, existing: Existing) -> rustix::io::Result<()> {
        if existing == Existing::Replace {
            return rustix::fs::renameat(self.folder, &self.name, self.folder, name);
        }
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(self.folder, &self.name, self.folder, name, flags) {
            // The file system does not know the flag. A hard link never replaces either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let linked = rustix::fs::linkat(self.folder, &self.name, self.folder, name, AtFlags::empty());
                self.rename_unless(linked, name)
            }
            done => done,
        }
    }

    /// Where the file system has no links either, it is looked whether the name is free.
    fn rename_unless(&self, linked: rustix::io::Result<()>, name: &str) -> rustix::io::Result<()> {
        if matches!(linked, Ok(()) | Err(Errno::EXIST)) {
            return linked;
        }
        match rustix::fs::statat(self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => rustix::fs::renameat(self.folder, &self.name, self.folder, name),
            Ok(_) => Err(Errno::EXIST),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // It is gone if it was published. Otherwise the error that is under way counts.
        let _ = rustix::fs::unlinkat(self.folder, &self.name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(folder: &Path, name: &str, existing: Existing) -> Result<()> {
        ExtractionFolder::create(folder, existing)?
            .write(name, |file| file.write_all(b"new").map_err(|error| Error::io("test", error)))
    }

    #[test]
    fn nothing_is_written_through_a_symbolic_link() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("file"), inside.join("dangling")).unwrap();
        assert!(write(&inside, "link/file", Existing::Replace).is_err());
        assert!(write(&inside, "dangling", Existing::Keep).is_err());
        write(&inside, "dangling", Existing::Replace).unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(inside.join("dangling").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn what_is_there_stays_unless_it_is_to_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "old").unwrap();
        let error = write(folder.path(), "a", Existing::Keep).unwrap_err();
        assert!(error.hint().unwrap().contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "old");
        write(folder.path(), "a", Existing::Replace).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "new");
    }

    #[test]
    fn two_that_extract_into_one_folder_do_not_touch_each_others_partial_files() {
        let folder = tempfile::tempdir().unwrap();
        let extraction = ExtractionFolder::create(folder.path(), Existing::Keep).unwrap();
        let one = Partial::create(&extraction.folder).unwrap();
        let other = Partial::create(&extraction.folder).unwrap();
        (&one.file).write_all(b"one").unwrap();
        (&other.file).write_all(b"other").unwrap();
        other.publish("other", Existing::Keep).unwrap();
        one.publish("one", Existing::Keep).unwrap();
        assert_eq!(std::fs::read(folder.path().join("one")).unwrap(), b"one");
        assert_eq!(std::fs::read(folder.path().join("other")).unwrap(), b"other");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn without_flags_and_without_links_a_name_is_given_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let extraction = ExtractionFolder::create(folder.path(), Existing::Keep).unwrap();
        let partial = Partial::create(&extraction.folder).unwrap();
        std::fs::write(folder.path().join("taken"), "old").unwrap();
        for error in [Errno::PERM, Errno::OPNOTSUPP] {
            assert_eq!(partial.rename_unless(Err(error), "taken"), Err(Errno::EXIST));
        }
        assert_eq!(partial.rename_unless(Err(Errno::PERM), "free"), Ok(()));
        assert!(folder.path().join("free").exists());
        assert_eq!(std::fs::read(folder.path().join("taken")).unwrap(), b"old");
    }

    #[test]
    fn a_part_that_fails_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let extraction = ExtractionFolder::create(folder.path(), Existing::Keep).unwrap();
        let failed = extraction.write("a/b", |file| {
            file.write_all(b"half").unwrap();
            Err(Error::archive("damaged"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
    }
}
