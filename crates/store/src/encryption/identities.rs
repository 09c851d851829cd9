//! With what archives are decrypted.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use age::secrecy::SecretString;
use dumprestore_driver::{Error, Result};
use zeroize::Zeroizing;

use super::identity_file::parse;
use super::passphrase::{passphrase, read_all, read_file};

/// One key, or a passphrase.
pub(super) type Identity = Box<dyn age::Identity + Send + Sync>;

/// The most work that a passphrase may cost to whoever opens an archive, as a power of two; it takes 1 GiB then. Archives are
/// written with as much at the most.
const MOST_WORK: u8 = 20;

/// Where private keys come from. Each is read only when an encrypted archive is opened, and wiped from memory then.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentitySource {
    /// A file: keys of age, one a line; a private SSH key; or such a file, encrypted with a passphrase.
    File(PathBuf),
    /// The same, as the value of a variable of that name.
    Variable {
        /// The name of the variable.
        name: String,
        /// What it holds, if it is set.
        value: Option<Zeroizing<String>>,
    },
    /// The same, as what a program prints. The first is the program; no shell is used.
    Command(Vec<String>),
}

/// No key and no value: only where they come from.
impl fmt::Debug for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentitySource({self})")
    }
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the identity file `{}`", path.display()),
            Self::Variable { name, .. } => write!(f, "the variable `{name}`"),
            // Of the arguments nobody knows whether they are secret.
            Self::Command(argv) => {
                write!(f, "what `{}` prints", argv.first().map_or("", String::as_str))
            }
        }
    }
}

/// Private keys and passphrases: what opens encrypted archives. Cheap to clone.
#[derive(Clone, Default)]
pub struct Identities(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sources: Vec<IdentitySource>,
    archive: Option<SecretString>,
    keys: Option<SecretString>,
    /// What is tried if none of these fits.
    others: Option<Identities>,
    loaded: OnceLock<Vec<Identity>>,
    /// Held while they are read and while a header is opened: a program asks for its PIN once, and what a passphrase costs
    /// in memory is needed once, however many archives are looked at.
    busy: Mutex<()>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identities").field(&self.0.sources).finish()
    }
}

impl Identities {
    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// From there.
    pub fn from(sources: impl IntoIterator<Item = IdentitySource>) -> Self {
        Self(Arc::new(Inner { sources: sources.into_iter().collect(), ..Inner::default() }))
    }

    /// And this passphrase, for archives that are encrypted with one.
    ///
    /// # Errors
    /// If it is empty.
    pub fn and_passphrase(self, value: &str) -> Result<Self> {
        let archive = Some(passphrase(value)?);
        Ok(self.with(|inner| inner.archive = archive))
    }

    /// And this passphrase, which protects the private keys themselves.
    ///
    /// # Errors
    /// If it is empty.
    pub fn protected_by(self, value: &str) -> Result<Self> {
        let keys = Some(passphrase(value)?);
        Ok(self.with(|inner| inner.keys = keys))
    }

    /// And those, if none of these fits: they are read only then.
    pub fn or(self, others: Self) -> Self {
        self.with(|inner| inner.others = Some(others))
    }

    /// What is tried if none of these fits.
    pub(super) fn others(&self) -> Option<&Self> {
        self.0.others.as_ref()
    }

    /// Whether there is nothing among these themselves.
    pub(super) fn has_none(&self) -> bool {
        self.0.sources.is_empty() && self.0.archive.is_none()
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner {
            sources: self.0.sources.clone(),
            archive: self.0.archive.clone(),
            keys: self.0.keys.clone(),
            others: self.0.others.clone(),
            loaded: OnceLock::new(),
            busy: Mutex::default(),
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Whether there is nothing to decrypt with.
    pub fn is_empty(&self) -> bool {
        self.has_none() && self.others().is_none_or(Self::is_empty)
    }

    /// How many there are, as far as they have been read.
    pub(super) fn len(&self) -> usize {
        self.0.loaded.get().map_or(0, Vec::len)
    }

    /// One after the other: see `busy`.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.0.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads them, once: who calls it has to be [`alone`](Self::alone). A program that asks for a PIN asks once.
    pub(super) fn load(&self) -> Result<&[Identity]> {
        if let Some(loaded) = self.0.loaded.get() {
            return Ok(loaded);
        }
        let mut all: Vec<Identity> = Vec::new();
        for source in &self.0.sources {
            let content = source.read()?;
            all.extend(parse(&content, &source.to_string(), self.0.keys.as_ref())?);
        }
        if let Some(passphrase) = &self.0.archive {
            let mut one = age::scrypt::Identity::new(passphrase.clone());
            one.set_max_work_factor(MOST_WORK);
            all.push(Box::new(one));
        }
        Ok(self.0.loaded.get_or_init(|| all))
    }
}

impl IdentitySource {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::File(path) => read_file(path, "the identity file"),
            Self::Variable { name, value } => match value {
                Some(value) => Ok(Zeroizing::new(value.as_bytes().to_vec())),
                None => Err(Error::config(format!(
                    "the variable `{name}` is not set, from which an identity is to come"
                ))
                .with_hint("set it to what the identity file holds: `export NAME=\"$(cat key.txt)\"`")),
            },
            Self::Command(argv) => run(argv, &self.to_string()),
        }
    }
}

/// What a program prints. What it says on standard error, people see: it may ask them for something.
fn run(argv: &[String], what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let (program, arguments) = argv
        .split_first()
        .filter(|(program, _)| !program.is_empty())
        .ok_or_else(|| Error::config("an identity is to come from a command that names no program"))?;
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(
            |error| {
                Error::config(format!("can't start `{program}`, which is to print an identity"))
                    .with_source(error)
            },
        )?;
    let read = child.stdout.take().map_or_else(|| Ok(Zeroizing::default()), |out| read_all(out, what));
    if read.is_err() {
        // It may never end by itself, for nobody reads what it prints.
        let _ = child.kill();
    }
    let ended = child.wait().map_err(|error| Error::io(format!("can't wait for `{program}`"), error))?;
    let content = read?;
    if !ended.success() {
        return Err(Error::config(format!("`{program}`, which is to print an identity, failed: {ended}")));
    }
    Ok(content)
}
