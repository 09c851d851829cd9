//! Archives from one place to another, byte by byte as they are.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use dumprestore::{ArchiveCopy, OpenArchive};
use dumprestore_archive::{Digest, Output, RangeRead};
use dumprestore_driver::{Cancel, Error, ErrorKind, Result};

use crate::destination::StoreDestination;
use crate::encryption::{DecryptedRead, Identities, is_encrypted, readable};
use crate::half::{About, Half};
use crate::place::Place;
use crate::proof::Proof;
use crate::read::StoredArchive;
use crate::told::told as ours;

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
    /// Its content, if it is encrypted, and something opens it.
    content: Option<Arc<DecryptedRead>>,
    encrypted: bool,
    digest: String,
    set: Option<String>,
    unopened: Option<Error>,
}

impl Cargo {
    /// Opens it where it lies. One that is no archive, or that is not complete, is refused; of one that is encrypted that
    /// can be told only if one of the identities opens it.
    ///
    /// # Errors
    /// If it is not there, can't be read, or is not complete.
    pub fn open(place: &Place, identities: &Identities) -> Result<Self> {
        let (file, identity, noted): (Arc<dyn RangeRead>, _, _) = match place {
            Place::File(path) | Place::Folder(path) => {
                let file = File::open(path);
                let opened = file.map_err(|error| {
                    Error::io("can't open the archive", error)
                        .with_kind(ErrorKind::Archive)
                        .with_context("file", path.display())
                });
                (Arc::new(opened?), None, None)
            }
            Place::Object(object) => {
                let stored = StoredArchive::open(object)?;
                let identity = stored.identity().map(str::to_owned);
                let noted = stored.noted_set().map(str::to_owned);
                (Arc::new(stored), identity, noted)
            }
            Place::Prefix(_) => {
                return super::open(place, identities).and_then(|_| Err(Error::defect("no archive")));
            }
        };
        let unread =
            |error| Error::io("can't read the archive", error).with_context("archive", place.shown());
        let bytes = file.size().map_err(unread)?;
        let encrypted = is_encrypted(&*file).map_err(unread)?;
        let (content, unopened) = match encrypted {
            false => (None, None),
            true => match DecryptedRead::open(file.clone(), identities) {
                Ok(content) => (Some(Arc::new(content)), None),
                // It can be carried all the same.
                Err(error) if error.kind() == ErrorKind::Config => (None, Some(error)),
                Err(error) => return Err(error),
            },
        };
        let readable: Option<Arc<dyn RangeRead>> = match (encrypted, &content) {
            (true, None) => None,
            (true, Some(content)) => Some(content.clone()),
            (false, _) => Some(readable(file.clone(), identities)?),
        };
        let opened = readable.map(|content| OpenArchive::read(content, place.shown())).transpose()?;
        let manifest = opened.as_ref().map(|opened| opened.archive().manifest());
        let preceding = manifest.map(|manifest| (manifest.preceding.bytes, manifest.preceding.sha256));
        let set = manifest.map(|manifest| manifest.set.clone()).or(noted);
        let digest = opened.as_ref().map(|opened| opened.archive().sha256().to_string()).unwrap_or_default();
        let shown = place.shown();
        Ok(Self { file, bytes, identity, shown, preceding, content, encrypted, digest, set, unopened })
    }

    /// The set that it is of; nothing if it can't be decrypted, and its store has no note of it.
    pub fn set(&self) -> Option<&str> {
        self.set.as_deref()
    }

    /// Why its content can't be checked on the way: it is encrypted, and this is why it was not opened.
    pub fn unchecked(&self) -> Option<&Error> {
        self.unopened.as_ref()
    }

    fn proof(&self) -> Result<Proof> {
        match (self.preceding, &self.content) {
            (None, _) => Ok(Proof::None),
            (Some(preceding), None) => Ok(Proof::plain(preceding)),
            (Some(preceding), Some(content)) => Proof::sealed(content.clone(), preceding),
        }
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

    /// Copies it to all places of `destination` at once, as it is, and checks on the way that it is sound; of one that is
    /// encrypted only if it was opened: see [`unchecked`](Self::unchecked). `told` gets how many bytes are done.
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
        let mut proof = self.proof()?;
        let mut done = 0;
        let copied = self.each(0, cancel, &mut |piece| {
            proof.take(piece, &self.shown)?;
            output.write_all(piece).map_err(|error| Error::io("can't write the archive", error))?;
            done += piece.len() as u64;
            told(done);
            Ok(())
        });
        if let Err(error) = copied.and_then(|()| proof.finish(&self.shown)) {
            output.abort();
            return Err(error);
        }
        output.publish().map_err(ours)?;
        Ok(destination.finished())
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
        let half = Half::open(to, About::new(self.shown.clone(), self.bytes, self.identity.clone()))?;
        refuse_if_full(to, self.bytes - half.from)?;
        let mut done = half.from;
        match self.fill(&half, &mut done, cancel, told) {
            // Of what is damaged nothing is gone on with.
            Err(error) if error.kind() == ErrorKind::Archive => {
                half.remove();
                Err(error)
            }
            Err(error) => {
                // What can't be noted is copied once more.
                let _noted = half.sync(done);
                Err(error)
            }
            Ok(()) => {
                let from = half.from;
                half.publish(to).map(|()| from)
            }
        }
    }

    /// Copies what is missing, and checks all of it, what was there before included.
    fn fill(&self, half: &Half, done: &mut u64, cancel: &Cancel, told: &dyn Fn(u64)) -> Result<()> {
        let (mut file, mut proof, mut synced) = (&half.file, self.proof()?, half.from);
        half.each(cancel, &mut |piece| proof.take(piece, &self.shown))?;
        self.each(half.from, cancel, &mut |piece| {
            proof.take(piece, &self.shown)?;
            file.write_all(piece).map_err(|error| half.failed("can't write the archive", error))?;
            *done += piece.len() as u64;
            told(*done);
            if *done - synced >= SYNCED_EACH {
                half.sync(*done)?;
                synced = *done;
            }
            Ok(())
        })?;
        proof.finish(&self.shown)
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
