//! Data folders, fresh from `initdb`.

use std::path::Path;

use super::super::{Programs, run, template};
use super::{PostgresVersion, SUPERUSER};

/// Makes `data` a fresh data folder.
pub(super) fn copy_to(version: PostgresVersion, programs: &Programs, data: &Path) {
    let said = programs.command("postgres").arg("--version").output().expect("a server's version");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let minor = said.split_whitespace().nth(2).expect("a version");
    template::copy_to(data, &format!("postgres-{}-{minor}", version.major()), |folder| {
        let mut command = programs.command("initdb");
        command.arg("-D").arg(folder).args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]);
        command.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]);
        run(command.env("LC_ALL", "C.UTF-8"));
    });
}
