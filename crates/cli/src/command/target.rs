//! `--map NODE=TARGET`.

use std::str::FromStr;

use dumprestore::NodePath;

/// Another target for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) node: NodePath,
    pub(crate) place: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, place) = text.split_once('=').ok_or("write it as `NODE=TARGET`")?;
        let node = NodePath::new(node).map_err(|error| error.to_string())?;
        if place.is_empty() {
            return Err("the target after `=` is empty".to_owned());
        }
        Ok(Self { node, place: place.to_owned() })
    }
}
