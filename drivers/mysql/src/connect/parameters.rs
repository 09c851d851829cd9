//! What a connection is made of, by the names that the client programs have for it.

use std::collections::BTreeMap;
use std::fmt;

use dumprestore_driver::{Error, Result, closest};

/// Parameters of a connection, by name.
#[derive(Clone, Default)]
pub(crate) struct Parameters(BTreeMap<&'static str, String>);

/// What is understood. Of option files, `protocol=tcp` is as well.
pub(super) const KNOWN: [&str; 11] = [
    "host",
    "port",
    "socket",
    "user",
    "password",
    "database",
    "ssl-mode",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "connect-timeout",
];

impl Parameters {
    /// A parameter's value. One that is empty counts as none, except for a password, which may be empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty() || name == "password")
    }

    /// Sets it, unless it is set already, or what is set names another place than this would.
    pub(crate) fn complete(&mut self, name: &'static str, value: impl Into<String>) {
        let elsewhere = match name {
            "socket" => {
                self.get("port").is_some()
                    || self.get("protocol").is_some()
                    || self.get("host").is_some_and(|host| host != "localhost")
            }
            "host" | "port" => self.get("socket").is_some(),
            _ => false,
        };
        if self.get(name).is_none() && !elsewhere {
            self.0.insert(name, value.into());
        }
    }

    /// Sets all that the other has, unless it is set already. A host comes first, for it says whether a socket is meant,
    /// and that whether a port is.
    pub(super) fn complete_from(&mut self, other: &Self) {
        let first = ["host", "protocol", "socket", "port"];
        let rest = other.0.keys().copied().filter(|name| !first.contains(name));
        for name in first.into_iter().chain(rest) {
            if let Some(value) = other.get(name) {
                self.complete(name, value);
            }
        }
    }

    /// Sets it.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// Sets what a URL calls `name`.
    ///
    /// # Errors
    /// If nobody knows such a parameter.
    pub(crate) fn set_named(&mut self, name: &str, value: String) -> Result<()> {
        let known = canonical(name).ok_or_else(|| unknown(name))?;
        self.set(known, value);
        Ok(())
    }
}

/// The name that a parameter has here: `sslmode` and `ssl_mode` are `ssl-mode`.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = plain(name);
    KNOWN.into_iter().find(|known| plain(known) == wanted)
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
    let error = Error::config(format!("there is no connection parameter `{name}`"));
    match closest(name, KNOWN) {
        Some(known) => error.with_hint(format!("did you mean `{known}`?")),
        None => error.with_hint(format!("there are `{}`", KNOWN.join("`, `"))),
    }
}

/// Which of `choices` a value is. Case does not matter, and `_` is as good as `-`.
pub(super) fn one_of(parameters: &Parameters, name: &str, choices: &[&str]) -> Result<Option<usize>> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    let value = value.replace('_', "-").to_ascii_lowercase();
    choices.iter().position(|choice| *choice == value).map(Some).ok_or_else(|| {
        Error::config(format!("the connection parameter `{name}` has no such value"))
            .with_hint(format!("it is one of `{}`", choices.join("`, `")))
    })
}
