//! Building a set in code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{BuildContext, Driver, DriverConfig, NodePath, Result};
use serde_json::{Map, Value, json};

use crate::assemble::{Fault, assemble};
use crate::{Archive, BackupSet, Coherence, Compression, Hooks, Parallel};

/// Makes a [`BackupSet`] in code. Nothing is checked before [`build`](Self::build).
///
/// ```no_run
/// # use std::sync::Arc;
/// # use dumprestore::{BackupSet, Driver, NodeBuilder};
/// # fn example(database: Arc<dyn Driver>, uploads: Arc<dyn Driver>) -> dumprestore::Result<BackupSet> {
/// BackupSet::builder("shop")
///     .base("/srv/shop")
///     .node(NodeBuilder::new("db").driver(database).refers_to("uploads", "SELECT image FROM product", None))
///     .node(NodeBuilder::new("uploads").driver(uploads))
///     .build()
/// # }
/// ```
#[derive(Default)]
pub struct SetBuilder {
    pub(crate) name: String,
    pub(crate) base: PathBuf,
    pub(crate) state: Option<PathBuf>,
    pub(crate) nodes: Vec<NodeBuilder>,
    pub(crate) hooks: Hooks,
    pub(crate) coherence: Coherence,
    pub(crate) archive: Option<Archive>,
    pub(crate) forbid_restore: bool,
    pub(crate) parallel: Option<Parallel>,
    pub(crate) compression: Option<Compression>,
    pub(crate) config: Option<Value>,
}

impl SetBuilder {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The folder that relative paths start from, and in which hooks run. Has to be absolute, and given.
    pub fn base(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// The folder for lock, journal and previous states; by default `.dumprestore` in the base, which is made.
    ///
    /// One that is given has to be there, and not to be the top of a mounted volume: else the state of a volume that
    /// is not mounted would pass for an empty one.
    pub fn state_dir(mut self, state: impl Into<PathBuf>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// One more node at the top.
    pub fn node(mut self, node: NodeBuilder) -> Self {
        self.nodes.push(node);
        self
    }

    /// The hooks of the whole set.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// How hard a dump tries to be coherent.
    pub fn coherence(mut self, coherence: Coherence) -> Self {
        self.coherence = coherence;
        self
    }

    /// Where archives go when the caller does not say.
    pub fn archive(mut self, archive: Archive) -> Self {
        self.archive = Some(archive);
        self
    }

    /// This set is never restored.
    pub fn forbid_restore(mut self) -> Self {
        self.forbid_restore = true;
        self
    }

    /// How many parts are read or loaded at once in all.
    pub fn parallel(mut self, parallel: Parallel) -> Self {
        self.parallel = Some(parallel);
        self
    }

    /// How the parts of nodes are compressed that don't say.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Checks everything and makes the set.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), on the node at fault.
    pub fn build(self) -> Result<BackupSet> {
        self.build_or_fault().map_err(|fault| {
            let Fault { error, node, .. } = *fault;
            match node {
                Some(node) => error.with_node(&node),
                None => error,
            }
        })
    }

    pub(crate) fn build_or_fault(mut self) -> Result<BackupSet, Box<Fault>> {
        let config = self.config.take().unwrap_or_else(|| self.outline());
        assemble(self, config)
    }

    pub(crate) fn state_dir_or_default(&self) -> PathBuf {
        self.base.join(self.state.as_deref().unwrap_or(Path::new(".dumprestore")))
    }

    /// What the manifest says of a set that has no configuration file.
    fn outline(&self) -> Value {
        json!({ "name": self.name, "set": self.nodes.iter().map(NodeBuilder::outline).collect::<Vec<_>>() })
    }
}

pub(crate) type BuildDriver = Box<dyn FnOnce(&BuildContext) -> Result<Arc<dyn Driver>>>;

/// Makes a node of a set in code.
pub struct NodeBuilder {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) driver: Option<BuildDriver>,
    pub(crate) children: Vec<NodeBuilder>,
    pub(crate) after: Vec<String>,
    pub(crate) references: Vec<Reference>,
    pub(crate) hooks: Hooks,
    pub(crate) parallel: Option<Parallel>,
    pub(crate) compression: Option<Compression>,
    pub(crate) disabled: bool,
}

/// A reference as it is declared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reference {
    pub(crate) to: String,
    pub(crate) keys: Option<Value>,
    pub(crate) within: Option<String>,
}

impl NodeBuilder {
    /// A node of that name: a group, unless it gets a driver.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: None,
            driver: None,
            children: Vec::new(),
            after: Vec::new(),
            references: Vec::new(),
            hooks: Hooks::default(),
            parallel: None,
            compression: None,
            disabled: false,
        }
    }

    /// Its driver.
    pub fn driver(mut self, driver: Arc<dyn Driver>) -> Self {
        self.kind = Some(driver.kind().to_owned());
        self.driver = Some(Box::new(move |_| Ok(driver)));
        self
    }

    /// The options of its driver, which is made when the set is.
    pub fn config<C: DriverConfig>(mut self, config: C) -> Self {
        self.kind = Some(C::KIND.to_owned());
        self.driver = Some(Box::new(move |cx| config.build(cx)));
        self
    }

    /// One more child. Children are dumped before their parent.
    pub fn child(mut self, child: NodeBuilder) -> Self {
        self.children.push(child);
        self
    }

    /// It is dumped after `node`: the name of a sibling, a path, or an unambiguous end of one.
    pub fn after(mut self, node: impl Into<String>) -> Self {
        self.after.push(node.into());
        self
    }

    /// Its data hold keys of things in `node`, found by `keys`: a query, for example. `within` says what the keys are
    /// in a referent that needs to be told, such as `customer.id`. The cut certifies it.
    pub fn refers_to(
        mut self,
        node: impl Into<String>,
        keys: impl Into<Value>,
        within: Option<&str>,
    ) -> Self {
        let within = within.map(str::to_owned);
        self.references.push(Reference { to: node.into(), keys: Some(keys.into()), within });
        self
    }

    /// Its data refer to `node`, which only orders: nothing is certified.
    pub fn refers_to_unchecked(mut self, node: impl Into<String>) -> Self {
        self.references.push(Reference { to: node.into(), keys: None, within: None });
        self
    }

    /// Its own hooks. A group can't have any.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// How many parts are read or loaded at once, here and below.
    pub fn parallel(mut self, parallel: Parallel) -> Self {
        self.parallel = Some(parallel);
        self
    }

    /// How parts are compressed, here and below.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// It and all below it are left out.
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }

    fn outline(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(self.name));
        if let Some(kind) = &self.kind {
            map.insert("driver".to_owned(), json!(kind));
        }
        if !self.children.is_empty() {
            map.insert("children".to_owned(), self.children.iter().map(Self::outline).collect());
        }
        Value::Object(map)
    }
}

pub(crate) fn context(node: &NodePath, base: &Path) -> BuildContext {
    BuildContext::new(node.clone(), base)
}
