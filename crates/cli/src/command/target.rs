//! `--map NODE=TARGET`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use dumprestore::{Error, NodePath, Result};

/// Another target for a node, as it was given. It may be a URL with a password: neither `Debug` nor an error shows it,
/// which is why it is not taken apart by the parser of the command line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target(String);

impl Target {
    /// The node, and its target.
    ///
    /// # Errors
    /// If it is not of the form `NODE=TARGET`.
    pub(crate) fn parts(&self) -> Result<(NodePath, String)> {
        let wrong = |why: &str| {
            Error::config(format!("a value of `--map` {why}")).with_hint("write `--map NODE=TARGET`")
        };
        let (node, place) = self.0.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
        let node = NodePath::new(node).map_err(|_| wrong("does not begin with the name of a node"))?;
        if place.is_empty() {
            return Err(wrong("has no target after `=`"));
        }
        Ok((node, place.to_owned()))
    }
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_refused_without_being_shown() {
        for text in ["postgres://u:hidden@h/db", "d b=postgres://u:hidden@h/db", "=hidden", "db="] {
            let target: Target = text.parse().unwrap();
            let told = format!("{target:?} {:?}", target.parts().unwrap_err());
            assert!(told.contains("--map") && !told.contains("hidden"), "{told}");
        }
        let target: Target = "shop.db=postgres://u:p=w@h/db".parse().unwrap();
        assert_eq!(
            target.parts().unwrap(),
            (NodePath::new("shop.db").unwrap(), "postgres://u:p=w@h/db".to_owned())
        );
    }
}
