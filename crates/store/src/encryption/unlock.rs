//! Getting the key of a file from its header.

use std::cell::RefCell;

use age::{DecryptError, Decryptor};
use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use dumprestore_driver::{Error, ErrorKind, Result};

use super::Identities;
use super::identities::Identity;
use super::kinds::Kinds;

/// Unlocks the file that begins with `head`.
///
/// # Errors
/// [`ErrorKind::Archive`](dumprestore_driver::ErrorKind::Archive) if the header is damaged,
/// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if no identity fits, with what would.
pub(super) fn unlock(head: &[u8], identities: &Identities) -> Result<FileKey> {
    let Some(others) = identities.others() else { return unlock_with(head, identities) };
    if identities.has_none() {
        return unlock(head, others);
    }
    match unlock_with(head, identities) {
        Err(error) if error.kind() == ErrorKind::Config => unlock(head, others).map_err(|other| match other
            .kind()
        {
            ErrorKind::Config if !others.is_empty() => error.with_context("and what else there is", other),
            ErrorKind::Config => error,
            _ => other,
        }),
        unlocked => unlocked,
    }
}

fn unlock_with(head: &[u8], identities: &Identities) -> Result<FileKey> {
    let decryptor = Decryptor::new_buffered(head).map_err(|error| unreadable(&error))?;
    let _alone = identities.alone();
    let trial = Trial { identities: identities.load()?, seen: RefCell::default(), found: RefCell::default() };
    let opened = decryptor.decrypt(std::iter::once(&trial as &dyn age::Identity)).map(drop);
    let kinds = trial.seen.into_inner();
    match (opened, trial.found.into_inner()) {
        (Ok(()), Some(key)) => Ok(key),
        (Ok(()), None) => Err(Error::defect("an archive was decrypted without a key")),
        (Err(error), _) => Err(refused(&error, &kinds, identities)),
    }
}

fn unreadable(error: &DecryptError) -> Error {
    match error {
        DecryptError::UnknownFormat => {
            Error::archive("the archive is encrypted in a later version of age, which this one can't read")
                .with_hint("update dumprestore")
        }
        _ => damaged(),
    }
}

fn damaged() -> Error {
    Error::archive("the header of the encrypted archive is damaged")
        .with_hint("take another copy of it: without its header nobody can decrypt an archive")
}

fn refused(error: &DecryptError, kinds: &Kinds, identities: &Identities) -> Error {
    match error {
        DecryptError::NoMatchingKeys => kinds.unmatched(identities),
        // Only a passphrase is tried on whatever it may be for.
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Error::config(format!("the archive is encrypted {kinds}, and what was given does not open it"))
                .with_hint(
                    "check the passphrase, and that the variable or file that it comes from is the right one",
                )
        }
        DecryptError::ExcessiveWork { required, .. } => Error::archive(format!(
            "the archive's passphrase was made to cost too much work (a factor of {required})"
        ))
        .with_hint("decrypt it with the program `age` on a machine that has the memory"),
        _ => damaged(),
    }
}

/// Tries one identity after the other, and notes what it sees.
struct Trial<'a> {
    identities: &'a [Identity],
    seen: RefCell<Kinds>,
    found: RefCell<Option<FileKey>>,
}

impl age::Identity for Trial<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        *self.seen.borrow_mut() = Kinds::of(stanzas);
        let mut failed = None;
        for identity in self.identities {
            match identity.unwrap_stanzas(stanzas) {
                Some(Ok(key)) => {
                    *self.found.borrow_mut() = Some(copy(&key));
                    return Some(Ok(key));
                }
                // Another one may fit.
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
        }
        failed.map(Err)
    }
}

/// Made where it stays: nothing is left on the stack that is not wiped.
pub(super) fn copy(key: &FileKey) -> FileKey {
    FileKey::init_with_mut(|copy| copy.copy_from_slice(key.expose_secret()))
}

/// Knows the key already.
pub(super) struct Opener(pub(super) FileKey);

impl age::Identity for Opener {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        Some(Ok(copy(&self.0)))
    }
}
