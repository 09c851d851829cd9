//! Amounts of bytes, as people write them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// Bytes, written as `50GiB`, `20MB` or a number. `K`, `M` and `G` alone are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub u64);

/// Bytes per second, written as `20MiB/s` or `20MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

const UNITS: [(&str, u64); 14] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
    ("", 1),
];

/// The bytes that a text says; none if it says nothing, or nothing at all.
fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*factor)?,
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * *factor as f64;
            // Beyond that a float does not tell one byte from the next; nobody means so many.
            (bytes < 1e15).then_some(bytes as u64)?
        }
    };
    (bytes > 0).then_some(bytes)
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount of bytes\nhint: write `50GiB` or `200MB`");
        parse(text).map(Self).ok_or_else(wrong)
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` says no speed\nhint: write `20MiB/s`");
        parse(text.strip_suffix("/s").unwrap_or(text)).map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["50GiB"] })
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["20MiB/s"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1", 1),
            ("64 KiB", 65_536),
            ("1.5GB", 1_500_000_000),
            ("50GiB", 50 << 30),
            ("20m", 20 << 20),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(Amount(bytes)), "{text}");
        }
        assert_eq!("20MiB/s".parse(), Ok(Rate(20 << 20)));
        for text in ["", "0", "GiB", "1.2.3M", "5 apples", "-1", "1e9", "99999999999999999999", "20000000TiB"]
        {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }
}
