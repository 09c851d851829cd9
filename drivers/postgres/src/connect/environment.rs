//! The environment that libpq would look at.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Variables of libpq, by name. Other variables of the process are not taken in.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

/// Which variable gives which parameter.
pub(crate) const VARIABLES: [(&str, &str); 28] = [
    ("PGSERVICE", "service"),
    ("PGSERVICEFILE", "servicefile"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGOPTIONS", "options"),
    ("PGAPPNAME", "application_name"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLSNI", "sslsni"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
];

/// Not parameters, but looked at: for files that libpq finds by itself, and for programs.
const OTHERS: [&str; 3] = ["HOME", "PGSYSCONFDIR", "PATH"];

impl Environment {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        let names = VARIABLES.iter().map(|(name, _)| *name).chain(OTHERS);
        Self(names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect())
    }

    /// These variables and no others.
    pub(crate) fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// A variable's value. An empty one counts as none, as in libpq.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The folder that libpq's own files of a user lie in.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from).or_else(std::env::home_dir)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One of them is a password.
        f.debug_list().entries(self.0.keys()).finish()
    }
}
