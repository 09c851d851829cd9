//! The configuration as the manifest keeps it: variables not replaced, literal secrets masked.

use dumprestore_driver::closest;
use serde_json::Map;

use super::interpolate::{Piece, pieces};
use super::node::is_node_key;
use super::scrub::Scrubber;
use super::secrets::{MASK, looks_secret, secret_ranges};
use super::value::{Kind, Mapping, Scalar, Span, Typed, Value};
use crate::Registry;
use crate::option_schema::OptionSchema;

/// The configuration for the manifest, and what must not be shown anywhere.
pub(crate) struct Outline {
    pub(crate) config: serde_json::Value,
    /// Where in the file literal secrets stand.
    pub(crate) secrets: Vec<Span>,
}

/// Makes the outline of a whole configuration, in which no variable was replaced yet.
pub(crate) fn outline(document: &Value, registry: &Registry, scrubber: &mut Scrubber) -> Outline {
    let mut masker = Masker { registry, scrubber, secrets: Vec::new() };
    let config = masker.set(document);
    Outline { config, secrets: masker.secrets }
}

struct Masker<'a> {
    registry: &'a Registry,
    scrubber: &'a mut Scrubber,
    secrets: Vec<Span>,
}

impl Masker<'_> {
    fn set(&mut self, value: &Value) -> serde_json::Value {
        self.mapping(value, |this, key, value| match key {
            "set" => this.list(value, Self::node),
            "hooks" => this.hooks(value),
            "archive" => this.value(value, &this.registry.archive_options()),
            _ => this.value(value, &OptionSchema::none().or_secret_if(looks_secret(key))),
        })
    }

    fn node(&mut self, value: &Value) -> serde_json::Value {
        let kind = value.get("driver").and_then(Value::scalar).map(|kind| kind.text.as_str());
        let options = kind.and_then(|kind| self.registry.options(kind)).unwrap_or_else(OptionSchema::none);
        self.mapping(value, |this, key, value| match key {
            "children" => this.list(value, Self::node),
            "hooks" => this.hooks(value),
            _ if is_node_key(key) => this.value(value, &OptionSchema::none()),
            _ => this.value(value, &options.key(key).or_secret_if(may_be_secret(key, &options))),
        })
    }

    /// Values under `env` are secrets.
    fn hooks(&mut self, value: &Value) -> serde_json::Value {
        match &value.kind {
            Kind::List(_) => self.list(value, Self::hooks),
            Kind::Mapping(_) => self.mapping(value, |this, key, value| match key {
                "env" => this.value(value, &OptionSchema::none().or_secret_if(true)),
                _ => this.hooks(value),
            }),
            Kind::Scalar(_) => self.value(value, &OptionSchema::none()),
        }
    }

    fn value(&mut self, value: &Value, schema: &OptionSchema<'_>) -> serde_json::Value {
        match &value.kind {
            Kind::Scalar(scalar) => self.scalar(scalar, value.span, schema.is_secret()),
            Kind::List(_) => self.list(value, |this, item| this.value(item, &schema.items())),
            Kind::Mapping(_) => self.mapping(value, |this, key, value| {
                this.value(value, &schema.key(key).or_secret_if(may_be_secret(key, schema)))
            }),
        }
    }

    fn list(
        &mut self,
        value: &Value,
        mut item: impl FnMut(&mut Self, &Value) -> serde_json::Value,
    ) -> serde_json::Value {
        match value.list() {
            Some(list) => list.iter().map(|value| item(self, value)).collect(),
            None => self.value(value, &OptionSchema::none()),
        }
    }

    fn mapping(
        &mut self,
        value: &Value,
        mut entry: impl FnMut(&mut Self, &str, &Value) -> serde_json::Value,
    ) -> serde_json::Value {
        let Some(mapping) = value.mapping() else { return self.value(value, &OptionSchema::none()) };
        entries(mapping)
            .map(|(key, value)| (key.to_owned(), entry(self, key, value)))
            .collect::<Map<_, _>>()
            .into()
    }

    fn scalar(&mut self, scalar: &Scalar, span: Span, secret: bool) -> serde_json::Value {
        let written = scalar.written();
        let masked = if secret { self.masked(written) } else { self.masked_in_part(written) };
        if masked == written {
            return plain(scalar);
        }
        if secret {
            self.secrets.push(span);
        }
        masked.into()
    }

    fn masked_in_part(&mut self, written: &str) -> String {
        let mut masked = String::new();
        let mut done = 0;
        for range in secret_ranges(written) {
            masked.push_str(&written[done..range.start]);
            masked.push_str(&self.masked(&written[range.clone()]));
            done = range.end;
        }
        masked.push_str(&written[done..]);
        masked
    }

    /// A secret without what is literal in it.
    fn masked(&mut self, written: &str) -> String {
        let names_file = written.strip_prefix("file:").is_some_and(|path| !path.starts_with("//"));
        if names_file || written.is_empty() {
            return written.to_owned();
        }
        let Ok(pieces) = pieces(written) else {
            self.scrubber.hide(written, MASK);
            return MASK.to_owned();
        };
        let mut masked = String::new();
        for piece in pieces {
            match piece {
                Piece::Variable { default: None, written, .. } => masked.push_str(written),
                Piece::Variable { name, default: Some(default), .. } => {
                    self.scrubber.hide(default, MASK);
                    masked.push_str(&format!("${{{name}:-{MASK}}}"));
                }
                Piece::Text(text) => {
                    self.scrubber.hide(text, MASK);
                    masked.push_str(MASK);
                }
            }
        }
        masked
    }
}

/// Whether a key that the schema does not know is a secret, or one misspelt.
fn may_be_secret(key: &str, schema: &OptionSchema<'_>) -> bool {
    let meant = || closest(key, schema.keys()).is_some_and(|meant| schema.key(meant).is_secret());
    !schema.has(key) && (looks_secret(key) || meant())
}

fn entries(mapping: &Mapping) -> impl Iterator<Item = (&str, &Value)> {
    mapping.iter().map(|(key, value)| (key.text.as_str(), value))
}

fn plain(scalar: &Scalar) -> serde_json::Value {
    match scalar.typed() {
        Typed::Null => serde_json::Value::Null,
        Typed::Bool(value) => value.into(),
        Typed::Unsigned(value) => value.into(),
        Typed::Signed(value) => value.into(),
        Typed::Float(value) => value.into(),
        Typed::Text(text) => text.into(),
    }
}
