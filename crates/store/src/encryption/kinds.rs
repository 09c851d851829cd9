//! To what kinds of recipients a file is encrypted, for people who have no key that fits.

use std::fmt;

use age_core::format::Stanza;
use dumprestore_driver::Error;

use super::Identities;

/// The recipients of a header. It does not say who they are, only of what kind.
#[derive(Default)]
pub(super) struct Kinds {
    passphrase: bool,
    native: usize,
    ssh: Vec<&'static str>,
    other: Vec<String>,
}

impl Kinds {
    pub(super) fn of(stanzas: &[Stanza]) -> Self {
        let mut kinds = Self::default();
        for stanza in stanzas {
            match stanza.tag.as_str() {
                "scrypt" => kinds.passphrase = true,
                "X25519" => kinds.native += 1,
                "ssh-ed25519" => kinds.ssh.push("ssh-ed25519"),
                "ssh-rsa" => kinds.ssh.push("ssh-rsa"),
                // Put in by writers so that readers learn to pass over what they don't know.
                tag if tag.ends_with("-grease") => {}
                tag => kinds.other.push(tag.escape_debug().take(40).collect()),
            }
        }
        kinds
    }

    /// None of what there is opens it.
    pub(super) fn unmatched(&self, identities: &Identities) -> Error {
        let tried = match identities.len() {
            0 => "no identity was given".to_owned(),
            1 => "the one identity that was given is none of these".to_owned(),
            many => format!("none of the {many} identities that were given is one of these"),
        };
        Error::config(format!("the archive is encrypted {self}: {tried}")).with_hint(self.hint())
    }

    fn hint(&self) -> &'static str {
        if self.passphrase {
            "give the passphrase: `archive.encryption.passphrase`, or the variable `DUMPRESTORE_PASSPHRASE`"
        } else if self.native == 0 && !self.ssh.is_empty() {
            "give the private SSH key of a recipient: `archive.encryption.identities`, or `--identity FILE`"
        } else if self.native == 0 && !self.other.is_empty() {
            "plugins are not known here: decrypt it with the program `age` and its plugin"
        } else {
            "give the private key of a recipient: `archive.encryption.identities`, or `--identity FILE`"
        }
    }
}

/// `to 2 X25519 recipients and 1 ssh-rsa recipient`, `with a passphrase`.
impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passphrase {
            return f.write_str("with a passphrase");
        }
        let mut counts = vec![("X25519", self.native)];
        let others = self.ssh.iter().copied().chain(self.other.iter().map(String::as_str));
        for kind in others {
            match counts.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((kind, 1)),
            }
        }
        counts.retain(|(_, count)| *count > 0);
        f.write_str("to ")?;
        for (at, (kind, count)) in counts.iter().enumerate() {
            let joint = if at == 0 { "" } else { " and " };
            let end = if *count == 1 { "" } else { "s" };
            write!(f, "{joint}{count} {kind} recipient{end}")?;
        }
        if counts.is_empty() { f.write_str("no recipient that is known here") } else { Ok(()) }
    }
}
