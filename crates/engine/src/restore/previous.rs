//! `:previous`: the old state that a reversible restore keeps.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, NodePath, Result, Token};
use serde::{Deserialize, Serialize};

use crate::set::BackupSet;

/// What is kept, node by node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The run that kept it.
    pub(crate) run: String,
    /// What that run restored, for people.
    pub(crate) archive: String,
    /// The nodes.
    pub(crate) nodes: Vec<KeptNode>,
}

/// What is kept of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptNode {
    pub(crate) node: NodePath,
    pub(crate) driver: String,
    pub(crate) target: String,
    pub(crate) token: Token,
}

fn path(set: &BackupSet) -> PathBuf {
    set.state_dir().join(format!("{}.previous.json", set.name()))
}

/// What an earlier restore has kept, if anything.
pub(crate) fn read(set: &BackupSet) -> Result<Option<Kept>> {
    let path = path(set);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| failed(&path, error))?,
    };
    let kept = serde_json::from_slice(&text).map_err(|error| failed(&path, error.into()))?;
    Ok(Some(kept))
}

/// Writes down what is kept, durably. What an older restore kept of nodes that this one did not touch stays.
pub(crate) fn write(set: &BackupSet, mut kept: Kept) -> Result<()> {
    if let Some(older) = read(set)? {
        let untouched =
            older.nodes.into_iter().filter(|old| kept.nodes.iter().all(|new| new.node != old.node));
        let untouched: Vec<_> = untouched.collect();
        kept.nodes.extend(untouched);
    }
    let path = path(set);
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| failed(&path, error.into()))?;
    replace(&path, &text).map_err(|error| failed(&path, error))
}

fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("json.partial");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io("can't keep the list of what is kept as `:previous`", error)
        .with_context("file", path.display())
}
