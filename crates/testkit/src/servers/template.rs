//! Data folders, fresh: made once for each version of a server, and copied.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FlockOperation;

use super::programs::servers_folder;
use super::{Account, run};

/// Makes `data` a copy of what `make` makes of an empty folder. The name says the server, its version down to the
/// last number, and whatever else tells one template from another.
pub(super) fn copy_to(data: &Path, name: &str, make: impl FnOnce(&Path)) {
    let template = template(name, make);
    run(Command::new("cp").args(["-a", "--reflink=auto", "--sparse=always"]).arg(template).arg(data));
}

fn template(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = servers_folder().join("data");
    std::fs::create_dir_all(&folder).expect("a folder for templates");
    let folder = folder.canonicalize().expect("a folder that was made");
    let name = format!("{name}-{}", Account::of_servers().id());
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a lock");
    // Two programs of tests may both find it missing.
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let template = folder.join(&name);
    if !template.exists() {
        make_whole(&template, make);
    }
    template
}

/// Under another name first: what has its own name is whole.
fn make_whole(template: &Path, make: impl FnOnce(&Path)) {
    let mut partial = template.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // A run that was killed may have left it.
    let _ = std::fs::remove_dir_all(&partial);
    std::fs::create_dir(&partial).expect("a folder");
    Account::of_servers().give(&partial, 0o700);
    make(&partial);
    std::fs::rename(&partial, template).expect("a name for the template");
}
