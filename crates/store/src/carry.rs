//! Archives from one place to another, byte by byte as they are.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::{ArchiveCopy, OpenArchive};
use dumprestore_archive::{Digest, Output, RangeRead};
use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::destination::StoreDestination;
use crate::encryption::{Identities, is_encrypted, readable};
use crate::place::Place;
use crate::read::StoredArchive;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// After so many bytes of a copy it is made sure that they are on disk: only from there on it is gone on with.
const SYNCED_EACH: u64 = 64 << 20;

/// Bytes at either end that are compared.
const ENDS: usize = 64 << 10;

/// An archive that is to be carried elsewhere.
pub struct Cargo {
    file: Arc<dyn RangeRead>,
    bytes: u64,
    /// By what it is known that it is still the same one.
    identity: Option<String>,
    shown: String,
    /// What comes before its manifest, and the digest of that. None if it is encrypted, and nothing opens it.
    preceding: Option<(u64, Digest)>,
    encrypted: bool,
    digest: String,
}

impl Cargo {
    /// Opens it where it lies. One that is no archive, or that is not complete, is refused; of one that is encrypted that
    /// can be told only with an identity.
    ///
    /// # Errors
    /// If it is not there, can't be read, or is not complete.
    pub fn open(place: &Place, identities: &Identities) -> Result<Self> {
        let (file, identity): (Arc<dyn RangeRead>, _) = match place {
            Place::File(path) | Place::Folder(path) => {
                let file = File::open(path);
                let opened = file.map_err(|error| {
                    Error::io("can't open the archive", error)
                        .with_kind(ErrorKind::Archive)
                        .with_context("file", path.display())
                });
                (Arc::new(opened?), None)
            }
            Place::Object(object) => {
                let stored = StoredArchive::open(object)?;
                let identity = stored.identity().map(str::to_owned);
                (Arc::new(stored), identity)
            }
            Place::Prefix(_) => {
                return super::open(place, identities).and_then(|_| Err(Error::defect("no archive")));
            }
        };
        let unread =
            |error| Error::io("can't read the archive", error).with_context("archive", place.shown());
        let bytes = file.size().map_err(unread)?;
        let encrypted = is_encrypted(&*file).map_err(unread)?;
        let opened = match encrypted && identities.is_empty() {
            true => None,
            false => Some(OpenArchive::read(readable(file.clone(), identities)?, place.shown())?),
        };
        let digest = opened.as_ref().map(|opened| opened.archive().sha256().to_string()).unwrap_or_default();
        let preceding = opened.filter(|_| !encrypted).map(|opened| {
            let preceding = &opened.archive().manifest().preceding;
            (preceding.bytes, preceding.sha256)
        });
        Ok(Self { file, bytes, identity, shown: place.shown(), preceding, encrypted, digest })
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of its manifest; nothing if it can't be decrypted.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Hands its bytes to `take`, from `at` on.
    fn each(&self, mut at: u64, cancel: &Cancel, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        while at < self.bytes {
            cancel.check()?;
            let length = usize::try_from(self.bytes - at).map_or(PIECE, |rest| rest.min(PIECE));
            let piece = &mut buffer[..length];
            self.file.read_exact_at(piece, at).map_err(|error| Error::io("can't read the archive", error))?;
            take(piece)?;
            at += length as u64;
        }
        Ok(())
    }

    /// Whether a place has the same archive. Of one that nothing here opens, size and both ends are compared: no two that are
    /// encrypted have the same.
    ///
    /// # Errors
    /// If the place can't be asked.
    pub(crate) fn is_at(&self, there: &Place, identities: &Identities) -> Result<bool> {
        let known = match self.digest.is_empty() {
            true => Self::open(there, &Identities::none()).map(Some),
            false => Self::open(there, identities).map(Some),
        };
        let known = known.or_else(|error| match error.kind() {
            ErrorKind::Archive | ErrorKind::Config => Ok(None),
            _ => Err(error),
        })?;
        let Some(known) = known.filter(|known| known.encrypted == self.encrypted || !self.digest.is_empty())
        else {
            return Ok(false);
        };
        if !self.digest.is_empty() {
            return Ok(known.digest == self.digest);
        }
        Ok(known.bytes == self.bytes && known.ends()? == self.ends()?)
    }

    fn ends(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let length = usize::try_from(self.bytes).map_or(ENDS, |bytes| bytes.min(ENDS));
        let read = |at| {
            let mut bytes = vec![0; length];
            let read = self.file.read_exact_at(&mut bytes, at).map(|()| bytes);
            read.map_err(|error| {
                Error::io("can't read the archive", error).with_context("archive", &self.shown)
            })
        };
        Ok((read(0)?, read(self.bytes - length as u64)?))
    }

    /// Copies it to all places of `destination` at once, and checks on the way that it is sound; one that is encrypted is
    /// copied as it is, and its content is not checked. `told` gets how many bytes
    /// are done.
    ///
    /// # Behavior
    /// - If it turns out to be damaged, it appears nowhere.
    ///
    /// # Errors
    /// If it can't be read, is damaged, or no place has taken it whole.
    pub fn push(
        &self,
        destination: &StoreDestination,
        cancel: &Cancel,
        told: &dyn Fn(u64),
    ) -> Result<Vec<ArchiveCopy>> {
        let mut output: Box<dyn Output> = destination.raw(self.encrypted)?;
        let mut proof = Proof::new(self.preceding);
        let mut done = 0;
        let copied = self.each(0, cancel, &mut |piece| {
            proof.take(piece);
            output.write_all(piece).map_err(|error| Error::io("can't write the archive", error))?;
            done += piece.len() as u64;
            told(done);
            Ok(())
        });
        if let Err(error) = copied.and_then(|()| proof.finish(&self.shown)) {
            output.abort();
            return Err(error);
        }
        output.publish().map_err(|error| {
            let hint = error.hint_text().map(str::to_owned);
            let made = Error::io("can't publish the copy", error.into());
            match hint {
                Some(hint) => made.with_hint(hint),
                None => made,
            }
        })?;
        Ok(destination.outcomes())
    }

    /// Copies it into a file, which appears when it is whole and checked. What an earlier call was stopped at is gone on
    /// with, if the archive is still the same. `told` gets how many bytes are done. Says from which byte on it was copied.
    ///
    /// # Errors
    /// If the file is there, there is no room for it, or the archive can't be read or is damaged.
    pub fn pull(&self, to: &Path, cancel: &Cancel, told: &dyn Fn(u64)) -> Result<u64> {
        if to.symlink_metadata().is_ok() {
            return Err(Error::environment(format!("`{}` is there already", to.display()))
                .with_hint("name another file, or remove that one first"));
        }
        let half = Half::open(to, self)?;
        let from = half.from;
        refuse_if_full(to, self.bytes - from)?;
        let mut file = &half.file;
        let (mut done, mut proof) = (from, Proof::new(self.preceding));
        half.each(cancel, &mut |piece| proof.take(piece))?;
        let mut synced = from;
        let copied = self.each(from, cancel, &mut |piece| {
            proof.take(piece);
            file.write_all(piece).map_err(|error| half.failed("can't write the archive", error))?;
            done += piece.len() as u64;
            told(done);
            if done - synced >= SYNCED_EACH {
                half.sync(done)?;
                synced = done;
            }
            Ok(())
        });
        if let Err(error) = copied {
            // What can't be noted is copied once more.
            let _noted = half.sync(done);
            return Err(error);
        }
        if let Err(error) = proof.finish(&self.shown) {
            half.remove();
            return Err(error);
        }
        half.publish(to)?;
        Ok(from)
    }
}

/// Compares what comes before the manifest with the digest of it there. The rest was compared when the archive was opened.
struct Proof {
    left: u64,
    hash: Sha256,
    wanted: Option<Digest>,
}

impl Proof {
    fn new(preceding: Option<(u64, Digest)>) -> Self {
        let (left, wanted) = preceding.map_or((0, None), |(bytes, digest)| (bytes, Some(digest)));
        Self { left, hash: Sha256::new(), wanted }
    }

