//! Reading what stands in the journal, and what an old state is kept by.

use serde::de::DeserializeOwned;

use crate::{Error, Result, Token};

/// What a staging of that kind of driver has noted of itself in the journal: [`Staging::journal`](crate::Staging::journal).
/// The `version` in it must be that one.
///
/// # Errors
/// If it is of another version, or not of that kind.
pub fn parse_entry<T: DeserializeOwned>(token: &Token, kind: &str, version: u32) -> Result<T> {
    if is_other(token, version) {
        return Err(Error::unsupported("the journal was written by another version of dumprestore")
            .with_hint("recover with that version"));
    }
    T::deserialize(token).map_err(|error| {
        Error::defect(format!("the journal's token is not one of `{kind}`")).with_source(error)
    })
}

/// What an old state is kept by: what [`Staging::finish`](crate::Staging::finish) gave. Otherwise as [`parse_entry`].
///
/// # Errors
/// If it is of another version, or not of that kind.
pub fn parse_kept<T: DeserializeOwned>(token: &Token, kind: &str, version: u32) -> Result<T> {
    if is_other(token, version) {
        return Err(Error::unsupported("the old state was kept by another version of dumprestore")
            .with_hint("restore it with that version"));
    }
    T::deserialize(token).map_err(|error| {
        Error::defect(format!("the token of a kept state is not one of `{kind}`")).with_source(error)
    })
}

/// Asked first: another version may have noted what this one does not know.
fn is_other(token: &Token, version: u32) -> bool {
    token.get("version").and_then(Token::as_u64).is_some_and(|noted| noted != u64::from(version))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        version: u32,
        run: String,
    }

    #[test]
    fn a_token_of_another_version_is_told_from_one_that_is_none() {
        let parsed = parse_entry::<Entry>(&json!({ "version": 1, "run": "a" }), "shelf", 1);
        assert_eq!(parsed.unwrap(), Entry { version: 1, run: "a".to_owned() });
        for (token, kind) in [
            (json!({ "version": 2, "run": "a", "since": 3 }), ErrorKind::Unsupported),
            (json!({ "version": 1, "run": "a", "since": 3 }), ErrorKind::Defect),
            (json!({ "version": "1", "run": "a" }), ErrorKind::Defect),
            (json!(null), ErrorKind::Defect),
        ] {
            assert_eq!(parse_entry::<Entry>(&token, "shelf", 1).unwrap_err().kind(), kind, "{token}");
            assert_eq!(parse_kept::<Entry>(&token, "shelf", 1).unwrap_err().kind(), kind, "{token}");
        }
    }
}
