//! `:previous`: the old state that a reversible restore keeps.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Driver, Error, NodePath, Result, Token};
use serde::{Deserialize, Serialize};

use crate::Observer;
use crate::event::warn;
use crate::set::BackupSet;

/// What is kept, node by node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The nodes. Of one node there may be several, in different places.
    pub(crate) nodes: Vec<KeptNode>,
}

impl Kept {
    /// What is kept of that node where its driver would restore it to.
    pub(crate) fn find(&self, node: &NodePath, driver: &dyn Driver) -> Option<&KeptNode> {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|kept| kept.node == *node && kept.driver == driver.kind() && kept.target == driver.target())
    }
}

/// What is kept of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptNode {
    pub(crate) node: NodePath,
    /// The run that kept it.
    pub(crate) run: String,
    /// What that run restored, for people.
    pub(crate) archive: String,
    pub(crate) driver: String,
    pub(crate) target: String,
    pub(crate) token: Token,
    /// The last run that restored the node there since, without keeping what it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) passed_over_by: Option<String>,
}

fn path(set: &BackupSet) -> PathBuf {
    set.state_dir().join(format!("{}.previous.json", set.name()))
}

/// Drops everything that is kept as `:previous`, and gives how many nodes that were.
pub(crate) async fn discard(set: &BackupSet) -> Result<usize> {
    let Some(kept) = read(set)? else { return Ok(0) };
    let mut left = Vec::new();
    let mut failed = None;
    let count = kept.nodes.len();
    for node in kept.nodes {
        let driver = super::choose::driver_of(set, &node.node);
        let dropped = match driver {
            Ok(driver) if driver.kind() == node.driver => discard_node(&*driver, &node).await,
            Ok(_) => Err(Error::config("the node has another driver now")),
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            failed.get_or_insert(error.with_node(&node.node).with_context("target", &node.target));
            left.push(node);
        }
    }
    let path = path(set);
    if left.is_empty() {
        std::fs::remove_file(&path).map_err(|error| self::failed(&path, error))?;
    } else {
        store(&path, &Kept { nodes: left })?;
    }
    failed.map_or(Ok(count), Err)
}

async fn discard_node(driver: &dyn Driver, kept: &KeptNode) -> Result<()> {
    // What is kept in a file is found by its token. What is kept in a server can't be reached by way of another one.
    if kept.target.contains("://") {
        super::recover::same_target(&kept.node, driver, &kept.driver, &kept.target)?;
    }
    driver.discard_previous(&kept.token).await
}

/// What an earlier restore has kept, if anything.
pub(crate) fn read(set: &BackupSet) -> Result<Option<Kept>> {
    let path = path(set);
    let list = find(&path)?.transpose();
    list.map_err(|error| {
        Error::environment("the list of what is kept as `:previous` can't be read: it makes no sense")
            .with_source(error)
            .with_context("file", path.display())
            .with_hint(format!("move it away, or let the next restore do so: {STAYS}"))
    })
}

const STAYS: &str = "what it names stays beside the targets, where it can be found by its name";

/// The list, if there is one, or what is wrong with what stands in its file.
fn find(path: &Path) -> Result<Option<serde_json::Result<Kept>>> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("can't read the list of what is kept as `:previous`", error)
            .with_context("file", path.display())
            .with_hint("see that it can be read, or move it away")),
    }
}

/// A node that a run has restored, with its driver and target.
pub(crate) type Restored = (NodePath, String, String);

/// Writes down, durably and at once, what `run` has kept of the nodes that it restored. What an older restore kept of
/// the others is no longer what was there before the last restore, and marked so. It stays as it is in places that this
/// run did not touch. A list that makes no sense is put aside: nothing could be done with it, and no restore is to wait
/// for it.
pub(crate) fn note(
    set: &BackupSet,
    observer: &dyn Observer,
    run: &str,
    restored: &[Restored],
    kept: Vec<KeptNode>,
) -> Result<()> {
    let path = path(set);
    let older = match find(&path)? {
        Some(Ok(kept)) => kept,
        Some(Err(_)) => put_aside(&path, run, observer)?,
        None => Kept::default(),
    };
    let mut nodes = kept;
    for mut old in older.nodes.clone() {
        let same = |node: &NodePath, driver: &str, target: &str| {
            (&old.node, &*old.driver, &*old.target) == (node, driver, target)
        };
        if nodes.iter().any(|new| same(&new.node, &new.driver, &new.target)) {
            continue;
        }
        if restored.iter().any(|(node, driver, target)| same(node, driver, target)) {
            old.passed_over_by = Some(run.to_owned());
        }
        nodes.push(old);
    }
    let now = Kept { nodes };
    if now == older { Ok(()) } else { store(&path, &now) }
}

/// Makes room for a list that can be read. Each run has another name for the one that can't.
fn put_aside(path: &Path, run: &str, observer: &dyn Observer) -> Result<Kept> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".unreadable-{run}"));
    let aside = PathBuf::from(aside);
    let moved = std::fs::rename(path, &aside).and_then(|()| sync_folder(path));
    moved.map_err(|error| failed(path, error))?;
    let message = format!(
        "the list of what was kept as `:previous` makes no sense, and is put aside as `{}`",
        aside.display()
    );
    warn(observer, None, message, Some(STAYS.to_owned()));
    Ok(Kept::default())
}

fn store(path: &Path, kept: &Kept) -> Result<()> {
    let text = serde_json::to_vec_pretty(kept).map_err(|error| failed(path, error.into()))?;
    replace(path, &text).map_err(|error| failed(path, error))
}

fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("json.partial");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io("can't keep the list of what is kept as `:previous`", error)
        .with_context("file", path.display())
}
