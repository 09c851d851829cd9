//! The JSON Schema takes what the parser takes, and refuses the usual mistakes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod fixture;

use std::collections::BTreeSet;

use fixture::{load_with, registry};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

/// As much of a JSON Schema validator as the schema of a configuration needs. A keyword that it does not know is a
/// failure, so that it can't pass over anything.
struct Validator<'a>(&'a Value);

impl Validator<'_> {
    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        self.evaluate(schema, value).is_some()
    }

    /// The properties that were evaluated, if the schema accepts the value.
    fn evaluate<'v>(&self, schema: &Value, value: &'v Value) -> Option<BTreeSet<&'v str>> {
        let mut seen = BTreeSet::new();
        let keywords = match schema {
            Value::Bool(accepts) => return accepts.then_some(seen),
            _ => schema.as_object().expect("a schema is an object or a boolean"),
        };
        for (keyword, argument) in keywords {
            let list = || argument.as_array().unwrap().iter();
            let fine = match keyword.as_str() {
                "$ref" => {
                    let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                    seen.extend(
                        self.evaluate(self.0.pointer(pointer).expect("a reference leads somewhere"), value)?,
                    );
                    true
                }
                "allOf" => {
                    list().try_for_each(|below| self.evaluate(below, value).map(|more| seen.extend(more)))?;
                    true
                }
                "anyOf" | "oneOf" => {
                    let accepted: Vec<_> = list().filter_map(|below| self.evaluate(below, value)).collect();
                    seen.extend(accepted.iter().flatten().copied());
                    if keyword == "anyOf" { !accepted.is_empty() } else { accepted.len() == 1 }
                }
                "if" => {
                    if self.accepts(argument, value) {
                        seen.extend(self.evaluate(&schema["then"], value)?);
                    }
                    true
                }
                "type" => match argument {
                    Value::Array(types) => types.iter().any(|name| is_of_type(value, name)),
                    name => is_of_type(value, name),
                },
                "const" => value == argument,
                "enum" => list().any(|one| one == value),
                "minimum" => value.as_f64().is_none_or(|number| number >= argument.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= argument.as_f64().unwrap()),
                "minLength" => {
                    value.as_str().is_none_or(|text| text.len() as u64 >= argument.as_u64().unwrap())
                }
                "minItems" => {
                    value.as_array().is_none_or(|list| list.len() as u64 >= argument.as_u64().unwrap())
                }
                "items" => {
                    value.as_array().is_none_or(|list| list.iter().all(|item| self.accepts(argument, item)))
                }
                "pattern" => {
                    assert_eq!(argument, r"\$\{", "this validator knows one pattern only");
                    value.as_str().is_none_or(|text| text.contains("${"))
                }
                "required" => value
                    .as_object()
                    .is_none_or(|map| list().all(|key| map.contains_key(key.as_str().unwrap()))),
                "properties" => {
                    let below = argument.as_object().unwrap();
                    let entries = value.as_object().into_iter().flatten();
                    let known: Vec<_> =
                        entries.filter_map(|(key, value)| Some((key, value, below.get(key)?))).collect();
                    seen.extend(known.iter().map(|(key, ..)| key.as_str()));
                    known.iter().all(|(_, value, schema)| self.accepts(schema, value))
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    let entries = value.as_object().into_iter().flatten();
                    let more: Vec<_> = entries
                        .filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)))
                        .collect();
                    seen.extend(more.iter().map(|(key, _)| key.as_str()));
                    more.iter().all(|(_, value)| self.accepts(argument, value))
                }
                "unevaluatedProperties" | "then" => true,
                "description" | "default" | "title" | "$schema" | "$defs" | "format" | "writeOnly"
                | "x-secret" => true,
                other => panic!("this validator does not know `{other}`"),
            };
            if !fine {
                return None;
            }
        }
        match schema.get("unevaluatedProperties") {
            Some(Value::Bool(false)) => {
                let all: BTreeSet<&str> =
                    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                all.is_subset(&seen).then_some(seen)
            }
            _ => Some(seen),
        }
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("no type `{other}`"),
    }
}

const GOOD: &[&str] = &[
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: 7\nset:\n  - { name: 1, driver: table, path: 0123, rows: 65535, again: true, style: narrow }\n",
    r#"
version: 1
name: shop
archive: { to: "${BACKUPS:-/backups}" }
state: /var/lib/x
parallel: ${N}
compression: ${COMPRESSION:-zstd}
allow_restore: ${RESTORE:-false}
coherence: { max_cuts: 3, max_passes: 2, if_uncertified: fail }
hooks:
  before_dump: [[a, 1, true], { run: [b], timeout: 30s, on_error: continue, env: { A: b, C: 1 } }]
  pre_swap: [["./migrate"]]
set:
  - name: db
    driver: table
    path: ${P:-x}
    rows: ${N}
    style: ${STYLE:-wide}
    passphrase: "${N}, or more"
    exclude: [a, 1, "b"]
    labels: { a: b, c: 1 }
    copy: { host: h, port: 80 }
    references: [up, { to: up, keys: SELECT a }, { to: "up" }]
    after: cache
    parallel: 3
    enabled: true
    compression: store
    hooks: { always: [[a]] }
  - name: files
    children:
      - name: more
        children: [{ name: up, driver: folder, path: x, after: [cache], children: [] }]
  - { name: cache, driver: stream, url: "a://b", lines: 3 }
  - { name: off, driver: stream, url: "a://b", enabled: false }
"#,
];