    fn take(&mut self, bytes: &[u8]) {
        let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.hash.update(&bytes[..taken]);
        self.left -= taken as u64;
    }

    fn finish(self, shown: &str) -> Result<()> {
        let digest: [u8; 32] = self.hash.finalize().into();
        match self.wanted {
            Some(wanted) if wanted.0 != digest => {
                Err(Error::archive("the archive is damaged: nothing was copied")
                    .with_context("archive", shown)
                    .with_hint("`verify` names the entry; another place may have a copy that is whole"))
            }
            _ => Ok(()),
        }
    }
}

/// A file that is not complete yet, and what it is a copy of.
struct Half {
    file: File,
    path: PathBuf,
    about: PathBuf,
    from: u64,
    of: About,
}

/// What a half copy is of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    shown: String,
    bytes: u64,
    identity: Option<String>,
    /// Bytes that are on disk for sure. What a file has beyond may be nothing but its length, after the power has failed.
    #[serde(default)]
    synced: u64,
}

impl Half {
    fn open(to: &Path, cargo: &Cargo) -> Result<Self> {
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
            .open(&path)
            .map_err(failed)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::new(ErrorKind::Locked, "another one is copying to that file")
                .with_context("file", path.display())
        })?;
        let mut now = About {
            shown: cargo.shown.clone(),
            bytes: cargo.bytes,
            identity: cargo.identity.clone(),
            synced: 0,
        };
        let before = fs::read(&about).ok().and_then(|text| serde_json::from_slice::<About>(&text).ok());
        let length = file.metadata().map_err(failed)?.len();
        now.synced = before.as_ref().map_or(0, |before| before.synced);
        // Without something to know the archive by, it may be another one by now.
        let goes_on = before.as_ref() == Some(&now)
            && now.identity.is_some()
            && (now.synced..=cargo.bytes).contains(&length);
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
    fn sync(&self, done: u64) -> Result<()> {
        let failed = |error| self.failed("can't note down how far the copy is", error);
        self.file.sync_data().map_err(failed)?;
        let text = serde_json::to_vec(&About { synced: done, ..self.of.clone() });
        fs::write(&self.about, text.map_err(|error| failed(error.into()))?).map_err(failed)
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> Error {
        Error::io(doing, error).with_context("file", self.path.display())
    }

    /// What it has from before.
    fn each(&self, cancel: &Cancel, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let failed = |error| self.failed("can't read what was copied before", error);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (mut left, mut buffer) = (self.from, vec![0; PIECE]);
        while left > 0 {
            cancel.check()?;
            let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            file.read_exact(&mut buffer[..length]).map_err(failed)?;
            take(&buffer[..length]);
            left -= length as u64;
        }
        Ok(())
    }

    fn publish(self, to: &Path) -> Result<()> {
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

    fn remove(&self) {
        // Either is gone already, or is only in the way of nobody.
        let _removed = fs::remove_file(&self.path);
        let _removed = fs::remove_file(&self.about);
    }
}

/// Before anything is fetched that has no room.
fn refuse_if_full(to: &Path, bytes: u64) -> Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = rustix::fs::statvfs(folder).map(|there| there.f_bavail.saturating_mul(there.f_frsize));
    match free {
        Ok(free) if free < bytes => {
            Err(Error::environment(format!("there are {free} bytes free, and {bytes} are needed"))
                .with_context("folder", folder.display())
                .with_hint("make room, or name another folder with `-o`"))
        }
        // Where nobody can say, it is tried.
        _ => Ok(()),
    }
}
