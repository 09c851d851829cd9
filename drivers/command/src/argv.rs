//! How commands and lengths of time are written.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argv {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
}

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgvVisitor)
    }
}

struct ArgvVisitor;

impl<'de> Visitor<'de> for ArgvVisitor {
    type Value = Argv;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list: the program and its arguments")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Argv, E> {
        let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
        Err(E::custom(format!(
            "a command is a list, not a text: no shell takes it apart\n\
             hint: write `[{}]`, and `[\"sh\", \"-c\", …]` where a shell is wanted",
            words.join(", ")
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Argv, A::Error> {
        let mut words: Vec<String> = Vec::new();
        while let Some(word) = seq.next_element()? {
            words.push(word);
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(A::Error::custom("an argument can't hold a zero byte"));
        }
        if words.first().is_none_or(String::is_empty) {
            return Err(A::Error::custom("a command needs a program to run"));
        }
        let args = words.split_off(1);
        Ok(Argv { program: words.remove(0), args })
    }
}

impl JsonSchema for Argv {
    fn schema_name() -> Cow<'static, str> {
        "CommandArgv".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": "string" },
            "minItems": 1,
            "description": "A program and its arguments. No shell is involved."
        })
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Duration);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(time) if !time.is_zero() => Ok(Self(time)),
            _ => Err(D::Error::custom(format!(
                "`{}` is not a length of time\nhint: write `30s`, `5m` or `1h 30m`",
                text.escape_debug()
            ))),
        }
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "CommandTimeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["30s", "5m", "1h 30m"] })
    }
}
