//! A backup set: built, checked, and ready to be dumped or restored.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{Driver, Edge, Error, NodePath, Result};

use crate::{Archive, Coherence, Compression, Hooks, OrderEdge, Parallel, SetBuilder};

/// A tree of [nodes](Node) that are dumped and restored together.
///
/// It comes from a configuration file ([`BackupSet::from_yaml`]) or from code ([`BackupSet::builder`]). Either way
/// all of it was checked: names are unique, references resolve, their ends can do what is asked of them, and the
/// order has no cycle.
#[derive(Clone)]
pub struct BackupSet {
    pub(crate) name: String,
    pub(crate) base: PathBuf,
    pub(crate) state_dir: PathBuf,
    /// Whether it was named, and is not the default one.
    pub(crate) state_is_named: bool,
    pub(crate) nodes: Vec<Node>,
    pub(crate) index: BTreeMap<NodePath, usize>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) order_edges: Vec<OrderEdge>,
    pub(crate) dump_order: Vec<NodePath>,
    pub(crate) hooks: Hooks,
    pub(crate) coherence: Coherence,
    pub(crate) archive: Option<Archive>,
    pub(crate) allow_restore: bool,
    pub(crate) parallel: Option<Parallel>,
    pub(crate) notes: Vec<String>,
    pub(crate) config: serde_json::Value,
}

impl BackupSet {
    /// Starts a set in code. The name is one of [`NodePath`]'s names.
    pub fn builder(name: impl Into<String>) -> SetBuilder {
        SetBuilder::new(name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that relative paths start from, and in which hooks run: that of the configuration file. Absolute.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The folder for lock, journal and the tokens of previous states. Absolute. It is made by a run that needs it, unless
    /// it was named: then it has to be there.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// All enabled nodes, a parent before its children, siblings as listed.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The enabled node at `path`.
    pub fn node(&self, path: &NodePath) -> Option<&Node> {
        self.index.get(path).and_then(|&at| self.nodes.get(at))
    }

    /// The nodes that a selector (`--only`) means: the node of that path, or the only one whose path ends so, with
    /// all below it; those with a driver, in dump order.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such node, if there are several, or if there
    /// is nothing to dump in it.
    pub fn select(&self, selector: &str) -> Result<Vec<NodePath>> {
        let paths: Vec<_> = self.nodes.iter().map(|node| &node.path).collect();
        let chosen = crate::names::find(selector, None, &paths)?;
        let within: Vec<_> = self.dump_order.iter().filter(|path| path.is_within(chosen)).cloned().collect();
        if within.is_empty() {
            return Err(Error::config(format!("there is nothing to dump in `{chosen}`")));
        }
        Ok(within)
    }

    /// The references with `keys:`: those that the cut certifies.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// What else was declared to decide the order: `after:`, and references without `keys:`, which are not certified.
    pub fn order_edges(&self) -> &[OrderEdge] {
        &self.order_edges
    }

    /// The nodes with a driver, in the order in which they are dumped.
    ///
    /// A node's children come before it, a referrer before its referent, and what is declared `after:` a node comes
    /// after it. What holds for a node holds for all below it. Of the nodes whose predecessors all stand in the
    /// order, the next is always the one that is listed first; listed order means siblings as they are written, and
    /// children before their parent.
    pub fn dump_order(&self) -> &[NodePath] {
        &self.dump_order
    }

    /// The exact reverse of [`dump_order`](Self::dump_order).
    pub fn restore_order(&self) -> Vec<NodePath> {
        self.dump_order.iter().rev().cloned().collect()
    }

    /// The hooks of the whole set.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// How hard a dump tries to be coherent.
    pub fn coherence(&self) -> &Coherence {
        &self.coherence
    }

    /// Where archives go when the caller does not say.
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// Whether this set may be restored at all. Nothing overrides a `false`.
    pub fn allow_restore(&self) -> bool {
        self.allow_restore
    }

    /// How many parts are read or loaded at once in all, if the set says.
    pub fn parallel(&self) -> Option<Parallel> {
        self.parallel
    }

    /// What is worth a word in a plan: edges to disabled nodes, for example.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The configuration for the manifest: variables not replaced, literal secrets masked.
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }
}

impl fmt::Debug for BackupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupSet")
            .field("name", &self.name)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// One node of a set: a source with a driver, a group of other nodes, or both.
#[derive(Clone)]
#[non_exhaustive]
pub struct Node {
    pub(crate) path: NodePath,
    pub(crate) parent: Option<NodePath>,
    pub(crate) children: Vec<NodePath>,
    pub(crate) driver: Option<Arc<dyn Driver>>,
    pub(crate) parallel: Option<Parallel>,
    pub(crate) compression: Compression,
    pub(crate) hooks: Hooks,
}

impl Node {
    /// Where it stands.
    pub fn path(&self) -> &NodePath {
        &self.path
    }

    /// What it is a child of.
    pub fn parent(&self) -> Option<&NodePath> {
        self.parent.as_ref()
    }

    /// Its enabled children, as listed.
    pub fn children(&self) -> &[NodePath] {
        &self.children
    }

    /// Its driver. A group has none.
    pub fn driver(&self) -> Option<&Arc<dyn Driver>> {
        self.driver.as_ref()
    }

    /// How many of its parts are read or loaded at once: its own setting, or the nearest above it that has one.
    pub fn parallel(&self) -> Option<Parallel> {
        self.parallel
    }

    /// How its parts are compressed: its own setting, or the nearest above it that has one.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Its own hooks.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("path", &self.path)
            .field("driver", &self.driver.as_ref().map(|driver| driver.kind()))
            .finish_non_exhaustive()
    }
}
