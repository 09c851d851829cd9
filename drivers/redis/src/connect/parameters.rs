//! What a URL says of a connection.

use std::collections::BTreeMap;
use std::fmt;

use dumprestore_driver::{Error, Result, closest};

/// The parts of a URL and its parameters, by name.
#[derive(Clone, Default)]
pub(super) struct Parameters(BTreeMap<&'static str, String>);

/// The parameters that are understood.
const KNOWN: [&str; 8] =
    ["db", "user", "password", "tls-ca", "tls-cert", "tls-key", "tls-verify", "connect-timeout"];

/// What clients of applications call the same.
const ALIASES: [(&str, &str); 9] = [
    ("database", "db"),
    ("username", "user"),
    ("sslcacerts", "tls-ca"),
    ("sslcafile", "tls-ca"),
    ("sslcertfile", "tls-cert"),
    ("sslkeyfile", "tls-key"),
    ("sslcertreqs", "tls-verify"),
    ("cacert", "tls-ca"),
    ("socketconnecttimeout", "connect-timeout"),
];

/// What such clients write into the URLs of applications, and is of no concern here.
const OF_CLIENTS: [&str; 13] = [
    "clientname",
    "decoderesponses",
    "encoding",
    "healthcheckinterval",
    "maxconnections",
    "poolsize",
    "pool",
    "prefix",
    "protocol",
    "retryontimeout",
    "sockettimeout",
    "timeout",
    "virtualhost",
];

impl Parameters {
    /// The value of one. An empty value counts as none, except for a password, which may be empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty() || name == "password")
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// Sets what a URL calls `name`.
    ///
    /// # Errors
    /// If nobody knows such a parameter.
    pub(super) fn set_named(&mut self, name: &str, value: String) -> Result<()> {
        let plain = plain(name);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == plain).map(|(_, known)| *known);
        let known = alias.or_else(|| KNOWN.into_iter().find(|known| self::plain(known) == plain));
        match known {
            Some(known) => self.set(known, value),
            None if OF_CLIENTS.contains(&plain.as_str()) => {}
            None => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Which of `choices` a value is. Case does not matter.
    pub(super) fn one_of(&self, name: &str, choices: &[(&str, usize)]) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let value = value.to_ascii_lowercase();
        match choices.iter().find(|(choice, _)| *choice == value) {
            Some((_, meant)) => Ok(Some(*meant)),
            None => Err(Error::config(format!("the parameter `{name}` of `url` has no such value"))
                .with_hint("it is one of `full`, `ca`, `none`")),
        }
    }
}

/// `tls-ca`, `tls_ca` and `tlsCA` are the same.
fn plain(name: &str) -> String {
    name.replace(['-', '_'], "").to_ascii_lowercase()
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

fn unknown(name: &str) -> Error {
    // A part of a password could look like a name.
    let harmless = name.len() <= 30
        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-')
        && !name.is_empty();
    if !harmless {
        return Error::config("`url` has something after its `?` that is no parameter")
            .with_hint("write a `?` of a password as `%3F`, or use the option `password`");
    }
    let error = Error::config(format!("`url` has a parameter `{name}`, which is not known"));
    match closest(name, KNOWN) {
        Some(known) => error.with_hint(format!("did you mean `{known}`?")),
        None => error.with_hint(format!("there are `{}`", KNOWN.join("`, `"))),
    }
}
