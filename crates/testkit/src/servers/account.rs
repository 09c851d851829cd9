//! The user that servers run as.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// `nobody`, on every system.
const NOBODY: u32 = 65_534;

/// An ordinary user: servers refuse to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Who runs the tests.
    Own,
    /// `nobody`, for tests that root runs.
    Nobody,
}

impl Account {
    /// The one to run servers as.
    pub fn of_servers() -> Self {
        if rustix::process::geteuid().is_root() { Self::Nobody } else { Self::Own }
    }

    /// Has a command run as that user.
    pub fn of(self, command: &mut Command) -> &mut Command {
        match self {
            Self::Own => command,
            Self::Nobody => command.uid(NOBODY).gid(NOBODY).current_dir("/"),
        }
    }

    /// What to put before the arguments of a command that runs as that user.
    pub fn prefix(self) -> Vec<String> {
        match self {
            Self::Own => Vec::new(),
            Self::Nobody => {
                let id = NOBODY.to_string();
                ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"].map(str::to_owned).into()
            }
        }
    }

    /// Gives that user a file or a folder, with that mode.
    pub fn give(self, path: &Path, mode: u32) {
        if self == Self::Nobody {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root gives files away");
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of our own");
    }

    /// Its name among others.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) fn id(self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Nobody => NOBODY,
        }
    }
}
