//! A copy in a file that is not complete yet, and is gone on with by the next one who copies the same archive there.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A file that is not complete yet, and what it is a copy of.
pub(crate) struct Half {
    pub(crate) file: File,
    path: PathBuf,
    about: PathBuf,
    /// From which byte on it is gone on with.
    pub(crate) from: u64,
    of: About,
}

/// What a half copy is of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The archive's name.
    pub(crate) shown: String,
    pub(crate) bytes: u64,
    /// By what it is known that it is still the same one.
    pub(crate) identity: Option<String>,
    /// Bytes that are on disk for sure. What a file has beyond may be nothing but its length, after the power has failed.
    #[serde(default)]
    synced: u64,
}

impl About {
    pub(crate) fn new(shown: String, bytes: u64, identity: Option<String>) -> Self {
        Self { shown, bytes, identity, synced: 0 }
    }
}

impl Half {
    /// Opens what there is for that file, or makes it. `now` is what is copied.
    pub(crate) fn open(to: &Path, mut now: About) -> Result<Self> {
        let beside = |end: &str| {
            let mut name = to.file_name().unwrap_or_default().to_owned();
            name.push(end);
            to.with_file_name(name)
        };
        let (path, about) = (beside(".pull"), beside(".pull.json"));
        let failed =
            |error| Error::io("can't make a file for the copy", error).with_context("file", path.display());
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // Nobody leads the copy elsewhere by a link of that name.
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::new(ErrorKind::Locked, "another one is copying to that file")
                .with_context("file", path.display())
        })?;
        // It may have been there, with other rights.
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let before = fs::read(&about).ok().and_then(|text| serde_json::from_slice::<About>(&text).ok());
        let length = file.metadata().map_err(failed)?.len();
        now.synced = before.as_ref().map_or(0, |before| before.synced);
        // Without something to know the archive by, it may be another one by now.
        let goes_on = before.as_ref() == Some(&now)
            && now.identity.is_some()
            && (now.synced..=now.bytes).contains(&length);
        if !goes_on {
            now.synced = 0;
        }
        file.set_len(now.synced).map_err(failed)?;
        let from = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let half = Self { file, path, about, from, of: now };
        half.sync(from)?;
        Ok(half)
    }

    /// Makes sure that so many bytes are on disk, and notes it down.
    pub(crate) fn sync(&self, done: u64) -> Result<()> {
        let failed = |error| self.failed("can't note down how far the copy is", error);
        self.file.sync_data().map_err(failed)?;
        let text = serde_json::to_vec(&About { synced: done, ..self.of.clone() });
        fs::write(&self.about, text.map_err(|error| failed(error.into()))?).map_err(failed)
    }

    pub(crate) fn failed(&self, doing: &'static str, error: io::Error) -> Error {
        Error::io(doing, error).with_context("file", self.path.display())
    }

    /// What it has from before.
    pub(crate) fn each(&self, cancel: &Cancel, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let failed = |error| self.failed("can't read what was copied before", error);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (mut left, mut buffer) = (self.from, vec![0; PIECE]);
        while left > 0 {
            cancel.check()?;
            let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            file.read_exact(&mut buffer[..length]).map_err(failed)?;
            take(&buffer[..length])?;
            left -= length as u64;
        }
        Ok(())
    }

    /// Gives the copy its name, which no other file has lost by that.
    pub(crate) fn publish(self, to: &Path) -> Result<()> {
        let failed = |error| self.failed("can't finish the copy", error);
        self.file.sync_all().map_err(failed)?;
        // Never over what was made there meanwhile.
        fs::hard_link(&self.path, to).or_else(|error| match (error.kind(), to.symlink_metadata()) {
            (io::ErrorKind::AlreadyExists, _) | (_, Ok(_)) => {
                Err(failed(io::ErrorKind::AlreadyExists.into()))
            }
            _ => fs::rename(&self.path, to).map_err(failed),
        })?;
        self.remove();
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    pub(crate) fn remove(&self) {
        // Either is gone already, or is only in the way of nobody.
        let _removed = fs::remove_file(&self.path);
        let _removed = fs::remove_file(&self.about);
    }
}
