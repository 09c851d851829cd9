//! The environment: every variable that is read stands here, and only here is it read.

use std::ffi::OsString;
use std::path::PathBuf;

use dumprestore::{Environment, Error, Result};
use dumprestore_store::IdentitySource;

/// Set to anything but nothing: no colour. See <https://no-color.org>.
const NO_COLOR: &str = "NO_COLOR";
/// The kind of terminal; `dumb` has neither colour nor a cursor that moves.
const TERM: &str = "TERM";

/// Variables in which applications are given the URL of their database: `init` looks for them.
pub(crate) const DATABASE_URLS: [&str; 12] = [
    "DATABASE_URL",
    "POSTGRES_URL",
    "POSTGRESQL_URL",
    "MYSQL_URL",
    "MARIADB_URL",
    "JAWSDB_URL",
    "JAWSDB_MARIA_URL",
    "CLEARDB_DATABASE_URL",
    "REDIS_URL",
    "VALKEY_URL",
    "REDISCLOUD_URL",
    "CELERY_BROKER_URL",
];
/// Variables that every client of PostgreSQL heeds, and the parameters that they stand for: `init` looks for them.
pub(crate) const LIBPQ: [(&str, &str); 5] = [
    ("PGSERVICE", "service"),
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGDATABASE", "dbname"),
];

/// An identity that opens encrypted archives: what `age-keygen` prints.
const IDENTITY: &str = "DUMPRESTORE_IDENTITY";
/// A file with one.
const IDENTITY_FILE: &str = "DUMPRESTORE_IDENTITY_FILE";
/// The passphrase of archives that are encrypted with one.
const PASSPHRASE: &str = "DUMPRESTORE_PASSPHRASE";

/// What the environment says of identities.
pub(crate) fn identities() -> Vec<IdentitySource> {
    let file = std::env::var_os(IDENTITY_FILE).filter(|path| !path.is_empty());
    let value = std::env::var(IDENTITY).ok().filter(|value| !value.is_empty());
    let variable =
        value.map(|value| IdentitySource::Variable { name: IDENTITY.to_owned(), value: Some(value.into()) });
    file.map(|path| IdentitySource::File(path.into())).into_iter().chain(variable).collect()
}

/// The passphrase of archives, if the environment has one.
pub(crate) fn passphrase() -> Option<String> {
    std::env::var(PASSPHRASE).ok().filter(|value| !value.is_empty())
}

/// The environment of this process, for `${VARIABLE}` in configurations. It never changes while a command runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Whether colour is unwanted, or would not show.
pub(crate) fn forbids_color() -> bool {
    std::env::var_os(NO_COLOR).is_some_and(|value| !value.is_empty()) || is_dumb()
}

/// Whether the terminal can't redraw a line.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os(TERM).is_some_and(|term| term == "dumb")
}

/// The command line, with the program's name first.
pub(crate) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// The folder that the command was run in.
pub(crate) fn current_folder() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::io("can't tell the current folder", error))
}
