//! Passphrases, and files with secrets.

use std::io::{self, Read};
use std::path::Path;

use age::secrecy::SecretString;
use dumprestore_driver::{Error, Result};
use zeroize::Zeroizing;

/// Longer than any file with keys; anything longer is a mistake.
const LONGEST: usize = 1 << 20;

/// What a stream holds, to be wiped when it is dropped. `what` is its name in errors.
pub(super) fn read_all(from: impl Read, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    // All at once: growing would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    from.take(LONGEST as u64 + 1).read_to_end(&mut content).map_err(|error| unreadable(what, error))?;
    if content.len() > LONGEST {
        return Err(Error::config(format!("{what} is longer than a file with keys")));
    }
    Ok(content)
}

/// The same of a file.
pub(super) fn read_file(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let named = format!("{what} `{}`", path.display());
    let file = std::fs::File::open(path).map_err(|error| unreadable(&named, error))?;
    read_all(file, &named)
}

fn unreadable(what: &str, error: io::Error) -> Error {
    Error::config(format!("can't read {what}")).with_source(error)
}

/// A passphrase, which nobody can have meant to be empty.
pub(super) fn passphrase(value: &str) -> Result<SecretString> {
    if value.is_empty() {
        return Err(Error::config("the passphrase is empty")
            .with_hint("check the variable or the file that it comes from"));
    }
    Ok(SecretString::from(value.to_owned()))
}
