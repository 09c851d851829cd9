//! What a driver's JSON Schema says of its options.

use serde_json::Value;

/// The schemas that apply at one place, with references followed and alternatives taken all together.
#[derive(Clone, Default)]
pub(crate) struct OptionSchema<'a> {
    root: Option<&'a Value>,
    here: Vec<&'a Value>,
    secret: bool,
}

/// Schemas refer to themselves; nothing sensible nests deeper.
const DEEPEST: usize = 16;

impl<'a> OptionSchema<'a> {
    /// Nothing is known.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The whole of a root schema.
    pub(crate) fn of(root: &'a Value) -> Self {
        let mut schema = Self { root: Some(root), ..Self::default() };
        schema.add(root, 0);
        schema
    }

    /// The same; a secret in any case, if `secret`.
    pub(crate) fn or_secret_if(mut self, secret: bool) -> Self {
        self.secret |= secret;
        self
    }

    fn add(&mut self, schema: &'a Value, depth: usize) {
        if depth > DEEPEST || self.here.iter().any(|known| std::ptr::eq(*known, schema)) {
            return;
        }
        self.here.push(schema);
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        if let Some(referred) = pointer.and_then(|pointer| self.root?.pointer(pointer)) {
            self.add(referred, depth + 1);
        }
        for combined in ["allOf", "anyOf", "oneOf"] {
            for schema in schema.get(combined).and_then(Value::as_array).into_iter().flatten() {
                self.add(schema, depth + 1);
            }
        }
    }

    fn below(&self, find: impl Fn(&'a Value) -> Option<&'a Value>) -> Self {
        // What lies inside of a secret is secret.
        let mut below = Self { root: self.root, here: Vec::new(), secret: self.is_secret() };
        for found in self.here.iter().filter_map(|schema| find(schema)) {
            below.add(found, 0);
        }
        below
    }

    /// What applies to the value under `key`.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.below(|schema| {
            let property = schema.get("properties").and_then(|properties| properties.get(key));
            property.or_else(|| schema.get("additionalProperties"))
        })
    }

    /// What applies to the items of a list.
    pub(crate) fn items(&self) -> Self {
        self.below(|schema| schema.get("items"))
    }

    /// Whether a value here must not be seen.
    pub(crate) fn is_secret(&self) -> bool {
        let marked = |schema: &&Value| schema.get("x-secret").and_then(Value::as_bool) == Some(true);
        self.secret || self.here.iter().any(marked)
    }

    /// The keys that a mapping here may have.
    pub(crate) fn keys(&self) -> Vec<&'a str> {
        let properties = self.here.iter().filter_map(|schema| schema.get("properties")?.as_object());
        properties.flat_map(|properties| properties.keys().map(String::as_str)).collect()
    }

    /// Whether that is one of them.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys().contains(&key)
    }

    /// Whether a mapping here may have any keys at all.
    pub(crate) fn is_open(&self) -> bool {
        let opens = |value: Option<&Value>| value.is_some_and(|value| *value != Value::Bool(false));
        self.here.iter().any(|schema| {
            opens(schema.get("additionalProperties"))
                || opens(schema.get("unevaluatedProperties"))
                || schema.get("patternProperties").is_some()
        })
    }
}
