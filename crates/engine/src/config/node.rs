//! Reading the nodes of a file.

use std::borrow::Cow;
use std::fmt;

use dumprestore_driver::{BuildContext, NodePath, closest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::deserialize::read;
use super::hooks::WrittenHooks;
use super::interpolate::Variables;
use super::mistake::{Mistake, quoted};
use super::value::{Kind, Mapping, Scalar, Value};
use super::{Overrides, Stopped};
use crate::builder::Reference;
use crate::names::listed;
use crate::{Compression, NodeBuilder, Parallel, Registry};

/// The keys that every node may have; all others are its driver's options.
pub(crate) const NODE_KEYS: [&str; 9] =
    ["name", "driver", "children", "parallel", "after", "references", "hooks", "enabled", "compression"];

pub(crate) fn is_node_key(key: &str) -> bool {
    NODE_KEYS.contains(&key)
}

/// The keys of a node, without its children and its driver's options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeKeys {
    /// Its name among its siblings: ASCII letters, digits, `_` and `-`.
    name: String,
    /// Which driver dumps and restores it. Without one it is a group of its children.
    #[serde(default)]
    #[expect(dead_code, reason = "read before all else; here for the schema")]
    driver: Option<String>,
    /// How many of its parts are read or loaded at once; holds for what is below it, too.
    #[serde(default)]
    parallel: Option<Parallel>,
    /// Nodes that are dumped before it.
    #[serde(default)]
    after: Option<Names>,
    /// Nodes that its data refer to. They are dumped after it.
    #[serde(default)]
    references: Option<Vec<WrittenReference>>,
    /// Its own hooks.
    #[serde(default)]
    hooks: Option<WrittenHooks>,
    /// Whether it, and what is below it, is dumped and restored at all.
    #[serde(default)]
    #[expect(dead_code, reason = "read before all else; here for the schema")]
    enabled: Option<bool>,
    /// How its parts are compressed; holds for what is below it, too.
    #[serde(default)]
    compression: Option<Compression>,
}

/// One name, or a list of them.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a node, or a list of names")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// The name of a node, or a mapping that says which keys refer to it.
struct WrittenReference(ReferenceKeys);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReferenceKeys {
    /// The node that is referred to: a path, the name of a sibling, or an unambiguous end of a path.
    to: String,
    /// How the keys are found, in the words of this node's driver: a query, a pattern. They are certified at the cut.
    #[serde(default)]
    keys: Option<serde_json::Value>,
    /// What the keys are in a node that needs to be told, such as `customer.id`.
    #[serde(default, rename = "in")]
    within: Option<String>,
}

