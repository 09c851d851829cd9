//! The environment that the client programs of MySQL and MariaDB would look at.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Variables that those programs heed, by name. Other variables of the process are not taken in.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

/// Which variable gives which parameter. A host says whether a socket is meant, and that whether a port is.
pub(super) const VARIABLES: [(&str, &str); 4] = [
    ("MYSQL_HOST", "host"),
    ("MYSQL_UNIX_PORT", "socket"),
    ("MYSQL_TCP_PORT", "port"),
    ("MYSQL_PWD", "password"),
];

/// Not parameters, but looked at: for option files.
const OTHERS: [&str; 3] = ["HOME", "MYSQL_HOME", "MYSQL_GROUP_SUFFIX"];

/// In tests: the folder that stands for `/etc`.
pub(super) const SYSTEM_FOLDER: &str = "DUMPRESTORE_TEST_ETC";

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

    /// A variable's value. An empty one counts as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The folder that a user's own option file lies in.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from).or_else(std::env::home_dir)
    }

    /// The folder that the system's option files lie in.
    pub(super) fn system(&self) -> PathBuf {
        PathBuf::from(self.get(SYSTEM_FOLDER).unwrap_or("/etc"))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One of them is a password.
        f.debug_list().entries(self.0.keys()).finish()
    }
}
