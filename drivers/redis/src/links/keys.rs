//! What a `keys:` declaration says: in which keys of a server references stand, and where in them.

use dumprestore_driver::{Digest, Error, Key, Reference, Result};
use serde::Deserialize;

use crate::glob::Glob;
use crate::rdb::{Element, Kind};

/// A declaration of references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The database they are in; `None` if it was not said: the first one that is dumped.
    pub(crate) database: Option<u64>,
    /// The keys that hold references.
    pub(crate) pattern: Glob,
    /// Where in them.
    pub(crate) held: Held,
}

/// Where in a key, and its value, references stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// In a field of a hash; perhaps with the SHA-256 of what is referred to in another.
    Field { name: Vec<u8>, digest: Option<Vec<u8>> },
    /// Each member of a set, a sorted set or a list is one.
    Members,
    /// The value, a string, is one.
    Value,
    /// What the first `*` of the pattern stands for in the key's name is one.
    Name,
}

/// What was found in one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Reference(Reference),
    /// It is not what was declared, and what it is.
    Malformed(Key, String),
}

const HINT: &str = "write a pattern of keys and where in them the reference stands: \
                    `{ pattern: \"sess:*\", field: customer }`, or in place of `field` one of `members: true`, \
                    `value: true` and `name: true`";

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    pattern: String,
    field: Option<String>,
    digest: Option<String>,
    #[serde(default)]
    members: bool,
    #[serde(default)]
    value: bool,
    #[serde(default)]
    name: bool,
    database: Option<u64>,
}

impl Keys {
    /// Reads a declaration. Offline.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is none.
    pub(crate) fn of(keys: &serde_json::Value) -> Result<Self> {
        let refused = |why: String| Error::config(format!("`keys` of a `redis` node: {why}")).with_hint(HINT);
        if !keys.is_object() {
            return Err(refused("it is a pattern and what stands in its keys".to_owned()));
        }
        let declared = Declaration::deserialize(keys).map_err(|error| refused(error.to_string()))?;
        if declared.pattern.is_empty() {
            return Err(refused("`pattern` is empty".to_owned()));
        }
        let pattern = Glob::new(&declared.pattern);
        let digest = declared.digest.map(String::into_bytes);
        let held = match (declared.field, declared.members, declared.value, declared.name) {
            (Some(name), false, false, false) => Held::Field { name: name.into_bytes(), digest },
            _ if digest.is_some() => return Err(refused("`digest` goes with `field` alone".to_owned())),
            (None, true, false, false) => Held::Members,
            (None, false, true, false) => Held::Value,
            (None, false, false, true) if !pattern.has_star() => {
                return Err(refused(
                    "`name` is what a `*` of the pattern stands for, and it has none".to_owned(),
                ));
            }
            (None, false, false, true) => Held::Name,
            _ => return Err(refused("there must be one of `field`, `members`, `value`, `name`".to_owned())),
        };
        Ok(Self { database: declared.database, pattern, held })
    }

    /// What is looked for in a key, for people.
    pub(crate) fn sought(&self) -> String {
        match &self.held {
            Held::Field { name, .. } => format!("anything in the field `{}`", name.escape_ascii()),
            held => format!("anything: {} is expected", held.expects()),
        }
    }

    /// Begins to look into a key that the pattern fits.
    pub(crate) fn look(&self, key: &[u8], kind: Kind) -> Look<'_> {
        let found = match &self.held {
            Held::Name => self.pattern.star(key).and_then(plain),
            held if !held.is_in(kind) => {
                let what = format!("it holds a {kind}, and {} is expected", held.expects());
                Some(Found::Malformed(Key::new(key), what))
            }
            _ => None,
        };
        // What can't be there is not looked for.
        let done = self.held == Held::Name || found.is_some();
        Look { held: &self.held, done, found, key: None, sum: None }
    }
}

/// A look into the value of one key.
pub(crate) struct Look<'a> {
    held: &'a Held,
    done: bool,
    found: Option<Found>,
    key: Option<Vec<u8>>,
    sum: Option<Vec<u8>>,
}

impl Look<'_> {
    /// Whether it has to see the value.
    pub(crate) fn needs_value(&self) -> bool {
        !self.done
    }

    /// Looks at one element. What is empty is no reference.
    ///
    /// # Errors
    /// Those of `take`.
    pub(crate) fn see(
        &mut self,
        element: Element<'_>,
        take: &mut dyn FnMut(Found) -> Result<()>,
    ) -> Result<()> {
        match (self.held, element) {
            _ if self.done => Ok(()),
            (Held::Field { name, digest }, Element::Field { name: found, value }) => {
                if found == name {
                    self.key = Some(value.to_vec());
                }
                if Some(found) == digest.as_deref() {
                    self.sum = Some(value.to_vec());
                }
                Ok(())
            }
            (Held::Members, Element::Member(held)) | (Held::Value, Element::Value(held)) => {
                plain(held).map_or(Ok(()), take)
            }
            _ => Ok(()),
        }
    }

    /// What is known once all elements were seen.
    pub(crate) fn end(self) -> Option<Found> {
        if self.found.is_some() {
            return self.found;
        }
        let key = self.key.filter(|key| !key.is_empty()).map(Key::new)?;
        Some(with_digest(key, self.sum.as_deref()))
    }
}

