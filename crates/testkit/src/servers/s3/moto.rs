//! `moto`, in Python.

use std::path::Path;

use super::super::Programs;
use crate::free_port;

/// What the shell does with its program and its folder.
const START: &str = r#"
echo "this is process $$"
TMPDIR=$1/data exec "$0" -H 127.0.0.1 -p "$(cat "$1/port")"
"#;

/// What it says once it listens.
pub(super) const READY: &str = "Running on http";

pub(super) fn programs() -> Programs {
    Programs::find("moto-5.2", "moto_server", &[])
}

/// What starts it, for a server that lives in `folder`.
pub(super) fn command(folder: &Path) -> Vec<String> {
    let program = programs().path("moto_server").expect("it was found");
    let paths = [&program, folder].map(|path| path.display().to_string());
    ["sh", "-c", START].map(str::to_owned).into_iter().chain(paths).collect()
}

/// Takes a port.
pub(super) fn choose_port(folder: &Path) -> u16 {
    let port = free_port();
    std::fs::write(folder.join("port"), port.to_string()).expect("a file");
    port
}
