//! The same archive for other recipients.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_archive::{self as archive, Archive, Output, RangeRead};
use dumprestore_driver::{Cancel, Error, Result};
use sha2::{Digest as _, Sha256};

use super::Encryption;
use crate::told::told;

/// Bytes that are read and written at once.
const BLOCK: usize = 1 << 20;

/// What was written, to compare with what the place has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrapped {
    /// Bytes of content.
    pub content: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// Writes an archive, decrypted as it is read, to `output`: encrypted to others, or not at all.
/// Publishes it. `progress` is told the bytes so far and in all.
///
/// # Behavior
/// - What goes through is compared with the digest of the manifest: what is damaged is not published.
/// - Memory is bounded. All is read once, and nothing is written to disk but to `output`.
/// - Nothing is removed: that is for the caller, after [`check_rewrapped`].
///
/// # Errors
/// If the content is not whole, can't be read, or the output can't be written: nothing is published then.
pub fn rewrap(
    archive: &Archive,
    to: Option<&Encryption>,
    output: Box<dyn Output>,
    cancel: &Cancel,
    progress: &dyn Fn(u64, u64),
) -> Result<Rewrapped> {
    let written = Arc::new(Mutex::new((Sha256::new(), 0u64)));
    let output: Box<dyn Output> = Box::new(Counted { output, written: written.clone() });
    let mut output = match to {
        Some(encryption) => encryption.wrap(output)?,
        None => output,
    };
    match copy(archive, &mut *output, cancel, progress) {
        Ok(()) => output.publish().map_err(told)?,
        Err(error) => {
            output.abort();
            return Err(error);
        }
    }
    let (hash, bytes) = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Rewrapped { content: archive.bytes(), bytes, sha256: hash.finalize().into() })
}

/// Reads what the place has under the new name, and compares it with what was written. Needs no key.
///
/// # Errors
/// [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive) if it differs, which must not replace anything then.
pub fn check_rewrapped(stored: &dyn RangeRead, written: &Rewrapped, cancel: &Cancel) -> Result<()> {
    let size = stored.size().map_err(unreadable)?;
    let mut hash = Sha256::new();
    if size == written.bytes {
        each_block(stored, size, cancel, &mut |block| {
            hash.update(block);
            Ok(())
        })?;
    }
    if size != written.bytes || <[u8; 32]>::from(hash.finalize()) != written.sha256 {
        return Err(Error::archive("what is stored of the new archive is not what was written")
            .with_hint("the old one is untouched; remove the new one and look at the place's disk"));
    }
    Ok(())
}

/// Copies all of it, and fails if what went through is not what the manifest says. The manifest itself, and what follows
/// it, has been compared as the archive was opened.
fn copy(
    archive: &Archive,
    output: &mut dyn Output,
    cancel: &Cancel,
    progress: &dyn Fn(u64, u64),
) -> Result<()> {
    let (size, preceding) = (archive.bytes(), &archive.manifest().preceding);
    let (mut done, mut hash) = (0u64, Sha256::new());
    each_block(&**archive.file(), size, cancel, &mut |block| {
        let before_manifest = usize::try_from(preceding.bytes.saturating_sub(done)).unwrap_or(usize::MAX);
        hash.update(&block[..block.len().min(before_manifest)]);
        output.write_all(block).map_err(|error| Error::io("can't write the new archive", error))?;
        done += block.len() as u64;
        progress(done, size);
        Ok(())
    })?;
    if <[u8; 32]>::from(hash.finalize()) != preceding.sha256.0 {
        return Err(Error::archive("the archive is damaged: its bytes are not those of its manifest")
            .with_hint("`dumprestore verify` names the entry; nothing was written"));
    }
    Ok(())
}

fn each_block(
    from: &dyn RangeRead,
    size: u64,
    cancel: &Cancel,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while at < size {
        cancel.check()?;
        let length = usize::try_from(size - at).unwrap_or(BLOCK).min(BLOCK);
        from.read_exact_at(&mut block[..length], at).map_err(unreadable)?;
        take(&block[..length])?;
        at += length as u64;
    }
    Ok(())
}

fn unreadable(error: io::Error) -> Error {
    Error::io("can't read the archive", error)
}

/// Counts and hashes what goes through it.
struct Counted {
    output: Box<dyn Output>,
    written: Arc<Mutex<(Sha256, u64)>>,
}

impl Output for Counted {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.0.update(bytes);
        written.1 += bytes.len() as u64;
        Ok(())
    }

    fn publish(self: Box<Self>) -> archive::Result<()> {
        self.output.publish()
    }

    fn abort(self: Box<Self>) {
        self.output.abort();
    }
}