const BAD: &[&str] = &[
    "version: 2\nname: shop\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: shop\n",
    "version: 1\nname: shop\nset: []\n",
    "version: 1\nname: shop\nsets: 1\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, pth: x }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, frob: y }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: stream, url: x, frob: y }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: tabel, path: x }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: folder, path: x, rows: 1 }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: [x] }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, rows: many }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, rows: 70000 }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, style: narow }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, copy: { host: a, prot: 1 } }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, references: [{ keys: a }] }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, driver: table, path: x, parallel: 0 }\n",
    "version: 1\nname: shop\nset:\n  - { name: db }\n",
    "version: 1\nname: shop\nset:\n  - { name: db, children: [{ name: a, driver: folder, pth: b }] }\n",
    "version: 1\nname: shop\nhooks: { always: [a b] }\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: shop\nhooks: { always: [[]] }\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: shop\nhooks: { never: [] }\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: shop\ncoherence: { max_cuts: 0 }\nset:\n  - { name: db, driver: table, path: x }\n",
    "version: 1\nname: shop\narchive: { keep: 3 }\nset:\n  - { name: db, driver: table, path: x }\n",
];

const VARIABLES: &[(&str, &str)] = &[("N", "3")];

/// As an editor sees the file: nothing replaced, every scalar typed.
fn as_written(text: &str) -> Value {
    let mut parser = Parser::new_from_str(text);
    let mut next = || parser.next_event().unwrap().unwrap().0;
    loop {
        match next() {
            Event::StreamStart | Event::DocumentStart(_) => {}
            event => return value(event, &mut next),
        }
    }
}

fn value<'a>(event: Event<'a>, next: &mut dyn FnMut() -> Event<'a>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => match text.as_ref() {
            "true" | "false" => Value::Bool(text == "true"),
            "" => Value::Null,
            _ => text.parse::<u64>().map_or_else(|_| Value::from(text.into_owned()), Value::from),
        },
        Event::Scalar(text, ..) => text.into_owned().into(),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match next() {
                    Event::SequenceEnd => return list.into(),
                    event => list.push(value(event, next)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = serde_json::Map::new();
            loop {
                match next() {
                    Event::MappingEnd => return map.into(),
                    Event::Scalar(key, ..) => {
                        let event = next();
                        map.insert(key.into_owned(), value(event, next));
                    }
                    other => panic!("no key: {other:?}"),
                }
            }
        }
        other => panic!("not expected: {other:?}"),
    }
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    let schema = registry().schema();
    for text in GOOD {
        load_with(text, VARIABLES).unwrap();
        assert!(Validator(&schema).accepts(&schema, &as_written(text)), "{text}\n{schema:#}");
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let schema = registry().schema();
    for text in BAD {
        assert!(load_with(text, VARIABLES).is_err(), "{text}");
        assert!(!Validator(&schema).accepts(&schema, &as_written(text)), "{text}\n{schema:#}");
    }
}

#[test]
fn the_schema_documents_options_and_names_secrets() {
    let schema = registry().schema();
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).unwrap());
}

const REFERENCE: &str = include_str!("../../../docs/configuration.md");

#[test]
fn the_example_of_the_documentation_is_read() {
    let example = REFERENCE.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example =
        example.replace("driver: sqlite", "driver: table").replace("driver: filesystem", "driver: folder");
    let set = load_with(&example, &[]).unwrap();
    assert_eq!(fixture::paths(set.dump_order()), ["db", "files.uploads", "files.exports"]);
    assert_eq!(set.edges().len(), 1);
}

#[test]
fn every_key_is_documented() {
    let schema = registry().schema();
    for place in
        ["", "/$defs/node", "/$defs/Hooks", "/$defs/HookSettings", "/$defs/Coherence", "/$defs/ReferenceKeys"]
    {
        let properties = schema.pointer(&format!("{place}/properties")).and_then(Value::as_object).unwrap();
        for key in properties.keys() {
            assert!(
                REFERENCE.contains(&format!("`{key}`")),
                "`{key}` of `{place}` is not in docs/configuration.md"
            );
        }
    }
}
