//! `archive.encryption` of a configuration.

use std::path::PathBuf;

use dumprestore_driver::{BuildContext, Error, Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::recipients::of_file;
use super::{Encryption, Identities, IdentitySource};

/// Encryption of archives with age: to recipients, or with a passphrase.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EncryptionOptions {
    /// Who can decrypt: `age1...`, `ssh-ed25519 ...` or `ssh-rsa ...`, each by itself.
    pub recipients: Vec<String>,
    /// Files with recipients, one a line.
    pub recipients_files: Vec<PathBuf>,
    /// In place of recipients: a passphrase, which encrypts and decrypts.
    pub passphrase: Option<Secret>,
    /// How much work the passphrase costs, as a power of two from 10 to 20; 18 if nothing is said, which takes 256 MiB.
    pub work_factor: Option<u8>,
    /// What decrypts archives. Looked for only when an encrypted archive is read, so that it need not be where dumps are made.
    pub identities: Vec<IdentityOption>,
    /// The passphrase that protects these identities, if one does.
    pub identity_passphrase: Option<Secret>,
}

/// Where an identity comes from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdentityOption {
    /// A file: what `age-keygen` makes, a private SSH key, or such a file encrypted with a passphrase.
    File(PathBuf),
    /// The name of a variable that holds what such a file would.
    Variable(String),
    /// A program and its arguments: it prints what such a file would.
    Command(Vec<String>),
}

impl EncryptionOptions {
    /// To these recipients, and those of these files, one a line.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if one is not understood, or a file can't be read.
    pub fn of_recipients(recipients: &[String], files: &[PathBuf]) -> Result<Encryption> {
        let mut all = recipients.to_vec();
        for file in files {
            all.extend(of_file(file)?);
        }
        Encryption::to(all.iter().map(String::as_str))
    }

    /// To whom archives are encrypted, if they are. Reads files of recipients and of the passphrase.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if both recipients and a passphrase are given, or
    /// something can't be read.
    pub fn encryption(&self, cx: &BuildContext) -> Result<Option<Encryption>> {
        let mut recipients = self.recipients.clone();
        for file in &self.recipients_files {
            recipients.extend(of_file(&cx.path(file))?);
        }
        match (&self.passphrase, recipients.is_empty()) {
            (Some(_), false) => {
                Err(Error::config("archives are encrypted to recipients or with a passphrase, not both")
                    .with_hint("leave out `passphrase`, or `recipients` and `recipients_files`"))
            }
            (Some(passphrase), true) => {
                Encryption::with_passphrase(passphrase.reveal(cx)?.expose(), self.work_factor).map(Some)
            }
            (None, _) if self.work_factor.is_some() => {
                Err(Error::config("a work factor is that of a passphrase, and there is none")
                    .with_hint("leave out `work_factor`"))
            }
            (None, false) => Encryption::to(recipients.iter().map(String::as_str)).map(Some),
            (None, true) => Ok(None),
        }
    }

    /// What decrypts archives. Of the identities nothing is read before one is needed; `variable` gives the value of a
    /// variable of the environment.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if a passphrase is in a file that can't be read.
    pub fn identities(
        &self,
        cx: &BuildContext,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Identities> {
        let source = |option: &IdentityOption| match option {
            IdentityOption::File(path) => IdentitySource::File(cx.path(path)),
            IdentityOption::Variable(name) => {
                IdentitySource::Variable { name: name.clone(), value: variable(name).map(Zeroizing::new) }
            }
            IdentityOption::Command(argv) => IdentitySource::Command(argv.clone()),
        };
        let mut identities = Identities::from(self.identities.iter().map(source));
        if let Some(passphrase) = &self.passphrase {
            identities = identities.and_passphrase(passphrase.reveal(cx)?.expose())?;
        }
        if let Some(passphrase) = &self.identity_passphrase {
            identities = identities.protected_by(passphrase.reveal(cx)?.expose())?;
        }
        Ok(identities)
    }
}