fn plain(held: &[u8]) -> Option<Found> {
    (!held.is_empty()).then(|| Found::Reference(Reference::to(held)))
}

impl Held {
    fn is_in(&self, kind: Kind) -> bool {
        match self {
            Held::Field { .. } => kind.is_hash(),
            Held::Members => kind.is_list() || kind.is_set() || kind.is_sorted_set(),
            Held::Value => kind.is_string(),
            Held::Name => true,
        }
    }

    fn expects(&self) -> &'static str {
        match self {
            Held::Field { .. } => "a hash",
            Held::Members => "a set, a sorted set or a list",
            Held::Value => "a string",
            Held::Name => "a key",
        }
    }
}

/// A reference with the SHA-256 that is held beside it, if there is one.
pub(crate) fn with_digest(key: Key, sum: Option<&[u8]>) -> Found {
    let Some(sum) = sum.filter(|sum| !sum.is_empty()) else {
        return Found::Reference(Reference { key, digest: None });
    };
    // A text of 32 characters is an MD5, not 32 bytes.
    match Digest::parse(sum).filter(|_| sum.len() != 32 || !sum.is_ascii()) {
        Some(digest) => Found::Reference(Reference { key, digest: Some(digest) }),
        None => {
            let what =
                "a hash holds something else where a sha256 is expected: 64 hexadecimal digits, or 32 bytes";
            Found::Malformed(key, what.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_declaration_says_one_place() {
        for wrong in [
            json!("SELECT 1"),
            json!({}),
            json!({ "pattern": "" , "value": true }),
            json!({ "pattern": "a:*" }),
            json!({ "pattern": "a:*", "field": "x", "members": true }),
            json!({ "pattern": "a:*", "members": true, "digest": "x" }),
            json!({ "pattern": "a:\\*", "name": true }),
            json!({ "pattern": "a:*", "field": "x", "databse": 1 }),
            json!({ "pattern": "a:*", "field": "x", "database": -1 }),
        ] {
            let error = Keys::of(&wrong).unwrap_err();
            assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Config, "{wrong}");
            assert!(error.hint().is_some());
        }
        let keys =
            Keys::of(&json!({ "pattern": "a:*", "field": "x", "digest": "y", "database": 3 })).unwrap();
        assert_eq!(keys.held, Held::Field { name: b"x".to_vec(), digest: Some(b"y".to_vec()) });
        assert_eq!(keys.database, Some(3));
    }

    #[test]
    fn a_key_of_another_kind_is_malformed_and_what_is_empty_is_no_reference() {
        let all = |keys: serde_json::Value, key: &str, kind, elements: &[Element<'_>]| {
            let keys = Keys::of(&keys).unwrap();
            let mut found = Vec::new();
            let mut look = keys.look(key.as_bytes(), kind);
            for element in elements {
                look.see(*element, &mut |one| {
                    found.push(one);
                    Ok(())
                })
                .unwrap();
            }
            found.extend(look.end());
            found
        };
        let reference = |key: &str| Found::Reference(Reference::to(key));
        let field = |name: &'static str, value: &'static str| Element::Field {
            name: name.as_bytes(),
            value: value.as_bytes(),
        };
        let of_field = || json!({ "pattern": "s:*", "field": "x", "digest": "d" });
        let sum = "ab".repeat(32);
        let found = all(of_field(), "s:1", Kind::Hash, &[field("y", "1"), field("x", "2"), field("d", "")]);
        assert_eq!(found, [reference("2")]);
        let with_sum = Element::Field { name: b"d", value: sum.as_bytes() };
        let found = all(of_field(), "s:1", Kind::Hash, &[with_sum, field("x", "2")]);
        assert!(matches!(&found[..], [Found::Reference(Reference { digest: Some(_), .. })]));
        assert!(all(of_field(), "s:1", Kind::Hash, &[field("x", ""), with_sum]).is_empty());
        assert!(matches!(&all(of_field(), "s:1", Kind::Set, &[])[..], [Found::Malformed(..)]));
        let members = all(
            json!({ "pattern": "*", "members": true }),
            "s:1",
            Kind::Zset,
            &[Element::Member(b"a"), Element::Member(b""), Element::Member(b"b")],
        );
        assert_eq!(members, [reference("a"), reference("b")]);
        assert_eq!(
            all(json!({ "pattern": "s:*", "name": true }), "s:1", Kind::Stream, &[]),
            [reference("1")]
        );
        assert_eq!(
            all(json!({ "pattern": "*", "value": true }), "s:1", Kind::String, &[Element::Value(b"v")]),
            [reference("v")]
        );
    }

    #[test]
    fn an_md5_is_no_sha256() {
        let key = || Key::new(b"k".to_vec());
        assert!(matches!(
            with_digest(key(), Some(b"0123456789abcdef0123456789abcdef")),
            Found::Malformed(..)
        ));
        assert!(matches!(with_digest(key(), Some(b"")), Found::Reference(Reference { digest: None, .. })));
        assert!(matches!(
            with_digest(key(), Some(&[200; 32])),
            Found::Reference(Reference { digest: Some(_), .. })
        ));
    }
}
