//! What a configuration says of keeping.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which archives of a set are kept. An archive stays if one of these wants it; with none of them, all stay.
///
/// Hours, days, weeks, months and years are those of UTC, wherever this runs, so that two machines that look at the same
/// archives come to the same answer. A week begins on Monday and belongs to the year that has its Thursday (ISO 8601).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the last so many hours that have one.
    pub hourly: u32,
    /// The newest of each of the last so many days that have one.
    pub daily: u32,
    /// The newest of each of the last so many weeks that have one.
    pub weekly: u32,
    /// The newest of each of the last so many months that have one.
    pub monthly: u32,
    /// The newest of each of the last so many years that have one.
    pub yearly: u32,
    /// All that are at most so much older than the newest good one, such as `30d` or `12h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

impl Keep {
    /// Whether nothing is said: then nothing is ever removed.
    pub fn is_silent(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        self.within.is_none() && counts.iter().all(|&count| count == 0)
    }
}

/// A span of time, written as `30d`, `12h` or `1y 6months`. A month has 30.44 days and a year 365.25.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = humantime::parse_duration(text);
        let wrong = |error| format!("`{text}` is no span of time: {error}\nhint: write `30d` or `12h`");
        parsed.map(Self).map_err(wrong)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["30d", "12h"] })
    }
}