impl<'de> Deserialize<'de> for WrittenReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = WrittenReference;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a node, or a mapping with `to`")
            }
            fn visit_str<E: serde::de::Error>(self, to: &str) -> Result<WrittenReference, E> {
                Ok(WrittenReference(ReferenceKeys { to: to.to_owned(), keys: None, within: None }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenReference, A::Error> {
                ReferenceKeys::deserialize(MapAccessDeserializer::new(map)).map(WrittenReference)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for WrittenReference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = generator.subschema_for::<ReferenceKeys>();
        json_schema!({ "anyOf": [{ "type": "string" }, keys] })
    }
}

/// Reads nodes, and keeps where each of them was written.
pub(crate) struct NodeReader<'a, 'v> {
    pub(crate) registry: &'a Registry,
    pub(crate) overrides: &'a Overrides,
    pub(crate) variables: Variables<'v>,
    /// By the number of the node: a parent before its children.
    pub(crate) written: Vec<Value>,
    /// Targets that were put in the place of what is written.
    pub(crate) overridden: Vec<NodePath>,
}

type Read<T> = Result<T, Stopped>;

impl NodeReader<'_, '_> {
    pub(crate) fn nodes(
        &mut self,
        value: Value,
        parent: Option<&NodePath>,
        enabled: bool,
    ) -> Read<Vec<NodeBuilder>> {
        let span = value.span;
        match value.kind {
            Kind::List(list) => list.into_iter().map(|node| self.node(node, parent, enabled)).collect(),
            Kind::Scalar(scalar) if scalar.is_null() => Ok(Vec::new()),
            _ => Err(Mistake::at(span, "expected a list of nodes")
                .with_hint("write `- name: …` for each")
                .into()),
        }
    }

    fn node(&mut self, mut value: Value, parent: Option<&NodePath>, enabled: bool) -> Read<NodeBuilder> {
        let span = value.span;
        let Kind::Mapping(mapping) = &mut value.kind else {
            return Err(Mistake::at(span, "expected a node: a mapping with a `name`").into());
        };
        for (key, value) in mapping.iter_mut() {
            if matches!(key.text.as_str(), "name" | "enabled" | "driver") {
                self.variables.fill(value)?;
            }
        }
        let path = node_path(&value, parent)?;
        let off = match value.get("enabled") {
            Some(written) => !read::<bool>(written).map_err(|mistake| mistake.under("enabled"))?,
            None => false,
        };
        let enabled = enabled && !off;
        let kind = self.kind(&value)?;
        if enabled {
            self.fill(&mut value, &path, kind.as_deref())?;
        }
        self.written.push(value.clone());
        let mut node = match (enabled, kind) {
            (true, kind) => self.enabled_node(&value, &path, kind)?,
            (false, kind) => disabled_node(&value, kind),
        };
        node.disabled = off;
        if let Some((_, children)) = entry(value, "children") {
            node.children = self.nodes(children, Some(&path), enabled)?;
        }
        Ok(node)
    }

    /// The driver's name, if it has one and there is such a driver.
    fn kind(&self, value: &Value) -> Read<Option<String>> {
        let Some(written) = value.get("driver").filter(|written| !written.is_null()) else { return Ok(None) };
        let kind: String = read(written).map_err(|mistake| mistake.under("driver"))?;
        if self.registry.options(&kind).is_some() {
            return Ok(Some(kind));
        }
        let kinds: Vec<&str> = self.registry.kinds().map(|info| info.kind).collect();
        let mistake = Mistake::at(written.span, format!("there is no driver {}", quoted(&kind)));
        Err(match closest(&kind, kinds.iter().copied()) {
            Some(meant) => mistake.with_hint(format!("did you mean `{meant}`?")),
            None => mistake.with_hint(format!("the drivers are {}", listed(kinds))),
        }
        .into())
    }

    /// Fills in variables, and the target if the caller gave one.
    fn fill(&mut self, value: &mut Value, path: &NodePath, kind: Option<&str>) -> Read<()> {
        if let Some(target) = self.overrides.targets.get(path) {
            self.put_target(value, path, kind, target)?;
            self.overridden.push(path.clone());
        }
        let Kind::Mapping(mapping) = &mut value.kind else { return Ok(()) };
        for (key, value) in mapping.iter_mut().filter(|(key, _)| key.text != "children") {
            let overridden =
                self.overridden.last() == Some(path) && self.target_option(kind) == Some(&*key.text);
            if !overridden {
                self.variables.fill(value)?;
            }
        }
        Ok(())
    }

    fn target_option(&self, kind: Option<&str>) -> Option<&'static str> {
        self.registry.kinds().find(|info| Some(info.kind) == kind)?.target
    }

    fn put_target(
        &mut self,
        value: &mut Value,
        path: &NodePath,
        kind: Option<&str>,
        target: &str,
    ) -> Read<()> {
        let Some(option) = self.target_option(kind) else {
            return Err(Stopped::Overrides(format!("the node `{path}` can't be restored to another target")));
        };
        let text = match option {
            "path" => self.overrides.base.join(target).to_string_lossy().into_owned(),
            _ => target.to_owned(),
        };
        self.variables.scrubber.hide(&text, target);
        let scalar = Kind::Scalar(Scalar { text, template: None, plain: false });
        let span = value.span;
        let Kind::Mapping(mapping) = &mut value.kind else { return Ok(()) };
        match mapping.iter_mut().find(|(key, _)| key.text == option) {
            Some((_, value)) => value.kind = scalar,
            None => {
                let key = super::value::Key { text: option.to_owned(), span };
                mapping.push((key, Value { span, kind: scalar }));
            }
        }
        Ok(())
    }

    fn enabled_node(&self, value: &Value, path: &NodePath, kind: Option<String>) -> Read<NodeBuilder> {
        let mut own = Mapping::new();
        let mut options = Mapping::new();
        for (key, value) in value.mapping().into_iter().flatten() {
            match key.text.as_str() {
                "children" => {}
                text if is_node_key(text) => own.push((key.clone(), value.clone())),
                _ => options.push((key.clone(), value.clone())),
            }
        }
        let keys: NodeKeys = read(&Value { span: value.span, kind: Kind::Mapping(own) })?;
        let mut node = NodeBuilder::new(keys.name);
        node.after = keys.after.map(|names| names.0).unwrap_or_default();
        node.references = keys.references.into_iter().flatten().map(|written| written.0.into()).collect();
        node.parallel = keys.parallel;
        node.compression = keys.compression;
        if let Some(hooks) = keys.hooks {
            let cx = BuildContext::new(path.clone(), self.variables.base);
            node.hooks = hooks.build(&cx).map_err(|error| Stopped::at_key(value, "hooks", error))?;
        }
        match kind {
            Some(kind) => {
                self.add_driver(&mut node, kind, &Value { span: value.span, kind: Kind::Mapping(options) })?
            }
            None => no_options(&options)?,
        }
        Ok(node)
    }

    fn add_driver(&self, node: &mut NodeBuilder, kind: String, options: &Value) -> Read<()> {
        let driver = self.registry.read(&kind, options);
        let wrong = |mistake: Box<Mistake>| Stopped::Options(mistake.with_known(&NODE_KEYS), kind.clone());
        node.driver = Some(driver.map_err(wrong)?);
        node.kind = Some(kind);
        Ok(())
    }
}

impl From<ReferenceKeys> for Reference {
    fn from(keys: ReferenceKeys) -> Self {
        Self { to: keys.to, keys: keys.keys.filter(|keys| !keys.is_null()), within: keys.within }
    }
}

fn node_path(value: &Value, parent: Option<&NodePath>) -> Read<NodePath> {
    let Some(written) = value.get("name") else {
        return Err(Mistake::at(value.span, "a node needs a `name`").into());
    };
    let name: String = read(written).map_err(|mistake| mistake.under("name"))?;
    let path = match parent {
        Some(parent) => parent.child(&name),
        // A dot would make a path of it.
        None if name.contains('.') => NodePath::new(""),
        None => NodePath::new(name.as_str()),
    };
    path.map_err(|_| {
        Mistake::at(written.span, format!("{} is not a node name", quoted(&name)))
            .with_hint("use 1 to 64 ASCII letters, digits, `_` and `-`, not beginning with `-`")
            .into()
    })
}

/// What is left out needs no more than a name, for others may name it.
fn disabled_node(value: &Value, kind: Option<String>) -> NodeBuilder {
    let name = value.get("name").and_then(Value::scalar).map_or("", |name| &name.text);
    let mut node = NodeBuilder::new(name);
    node.kind = kind;
    node
}

fn no_options(options: &Mapping) -> Read<()> {
    match options.first() {
        None => Ok(()),
        Some((key, _)) => {
            let mistake = Mistake::unknown(key.span, &key.text, NODE_KEYS);
            Err(Stopped::Group(mistake))
        }
    }
}

fn entry(value: Value, key: &str) -> Option<<Mapping as IntoIterator>::Item> {
    match value.kind {
        Kind::Mapping(mapping) => mapping.into_iter().find(|(found, _)| found.text == key),
        _ => None,
    }
}
