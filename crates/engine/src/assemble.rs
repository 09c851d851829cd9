//! From a draft of a set to the checked set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dumprestore_driver::{Driver, Error, NodePath, Result};
use serde_json::Value;

use crate::builder::{NodeBuilder, Reference, SetBuilder, context};
use crate::links::resolve_links;
use crate::order::dump_order;
use crate::{BackupSet, Compression, Hooks, Node, Parallel};

/// What is wrong with a draft, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) node: Option<NodePath>,
    pub(crate) error: Error,
}

/// Where in a draft. Nodes are counted from 0, a parent before its children, siblings as listed, disabled ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The set as a whole.
    Set,
    /// The name of the set.
    SetName,
    /// The node as a whole.
    Node(usize),
    /// The node's driver and its options.
    Driver(usize),
    /// The node's hooks.
    Hooks(usize),
    /// One entry under `after:`.
    After(usize, usize),
    /// One entry under `references:`.
    Reference(usize, usize),
    /// Its `keys:`.
    Keys(usize, usize),
    /// Its `in:`.
    Within(usize, usize),
}

impl Fault {
    pub(crate) fn new(place: Place, error: Error) -> Box<Self> {
        Box::new(Self { place, node: None, error })
    }

    pub(crate) fn on(place: Place, node: &NodePath, error: Error) -> Box<Self> {
        Box::new(Self { place, node: Some(node.clone()), error })
    }
}

/// A node of a draft, out of its tree.
pub(crate) struct Flat {
    pub(crate) path: NodePath,
    pub(crate) parent: Option<usize>,
    pub(crate) enabled: bool,
    pub(crate) after: Vec<String>,
    pub(crate) references: Vec<Reference>,
    pub(crate) driver: Option<Arc<dyn Driver>>,
    hooks: Hooks,
    parallel: Option<Parallel>,
    compression: Option<Compression>,
}

pub(crate) fn assemble(mut draft: SetBuilder, config: Value) -> Result<BackupSet, Box<Fault>> {
    let name = NodePath::new(draft.name.as_str())
        .ok()
        .filter(|path| path.names().count() == 1)
        .ok_or_else(|| Fault::new(Place::SetName, not_a_set_name(&draft.name)))?;
    if !draft.base.is_absolute() {
        let error = Error::config("the folder that relative paths start from has to be absolute")
            .with_context("base", draft.base.display());
        return Err(Fault::new(Place::Set, error));
    }
    let mut flats = Vec::new();
    flatten(std::mem::take(&mut draft.nodes), None, &draft, &mut flats)?;
    if !flats.iter().any(|flat| flat.enabled && flat.driver.is_some()) {
        let error = Error::config(format!("there is nothing to dump in the set `{name}`"))
            .with_hint("list at least one node with a `driver` under `set`");
        return Err(Fault::new(Place::Set, error));
    }
    let links = resolve_links(&flats)?;
    let dump_order = dump_order(&flats, &links.ties)?;
    let state_dir = draft.state_dir_or_default();
    let nodes = nodes(flats, draft.compression);
    Ok(BackupSet {
        name: draft.name,
        base: draft.base,
        state_dir,
        state_is_named: draft.state.is_some(),
        index: nodes.iter().enumerate().map(|(at, node)| (node.path.clone(), at)).collect(),
        nodes,
        edges: links.edges,
        order_edges: links.order_edges,
        dump_order,
        hooks: draft.hooks,
        coherence: draft.coherence,
        archive: draft.archive,
        allow_restore: !draft.forbid_restore,
        parallel: draft.parallel,
        notes: links.notes,
        config,
    })
}

fn not_a_set_name(name: &str) -> Error {
    Error::config(format!("`{}` is not the name of a set", name.escape_debug()))
        .with_hint("use 1 to 64 ASCII letters, digits, `_` and `-`, not beginning with `-`")
}

fn flatten(
    nodes: Vec<NodeBuilder>,
    parent: Option<usize>,
    set: &SetBuilder,
    flats: &mut Vec<Flat>,
) -> Result<(), Box<Fault>> {
    let mut taken = BTreeSet::new();
    for node in nodes {
        let at = flats.len();
        let path = match parent {
            Some(parent) => flats[parent].path.child(&node.name),
            None => NodePath::new(node.name.as_str()).and_then(|path| top_level(path, &node.name)),
        }
        .map_err(|error| Fault::new(Place::Node(at), error))?;
        // Two names that differ in case only would meet in one folder where the archive is unpacked.
        if !taken.insert(node.name.to_ascii_lowercase()) {
            let error = Error::config(format!("two nodes are called `{path}`"))
                .with_hint("give one of them another name");
            return Err(Fault::new(Place::Node(at), error));
        }
        let enabled = !node.disabled && parent.is_none_or(|parent| flats[parent].enabled);
        let (flat, children) = flat(node, at, path, parent, enabled, set)?;
        flats.push(flat);
        flatten(children, Some(at), set, flats)?;
    }
    Ok(())
}

fn top_level(path: NodePath, name: &str) -> Result<NodePath> {
    if path.names().count() == 1 {
        return Ok(path);
    }
    Err(Error::config(format!("`{name}` is not a node name"))
        .with_hint("put the node under `children` of its parent"))
}

fn flat(
    node: NodeBuilder,
    at: usize,
    path: NodePath,
    parent: Option<usize>,
    enabled: bool,
    set: &SetBuilder,
) -> Result<(Flat, Vec<NodeBuilder>), Box<Fault>> {
    if node.kind.is_none() && node.children.is_empty() {
        let error =
            Error::config("a node needs a driver, or children").with_hint("add `driver` or `children`");
        return Err(Fault::on(Place::Node(at), &path, error));
    }
    if node.kind.is_none() && !node.hooks.is_empty() {
        let error = Error::config("a node without a driver has no hooks")
            .with_hint("move them to the nodes below it, or to the set");
        return Err(Fault::on(Place::Hooks(at), &path, error));
    }
    let driver = match node.driver {
        Some(build) if enabled => {
            let driver = build(&context(&path, &set.base));
            Some(driver.map_err(|error| Fault::on(Place::Driver(at), &path, error))?)
        }
        _ => None,
    };
    let NodeBuilder { after, references, hooks, parallel, compression, children, .. } = node;
    Ok((Flat { path, parent, enabled, after, references, driver, hooks, parallel, compression }, children))
}

fn nodes(flats: Vec<Flat>, set_compression: Option<Compression>) -> Vec<Node> {
    let mut settled: Vec<(Option<Parallel>, Option<Compression>)> = Vec::with_capacity(flats.len());
    let mut children: BTreeMap<usize, Vec<NodePath>> = BTreeMap::new();
    for (at, flat) in flats.iter().enumerate() {
        let above = flat.parent.map_or((None, set_compression), |parent| settled[parent]);
        settled.push((flat.parallel.or(above.0), flat.compression.or(above.1)));
        if let Some(parent) = flat.parent.filter(|_| flats[at].enabled) {
            children.entry(parent).or_default().push(flat.path.clone());
        }
    }
    let paths: Vec<NodePath> = flats.iter().map(|flat| flat.path.clone()).collect();
    let enabled = flats.into_iter().enumerate().filter(|(_, flat)| flat.enabled);
    enabled
        .map(|(at, flat)| Node {
            path: flat.path,
            parent: flat.parent.map(|parent| paths[parent].clone()),
            children: children.remove(&at).unwrap_or_default(),
            driver: flat.driver,
            parallel: settled[at].0,
            compression: settled[at].1.unwrap_or_default(),
            hooks: flat.hooks,
        })
        .collect()
}
