//! Reading an encrypted archive at any place.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use age::Decryptor;
use age_core::format::FileKey;
use dumprestore_archive::RangeRead;
use dumprestore_driver::{Error, Result};

use super::lane::{Lane, of_file};
use super::position::Encrypted;
use super::unlock::{Opener, copy as copied, unlock};
use super::{CHUNK, Identities};

/// How every encrypted file begins, whatever its version.
const MAGIC: &[u8] = b"age-encryption.org/";
/// How one begins that was written as text.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// Readers that wait for their next use, of some 130 KB each. More exist only while more threads read.
const IDLE: usize = 16;

/// Whether a file is encrypted with age.
///
/// # Errors
/// If it can't be read.
pub fn is_encrypted(file: &dyn RangeRead) -> io::Result<bool> {
    begins_with(file, MAGIC)
}

fn begins_with(file: &dyn RangeRead, wanted: &[u8]) -> io::Result<bool> {
    if file.size()? < wanted.len() as u64 {
        return Ok(false);
    }
    let mut begin = vec![0; wanted.len()];
    file.read_exact_at(&mut begin, 0)?;
    Ok(begin == wanted)
}

/// The content of a file: decrypted if it is encrypted, else the file itself, and no identity is looked for.
///
/// # Errors
/// As of [`DecryptedRead::open`].
pub fn readable(file: Arc<dyn RangeRead>, identities: &Identities) -> Result<Arc<dyn RangeRead>> {
    let looked = |error| Error::io("can't read the archive", error);
    if is_encrypted(&*file).map_err(looked)? {
        return Ok(Arc::new(DecryptedRead::open(file, identities)?));
    }
    if begins_with(&*file, ARMOR).map_err(looked)? {
        return Err(Error::archive("the archive is encrypted, and written as text")
            .with_hint("such a file can't be read in ranges: decrypt it with the program `age -d`"));
    }
    Ok(file)
}

/// The content of an encrypted file, read at any place, from several threads at once.
///
/// # Behavior
/// - The size is that of the content, and proved: a file that was cut off does not open.
/// - What was changed is an error that says where, of [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive)
///   inside of the `io::Error`; the bytes are never handed out. Errors of the file itself go through as they are.
/// - Each read takes the chunks of 64 KiB that it touches from the file, in order; what goes on where an earlier one ended
///   goes on in the same chunk.
pub struct DecryptedRead {
    from: Encrypted,
    key: FileKey,
    size: u64,
    idle: Mutex<Vec<Lane>>,
}

impl std::fmt::Debug for DecryptedRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecryptedRead").field("size", &self.size).finish_non_exhaustive()
    }
}

impl DecryptedRead {
    /// Unlocks a file, with whichever identity fits.
    ///
    /// # Errors
    /// [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive) if it is not encrypted, damaged or cut off.
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if no identity fits, with the kinds of recipients that
    /// it has, or if the identities can't be read.
    pub fn open(file: Arc<dyn RangeRead>, identities: &Identities) -> Result<Self> {
        let from = Encrypted::new(file).map_err(|error| Error::io("can't read the archive", error))?;
        if !from.head.starts_with(MAGIC) {
            return Err(Error::archive("the archive is not encrypted"));
        }
        let key = unlock(&from.head, identities)?;
        let mut lane = Lane::open(&from, &key).map_err(|error| told(error, &from, None))?;
        let size = lane.size().map_err(|error| told(error, &from, None))?;
        Ok(Self { from, key, size, idle: Mutex::new(vec![lane]) })
    }

    /// The content of a copy of this file, as its bytes come: an error of its reader if it is not a copy.
    ///
    /// # Errors
    /// If its header is another one.
    pub(crate) fn of_copy<R: io::Read>(&self, copy: R) -> io::Result<impl io::Read + use<R>> {
        let decryptor = Decryptor::new(copy).map_err(io::Error::other)?;
        let opener = Opener(copied(&self.key));
        decryptor.decrypt(std::iter::once(&opener as &dyn age::Identity)).map_err(io::Error::other)
    }

    /// A reader that is where `offset` is, or near, or any.
    fn lane(&self, offset: u64) -> io::Result<Lane> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let exact = idle.iter().position(|lane| lane.at == offset);
        let near = || idle.iter().position(|lane| lane.at / CHUNK == offset / CHUNK);
        let found = exact.or_else(near);
        // One that reads elsewhere goes on there, as long as there is room for one more.
        let found = found.or_else(|| (idle.len() >= IDLE).then_some(0));
        match found.map(|at| idle.remove(at)) {
            Some(lane) => Ok(lane),
            None => {
                drop(idle);
                Lane::open(&self.from, &self.key)
            }
        }
    }

    fn put_back(&self, lane: Lane) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE {
            // The one that was not used for longest.
            idle.remove(0);
        }
        idle.push(lane);
    }
}

impl RangeRead for DecryptedRead {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if buffer.is_empty() {
            return Ok(());
        }
        let read = self.lane(offset).and_then(|mut lane| lane.read(buffer, offset).map(|()| lane));
        match read {
            Ok(lane) => {
                self.put_back(lane);
                Ok(())
            }
            Err(error) => {
                buffer.fill(0);
                Err(match of_file(error) {
                    Ok(of_file) => of_file,
                    Err(error) => damaged(error, Some((offset, buffer.len()))).into(),
                })
            }
        }
    }
}

fn told(error: io::Error, from: &Encrypted, range: Option<(u64, usize)>) -> Error {
    match of_file(error) {
        Ok(of_file) => Error::io("can't read the archive", of_file),
        Err(error) => damaged(error, range).with_context("bytes", from.size),
    }
}

fn damaged(error: io::Error, range: Option<(u64, usize)>) -> Error {
    let message = match range {
        None => "the encrypted archive does not end as it was written: it was cut off or changed".to_owned(),
        Some((offset, length)) => format!(
            "the encrypted archive was changed or damaged: its content from byte {offset} to {} can't be proved",
            offset + length as u64
        ),
    };
    Error::archive(message).with_source(error).with_hint("take another copy of the archive")
}
