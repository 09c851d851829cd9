//! What a driver's tests tell the suite about their source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use dumprestore_driver::{DriverConfig, Reference, Selection};
use serde_json::Value;

/// A real, throw-away source of the driver under test. Its methods panic if they can't do their work.
///
/// All of it lives in the folder it is given, or in a server that it owns; many fixtures live side by side.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// The options of the driver: how the suite builds it, as a configuration file would.
    type Config: DriverConfig
    where
        Self: Sized;

    /// Makes a source below `folder`, which is empty. What the source holds does not matter yet.
    async fn new(folder: &Path) -> Self
    where
        Self: Sized;

    /// The options of the node. Relative paths start from the fixture's folder.
    fn options(&self) -> Value;

    /// Replaces the whole content by that of `seed`: always the same for the same seed. If the driver can't undo, it
    /// removes as well what a restore leaves that is cut off.
    async fn seed(&self, seed: Seed);

    /// Changes a bit of everything, as an application would: adds, overwrites, deletes. Called under dumps, and
    /// several times in a row; each call changes something.
    async fn mutate(&self);

    /// The whole content of the live source as text, in an order of its own, independent of where it lives:
    /// equal if and only if a user would call the contents equal.
    async fn fingerprint(&self) -> String;

    /// Removes the source itself (the file, the folder, the database), and says so; `false` if there is no such
    /// thing. [`seed`](Self::seed) brings it back.
    async fn remove(&self) -> bool {
        false
    }

    /// Names of all that lies *beside* the source, where a driver may stage or keep things: compared before and
    /// after. By default the entries of the fixture's folder.
    async fn beside(&self, folder: &Path) -> BTreeSet<String> {
        entries(folder)
    }

    /// Values in the options that must never be seen anywhere.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether `finish` with [`OldState::Keep`](dumprestore_driver::OldState::Keep) keeps the old state. Asked only
    /// of drivers that can undo a commit.
    fn keeps_previous(&self) -> bool {
        true
    }

    /// Whether to fill it and to compare it takes long, as with a server: then every third of the moments at which a run
    /// fails, is cancelled or is killed is tried, unless the environment has `DUMPRESTORE_FAULTS=all`.
    fn is_slow(&self) -> bool {
        false
    }

    /// A node that an earlier version of the driver dumped, in this older format, and the fingerprint of it restored:
    /// [`StoredNode::save`](crate::StoredNode::save) makes such a folder. Needed for each older format that is read.
    fn older(&self, _format: u32) -> Option<(PathBuf, String)> {
        None
    }

    /// Selections that mean some of the ordinary content, and not all. [`mutate`](Self::mutate) changes something of at
    /// least one. Needed if the driver restores in part.
    fn partial(&self) -> Vec<Selection> {
        Vec::new()
    }

    /// The live content as text in two: what a restore of `selection` makes as it was dumped, and what such a restore
    /// must leave alone. What it replaces by something else (the data, with
    /// [`Content::SchemaOnly`](dumprestore_driver::Content::SchemaOnly)) is in neither. Needed if the driver restores in
    /// part.
    async fn split(&self, _selection: &Selection) -> (String, String) {
        panic!("a fixture of a driver that restores in part must tell the parts apart")
    }

    /// What the source refers to after [`Seed::Ordinary`]. Needed if the driver is a referrer.
    fn referrer(&self) -> Vec<ReferrerSample> {
        Vec::new()
    }

    /// What can be referred to after [`Seed::Ordinary`]. Needed if the driver is a referent.
    fn referent(&self) -> Vec<ReferentSample> {
        Vec::new()
    }
}

/// Kinds of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// A little of everything that the driver knows, in more than one part if it has parts: some kilobytes.
    Ordinary,
    /// A source that is there, and holds nothing.
    Empty,
    /// The nastiest names and values that the source itself accepts.
    Hostile,
    /// Some megabytes, in as many parts as that gives.
    Large,
}

/// A `keys:` declaration, and what it must find.
#[derive(Debug, Clone)]
pub struct ReferrerSample {
    /// As in the configuration.
    pub keys: Value,
    /// What it finds in the ordinary content; order and repetition don't matter.
    pub finds: Vec<Reference>,
}

/// References that do and don't resolve in the ordinary content.
#[derive(Debug, Clone)]
pub struct ReferentSample {
    /// The `in:` of the declaration.
    pub within: Option<String>,
    /// These resolve. [`Fixture::mutate`] deletes or changes at least one of them.
    pub there: Vec<Reference>,
    /// These don't.
    pub missing: Vec<Reference>,
}

impl ReferentSample {
    /// Keys `within` a thing, of which it has some and misses others. None comes with a digest.
    pub fn of(within: &str, there: &[&str], missing: &[&str]) -> Self {
        let all = |keys: &[&str]| keys.iter().map(|key| Reference::to(*key)).collect();
        Self { within: Some(within.to_owned()), there: all(there), missing: all(missing) }
    }
}

/// The names of the entries of a folder.
pub fn entries(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .expect("the fixture's folder can be listed")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect()
}
