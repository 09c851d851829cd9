//! The text of a definition.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A statement, in the character set of the client that once sent it: mostly UTF-8, but bytes of any kind in an old
/// routine. In JSON it is a text where it is UTF-8, and `{"hex": "…"}` where it is not.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Sql(Vec<u8>);

impl Sql {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Hex { hex: String },
}

impl Serialize for Sql {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Written::Hex { hex: hex::encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sql {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Hex { hex } => hex::decode(&hex).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_statement_of_any_bytes_is_read_as_it_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let sql = Sql::new(bytes);
            let json = serde_json::to_string(&sql).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sql>(&json).unwrap(), sql);
        }
    }
}
