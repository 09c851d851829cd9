//! How much of a node is restored, and where.

use serde::{Deserialize, Serialize};

/// Where the new data of a restore are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Beside the live data, to be swapped with them.
    #[default]
    Beside,
    /// In the target itself: for those who have no room, or no right, to make a second one.
    InPlace,
}

/// What of an archived node is restored. By default, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Selection {
    /// Things of the node, as the user wrote them after `NODE:`, such as `public.orders` or `shop.*`. Each driver says
    /// what its things are and whether they may hold globs. If there is none, all are meant.
    pub things: Vec<String>,
    /// What of these things.
    pub content: Content,
}

impl Selection {
    /// These things, with all that belongs to them.
    pub fn of(things: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { things: things.into_iter().map(Into::into).collect(), content: Content::All }
    }

    /// The same, with another content.
    pub fn with_content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Whether it is the whole node.
    pub fn is_whole(&self) -> bool {
        self.things.is_empty() && self.content == Content::All
    }
}

/// What of the selected things is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Everything.
    #[default]
    All,
    /// Their definitions, without data: what is there already is replaced by what is empty.
    SchemaOnly,
    /// Their data, into definitions that are there already. The data that are there are replaced.
    DataOnly,
}
