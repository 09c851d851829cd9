//! The JSON Schema of a whole configuration file.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::DriverInfo;
use crate::config::{NodeKeys, SetKeys};

const VARIABLE: &str = "#/$defs/variable";

/// The schema, with these drivers' options. One generator makes all of it, so that two drivers' types of one name
/// get names of their own.
pub(crate) fn config_schema(
    drivers: impl Iterator<Item = (DriverInfo, fn(&mut SchemaGenerator) -> Schema)>,
    archive: fn(&mut SchemaGenerator) -> Schema,
) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut kinds = Vec::new();
    let mut branches = Vec::new();
    for (info, json_schema) in drivers {
        let mut options = open(json_schema(&mut generator).to_value());
        admit_variables(&mut options);
        describe(&mut options, info.about);
        kinds.push(json!({ "const": info.kind, "description": info.about }));
        branches.push(json!({
            "if": { "properties": { "driver": { "const": info.kind } }, "required": ["driver"] },
            "then": options,
        }));
    }
    let mut node = open(generator.root_schema_for::<NodeKeys>().to_value());
    let mut set = open(generator.root_schema_for::<SetKeys>().to_value());
    set["properties"]["archive"] = json!({
        "description": "Where archives go when the command line does not say.",
        "anyOf": [archive(&mut generator).to_value(), { "type": "null" }],
    });
    [&mut node, &mut set].into_iter().for_each(admit_variables);
    finish_node(&mut node, kinds, branches);
    let mut definitions = generator.take_definitions(true);
    definitions.values_mut().for_each(admit_variables);
    definitions.insert("variable".to_owned(), json!({ "type": "string", "pattern": r"\$\{" }));
    definitions.insert("node".to_owned(), node);
    finish_set(set, definitions)
}

/// Without what a root schema says of itself, and open to the keys that other schemas add.
fn open(mut schema: Value) -> Value {
    if let Value::Object(schema) = &mut schema {
        for key in ["$schema", "$defs", "title", "additionalProperties"] {
            if key != "additionalProperties" || schema.get(key) == Some(&Value::Bool(false)) {
                schema.remove(key);
            }
        }
    }
    schema
}

fn describe(options: &mut Value, about: &str) {
    if let Value::Object(options) = options {
        options.entry("description").or_insert_with(|| about.into());
    }
}

fn finish_node(node: &mut Value, kinds: Vec<Value>, branches: Vec<Value>) {
    node["description"] = "A node: a source with a driver, a group of other nodes, or both.".into();
    let children =
        json!({ "type": "array", "items": { "$ref": "#/$defs/node" }, "description": "Nodes below it." });
    node["properties"]["children"] = json!({ "anyOf": [children, { "type": "null" }] });
    let driver: Vec<Value> = kinds.into_iter().chain([json!({ "type": "null" })]).collect();
    node["properties"]["driver"] =
        json!({ "description": "Which driver dumps and restores it.", "anyOf": driver });
    node["anyOf"] = json!([{ "required": ["driver"] }, { "required": ["children"] }]);
    node["allOf"] = branches.into();
    node["unevaluatedProperties"] = false.into();
}

fn finish_set(mut set: Value, definitions: Map<String, Value>) -> Value {
    set["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    set["title"] = "dumprestore".into();
    set["description"] = "What is dumped and restored together.".into();
    set["properties"]["set"] = json!({
        "type": "array",
        "items": { "$ref": "#/$defs/node" },
        "minItems": 1,
        "description": "The nodes of the set.",
    });
    if let Some(required) = set["required"].as_array_mut() {
        required.push("set".into());
    }
    set["additionalProperties"] = false.into();
    set["$defs"] = definitions.into();
    set
}

/// Wherever a value that is not any text may stand, `${VARIABLE}` may stand, too; and text may look like anything.
fn admit_variables(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for key in ["properties", "$defs", "patternProperties"] {
        map.get_mut(key)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
            .for_each(|(_, below)| admit_variables(below));
    }
    for key in ["items", "additionalProperties", "unevaluatedProperties"] {
        map.get_mut(key).into_iter().for_each(admit_variables);
    }
    // A variable may be any of several alternatives.
    if let Some(alternatives) = map.remove("oneOf") {
        map.entry("anyOf").or_insert(alternatives);
    }
    if let Some(choices) =
        map.get_mut("anyOf").and_then(Value::as_array_mut).filter(|any| any.iter().all(is_choice))
    {
        choices.push(json!({ "$ref": VARIABLE }));
        return;
    }
    for key in ["anyOf", "allOf", "prefixItems"] {
        map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(admit_variables);
    }
    if takes_any_text(map) {
        map.insert("type".to_owned(), text_types(map.get("type")));
    } else if is_scalar(map) {
        let kept = ["description", "default", "writeOnly", "x-secret"];
        let (outer, inner): (Map<_, _>, Map<_, _>) =
            std::mem::take(map).into_iter().partition(|(key, _)| kept.contains(&key.as_str()));
        *map = outer;
        map.insert("anyOf".to_owned(), json!([inner, { "$ref": VARIABLE }]));
    }
}

/// Whether a schema is one word out of several.
fn is_choice(schema: &Value) -> bool {
    schema.get("const").is_some_and(Value::is_string)
}

fn names_type(map: &Map<String, Value>, name: &str) -> bool {
    match map.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn takes_any_text(map: &Map<String, Value>) -> bool {
    names_type(map, "string")
        && !["enum", "const", "pattern", "format"].iter().any(|key| map.contains_key(*key))
}

/// A text written without quotes may look like a number or a boolean.
fn text_types(types: Option<&Value>) -> Value {
    let nullable = types.and_then(Value::as_array).is_some_and(|types| types.iter().any(|one| one == "null"));
    if nullable {
        json!(["string", "number", "boolean", "null"])
    } else {
        json!(["string", "number", "boolean"])
    }
}

fn is_scalar(map: &Map<String, Value>) -> bool {
    map.contains_key("const")
        || map.contains_key("enum")
        || ["integer", "number", "boolean", "string"].iter().any(|name| names_type(map, name))
}
