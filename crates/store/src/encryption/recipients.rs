//! To whom archives are encrypted.

use std::fmt;
use std::io::Write;
use std::path::Path;

use age::secrecy::{ExposeSecret, SecretString};
use age::stream::StreamWriter;
use age::{Encryptor, ssh, x25519};
use dumprestore_archive::Output;
use dumprestore_driver::{Error, Result};

use super::EncryptedOutput;
use super::passphrase::{passphrase, read_file};
use super::position::HEAD;

/// How much work a passphrase costs if nobody says otherwise, as a power of two: what the program `age` takes. Half a
/// second or so, and 256 MiB for that long, to whoever writes, reads or guesses.
const WORK_FACTOR: u8 = 18;
/// Less is no hindrance; more takes gigabytes, and the program `age` would refuse it.
const WORK_FACTORS: std::ops::RangeInclusive<u8> = 10..=20;
/// How private keys of age begin.
const PRIVATE: &str = "AGE-SECRET-KEY-";

/// To whom new archives are encrypted: to recipients, whose private keys need not be anywhere near, or with a passphrase.
///
/// Its `Debug` shows no key.
#[derive(Clone)]
pub struct Encryption(Wrapping);

#[derive(Clone)]
enum Wrapping {
    Recipients(Vec<Recipient>),
    Passphrase { passphrase: SecretString, work_factor: u8 },
}

#[derive(Clone)]
enum Recipient {
    Native(x25519::Recipient),
    Ssh(ssh::Recipient),
}

impl Encryption {
    /// To recipients, each written as `age1…`, `ssh-ed25519 …` or `ssh-rsa …`. Any one of them can decrypt.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if there is none, or one is not understood.
    pub fn to<'a>(recipients: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let recipients: Vec<_> = recipients.into_iter().map(parse).collect::<Result<_>>()?;
        if recipients.is_empty() {
            return Err(Error::config("there is no recipient to encrypt to")
                .with_hint("name at least one, such as what `age-keygen -y` prints"));
        }
        let (count, made) = (recipients.len(), Self(Wrapping::Recipients(recipients)));
        let mut head = Vec::new();
        drop(made.begin(&mut head)?);
        if head.len() as u64 > HEAD {
            return Err(Error::config(format!(
                "{count} recipients are more than an archive can be read for"
            ))
            .with_hint("name fewer, or a key that several of them share"));
        }
        Ok(made)
    }

    /// With a passphrase. The work factor is a power of two from 10 to 20, 18 if nothing is said: one more takes twice
    /// the time and the memory, here and for whoever guesses.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if the passphrase is empty, or the work factor out of
    /// bounds.
    pub fn with_passphrase(value: &str, work_factor: Option<u8>) -> Result<Self> {
        let work_factor = work_factor.unwrap_or(WORK_FACTOR);
        if !WORK_FACTORS.contains(&work_factor) {
            let (least, most) = WORK_FACTORS.into_inner();
            return Err(Error::config(format!("a work factor of {work_factor} is not possible"))
                .with_hint(format!("it is from {least} to {most}; each one more doubles time and memory")));
        }
        Ok(Self(Wrapping::Passphrase { passphrase: passphrase(value)?, work_factor }))
    }

    /// Makes `output` an encrypted one.
    ///
    /// # Errors
    /// If the beginning of the file can't be written.
    pub fn wrap(&self, output: Box<dyn Output>) -> Result<Box<dyn Output>> {
        Ok(Box::new(EncryptedOutput::new(output, self)?))
    }

    /// Writes the beginning of an encrypted file, and gives what encrypts the rest.
    pub(super) fn begin<W: Write>(&self, output: W) -> Result<StreamWriter<W>> {
        let encryptor = match &self.0 {
            Wrapping::Recipients(recipients) => {
                Encryptor::with_recipients(recipients.iter().map(Recipient::age))
            }
            Wrapping::Passphrase { passphrase, work_factor } => {
                let mut one =
                    age::scrypt::Recipient::new(SecretString::from(passphrase.expose_secret().to_owned()));
                one.set_work_factor(*work_factor);
                Encryptor::with_recipients(std::iter::once(&one as &dyn age::Recipient))
            }
        };
        let encryptor = encryptor
            .map_err(|error| Error::config("these recipients can't be encrypted to").with_source(error))?;
        encryptor.wrap_output(output).map_err(|error| Error::io("can't write the encrypted archive", error))
    }
}

/// What it is, without any key: `3 recipients`, `a passphrase`.
impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Wrapping::Recipients(all) if all.len() == 1 => f.write_str("1 recipient"),
            Wrapping::Recipients(all) => write!(f, "{} recipients", all.len()),
            Wrapping::Passphrase { .. } => f.write_str("a passphrase"),
        }
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encryption({self})")
    }
}

impl Recipient {
    fn age(&self) -> &dyn age::Recipient {
        match self {
            Self::Native(one) => one,
            Self::Ssh(one) => one,
        }
    }
}

fn parse(text: &str) -> Result<Recipient> {
    let text = text.trim();
    if text.to_ascii_uppercase().starts_with(PRIVATE) || text.contains("PRIVATE KEY") {
        // It is not repeated here: this goes to logs.
        return Err(Error::config("a private key stands where a recipient is wanted").with_hint(
            "write its public half, which `age-keygen -y` prints, and take this one for disclosed",
        ));
    }
    if text.starts_with("ssh-") {
        return text.parse().map(Recipient::Ssh).map_err(|error| refused_ssh(text, &error));
    }
    text.parse().map(Recipient::Native).map_err(|_| {
        Error::config(format!("`{}` is no recipient", text.escape_debug())).with_hint(
            "a recipient is written as `age1...`, `ssh-ed25519 ...` or `ssh-rsa ...`; those of plugins are not known",
        )
    })
}

fn refused_ssh(text: &str, error: &ssh::ParseRecipientKeyError) -> Error {
    use ssh::ParseRecipientKeyError as Refused;
    let kind = text.split_whitespace().next().unwrap_or(text);
    let why = match error {
        Refused::RsaModulusTooSmall => "has fewer than 2048 bits".to_owned(),
        Refused::RsaModulusTooLarge => "has more bits than can be used".to_owned(),
        Refused::Unsupported(kind) => {
            format!("is of the kind `{}`, which can't encrypt", kind.escape_debug())
        }
        _ => "is not written as it should be".to_owned(),
    };
    Error::config(format!("a recipient `{} ...` {why}", kind.escape_debug()))
        .with_hint("copy the whole line of an Ed25519 key, or of an RSA key, from its `.pub` file")
}

/// The recipients of a file: one a line, as age has it; empty lines and those that begin with `#` count for nothing.
pub(super) fn of_file(path: &Path) -> Result<Vec<String>> {
    let content = read_file(path, "the file of recipients")?;
    let text = std::str::from_utf8(&content).map_err(|_| {
        Error::config("a file of recipients is not text").with_context("file", path.display())
    })?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let checked = lines.map(|(at, line)| match parse(line) {
        Ok(_) => Ok(line.to_owned()),
        Err(error) => Err(error.with_context("file", path.display()).with_context("line", at + 1)),
    });
    let all: Vec<String> = checked.collect::<Result<_>>()?;
    if all.is_empty() {
        return Err(Error::config("a file of recipients has none").with_context("file", path.display()));
    }
    Ok(all)
}
