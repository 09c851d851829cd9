//! Data folders, fresh from `initdb`: made once for each version, and copied.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FlockOperation;

use super::super::programs::servers_folder;
use super::super::{Account, Programs};
use super::{PostgresVersion, SUPERUSER, run};

/// Makes `data` a fresh data folder.
pub(super) fn copy_to(version: PostgresVersion, programs: &Programs, data: &Path) {
    let template = template(version, programs);
    run(Command::new("cp").arg("-a").arg("--reflink=auto").arg(template).arg(data));
}

fn template(version: PostgresVersion, programs: &Programs) -> PathBuf {
    let said = programs.command("postgres").arg("--version").output().expect("a server's version");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let minor = said.split_whitespace().nth(2).expect("a version");
    let account = Account::of_servers();
    let folder = servers_folder().join("data");
    std::fs::create_dir_all(&folder).expect("a folder for templates");
    let name = format!("postgres-{}-{minor}-{}", version.major(), account.id());
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a lock");
    // Two programs of tests may both find it missing.
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let template = folder.join(&name);
    if !template.exists() {
        make(programs, &template);
    }
    template
}

/// Under another name first: what has its own name is whole.
fn make(programs: &Programs, template: &Path) {
    let partial = template.with_extension("partial");
    // A run that was killed may have left it.
    let _ = std::fs::remove_dir_all(&partial);
    std::fs::create_dir(&partial).expect("a folder");
    Account::of_servers().give(&partial, 0o700);
    let mut command = programs.command("initdb");
    command.arg("-D").arg(&partial).args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
    run(command.args(["--no-sync", "--no-instructions"]).env("LC_ALL", "C.UTF-8"));
    std::fs::rename(&partial, template).expect("a name for the template");
}
