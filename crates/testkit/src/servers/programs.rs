//! Where the programs of a server are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Account;

/// The folder with the programs of one version of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs(PathBuf);

impl Programs {
    /// The first of the folders that has `program`; otherwise that of `name` among the servers that
    /// `scripts/install-test-tools.sh` installs.
    ///
    /// # Panics
    /// If there is none: a missing server fails the test.
    pub fn find(name: &str, program: &str, folders: &[&str]) -> Self {
        let installed = servers_folder().join(name).join("bin");
        folders
            .iter()
            .map(PathBuf::from)
            .chain([installed.clone()])
            .find(|folder| folder.join(program).is_file())
            .map(|folder| Self(folder.canonicalize().unwrap_or(folder)))
            .unwrap_or_else(|| {
                panic!(
                    "there is no `{program}` of {name} in {} or {}: run ./scripts/install-test-tools.sh",
                    folders.join(", "),
                    installed.display()
                )
            })
    }

    /// The path of one of them, if it is there: some versions come without clients.
    pub fn path(&self, program: &str) -> Option<PathBuf> {
        let path = self.0.join(program);
        path.is_file().then_some(path)
    }

    /// A command that runs one of them as the servers' user.
    ///
    /// # Panics
    /// If it is not there.
    pub fn command(&self, program: &str) -> Command {
        let path = self.path(program);
        let mut command =
            Command::new(path.unwrap_or_else(|| panic!("no `{program}` in {}", self.0.display())));
        for (name, value) in self.variables() {
            command.env(name, value);
        }
        Account::of_servers().of(&mut command);
        command
    }

    /// What they need in their environment.
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let libraries = self.0.parent().unwrap_or(Path::new("/")).join("lib");
        // Debian's find theirs by themselves.
        let own = self.0.starts_with(servers_folder().canonicalize().unwrap_or_default());
        if own { vec![("LD_LIBRARY_PATH", libraries)] } else { Vec::new() }
    }
}

/// Where further versions of servers are installed: `target/test-servers`, or `DUMPRESTORE_TEST_SERVERS`.
pub(crate) fn servers_folder() -> PathBuf {
    match std::env::var_os("DUMPRESTORE_TEST_SERVERS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-servers"),
    }
}
