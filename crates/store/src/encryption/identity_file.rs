//! Files with private keys, in the forms that people have them.

use std::io::BufReader;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{Decryptor, IdentityFile, ssh};
use dumprestore_driver::{Error, Result};

use super::identities::Identity;
use super::passphrase::read_all;

/// The most work that a passphrase of a file with keys may cost, as a power of two.
const MOST_WORK: u8 = 22;

/// The identities in `content`. Errors say what is wrong with it, and repeat nothing of it.
pub(super) fn parse(content: &[u8], name: &str, passphrase: Option<&SecretString>) -> Result<Vec<Identity>> {
    let begins = |with: &str| content.trim_ascii_start().starts_with(with.as_bytes());
    if begins("age-encryption.org/") || begins("-----BEGIN AGE ENCRYPTED FILE-----") {
        let content = decrypt(content, name, passphrase)?;
        return plain(&content, name, passphrase);
    }
    plain(content, name, passphrase)
}

fn plain(content: &[u8], name: &str, passphrase: Option<&SecretString>) -> Result<Vec<Identity>> {
    if content.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Ok(vec![of_ssh(content.trim_ascii_start(), name, passphrase)?]);
    }
    let parsed = IdentityFile::from_buffer(content)
        .and_then(|file| file.into_identities().map_err(std::io::Error::other));
    // What age says has a line's number at the most.
    let identities = parsed.map_err(|error| {
        Error::config(format!("{name} holds no identities")).with_source(error).with_hint(
            "an identity file has lines that begin with `AGE-SECRET-KEY-1`, or is a private SSH key; those of plugins are not known",
        )
    })?;
    if identities.is_empty() {
        return Err(
            Error::config(format!("{name} holds no identity")).with_hint("make one with `age-keygen`")
        );
    }
    Ok(identities)
}

fn of_ssh(content: &[u8], name: &str, passphrase: Option<&SecretString>) -> Result<Identity> {
    let key = ssh::Identity::from_buffer(content, None).map_err(|_| {
        Error::config(format!("{name} is not a private SSH key that can be read"))
            .with_hint("Ed25519 and RSA keys can be used")
    })?;
    match key {
        ssh::Identity::Unencrypted(_) => Ok(Box::new(key)),
        ssh::Identity::Encrypted(locked) => {
            let passphrase = passphrase.ok_or_else(|| locked_by_passphrase(name))?;
            let key = locked.decrypt(passphrase.clone()).map_err(|_| wrong_passphrase(name))?;
            Ok(Box::new(ssh::Identity::from(key)))
        }
        ssh::Identity::Unsupported(_) => {
            Err(Error::config(format!("{name} is an SSH key of a kind that can't decrypt"))
                .with_hint("Ed25519 and RSA keys can; keys on hardware tokens and in agents can't"))
        }
    }
}

fn locked_by_passphrase(name: &str) -> Error {
    Error::config(format!("{name} is protected by a passphrase"))
        .with_hint("give it as `archive.encryption.identity_passphrase`")
}

fn wrong_passphrase(name: &str) -> Error {
    Error::config(format!("the passphrase of {name} is wrong"))
}

/// A file with keys that is itself encrypted, with a passphrase, as `age -p` makes it.
fn decrypt(
    content: &[u8],
    name: &str,
    passphrase: Option<&SecretString>,
) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let damaged = || Error::config(format!("{name} is encrypted, and damaged"));
    let decryptor = Decryptor::new(ArmoredReader::new(BufReader::new(content))).map_err(|_| damaged())?;
    if !decryptor.is_scrypt() {
        return Err(Error::config(format!("{name} is encrypted, but not with a passphrase"))
            .with_hint("name the file with the private key itself"));
    }
    let passphrase = passphrase.ok_or_else(|| locked_by_passphrase(name))?;
    let mut one = age::scrypt::Identity::new(passphrase.clone());
    one.set_max_work_factor(MOST_WORK);
    let reader =
        decryptor.decrypt(std::iter::once(&one as &dyn age::Identity)).map_err(|error| match error {
            age::DecryptError::DecryptionFailed => wrong_passphrase(name),
            _ => damaged(),
        })?;
    read_all(reader, name)
}
