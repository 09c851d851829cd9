//! What a driver can do, as questions whose answers the engine acts on.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{ArchivedNode, Content, Error, Placement, Result, Selection};

/// What the engine may ask of a driver. Each answer has a consequence, which its type tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// How the source gets its content as of the cut.
    pub view: View,
    /// Until when a restore can be undone.
    pub undo: Undo,
    /// How many parts may be dumped or loaded at once.
    pub lanes: Lanes,
    /// Whether some of it can be restored without the rest.
    pub partial: Partial,
    /// Whether it can be restored in place, and on what terms.
    #[serde(default)]
    pub in_place: InPlace,
    /// Whether it can refer to others, or be referred to.
    pub linked: Linked,
}

impl Capabilities {
    /// Those of the simplest driver: streamed, never undone, one lane, whole, not linked.
    pub const fn streamed() -> Self {
        Self {
            view: View::Streamed,
            undo: Undo::Never,
            lanes: Lanes::One,
            partial: Partial::Whole,
            in_place: InPlace::No,
            linked: Linked { referrer: false, referent: false },
        }
    }

    /// The same with another view.
    pub const fn with_view(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// The same with another undo.
    pub const fn with_undo(mut self, undo: Undo) -> Self {
        self.undo = undo;
        self
    }

    /// The same with other lanes.
    pub const fn with_lanes(mut self, lanes: Lanes) -> Self {
        self.lanes = lanes;
        self
    }

    /// The same with other links.
    pub const fn with_linked(mut self, linked: Linked) -> Self {
        self.linked = linked;
        self
    }

    /// The same with another granularity of restore.
    pub const fn with_partial(mut self, partial: Partial) -> Self {
        self.partial = partial;
        self
    }

    /// The same with another answer to `--in-place`.
    pub const fn with_in_place(mut self, in_place: InPlace) -> Self {
        self.in_place = in_place;
        self
    }

    /// The terms of a restore of `selection`, if it is asked to be in that place.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if that can't be had.
    pub fn terms(&self, asked: Placement, selection: &Selection) -> Result<Terms> {
        let placement = match self.partial {
            _ if selection.is_whole() => asked,
            Partial::Whole if selection.things.is_empty() => {
                return Err(Error::unsupported("this node has no schema apart from its data").with_hint(
                    "leave out `--schema-only` and `--data-only`, or name with `--only` the nodes that have one",
                ));
            }
            Partial::Whole => {
                return Err(Error::unsupported("this node is restored whole or not at all")
                    .with_hint("name the node alone with `--only`"));
            }
            Partial::Things(_) if selection.content != Content::All => {
                return Err(Error::unsupported("this node has no schema apart from its data")
                    .with_hint("leave out `--schema-only` and `--data-only`"));
            }
            Partial::Things(least) | Partial::SchemaOrData(least) => asked.max(least),
        };
        match (placement, self.in_place) {
            (Placement::Beside, _) => Ok(Terms { placement, undo: self.undo, lanes: self.lanes }),
            (Placement::InPlace, InPlace::Yes { undo, lanes }) => Ok(Terms { placement, undo, lanes }),
            (Placement::InPlace, InPlace::No) => {
                Err(Error::unsupported("this node can't be restored in place")
                    .with_hint("name with `--in-place=NODE` the nodes that are to be"))
            }
        }
    }
}

/// On what terms a restore is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Where the new data are made.
    pub placement: Placement,
    /// Until when it can be undone.
    pub undo: Undo,
    /// How many parts may be loaded at once.
    pub lanes: Lanes,
}

/// How does a dump get content of one instant?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// `pin` holds a snapshot: everything dumped later is as of the cut.
    Pinned,
    /// `pin` holds a snapshot that can be read once, from front to back, such as a stream that a server sends. All of
    /// it is captured after the pin: before its references are certified, for what was read answers for it.
    Once,
    /// Nothing can hold it still: content is captured in passes before the cut, and checked at the cut.
    Captured,
    /// Neither: it is read when its turn comes, and no reference to it can be certified.
    Streamed,
}

/// Until when can a restore be undone?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Until `finish`: it is committed first.
    AfterCommit,
    /// Until `commit`: it is committed after all that can be undone.
    BeforeCommit,
    /// Not at all: it is loaded last, once everything else is committed.
    Never,
}

/// How many parts may be dumped, or loaded, at once?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lanes {
    /// One after the other, in the order of `parts`.
    One,
    /// As many as the engine likes, in any order.
    Many,
}

/// Can some of it be restored without the rest?
///
/// The placement is the one that such a restore needs at least: a driver that can swap only a whole database stages a
/// whole one [`Beside`](Placement::Beside), and restores a single table [`InPlace`](Placement::InPlace).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partial {
    /// Only the whole node.
    Whole,
    /// Things that are named: `--only NODE:THING`.
    Things(Placement),
    /// The same, and the schema without the data, or the data without the schema.
    SchemaOrData(Placement),
}

/// Can it be restored in place: into the target itself, with no second copy of it beside?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// No: whoever asks for it is refused.
    #[default]
    No,
    /// Yes, on these terms.
    Yes {
        /// Until when it can be undone: mostly [`Undo::BeforeCommit`], as with one long transaction.
        undo: Undo,
        /// How many parts may be loaded at once.
        lanes: Lanes,
    },
}

/// Which ends of a reference can it be?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// It answers [`Links::references`](crate::Links::references).
    pub referrer: bool,
    /// It answers [`Links::resolve`](crate::Links::resolve).
    pub referent: bool,
}

/// The formats of its own parts that a driver deals with. The number grows when parts change in a way that an
/// older driver would misread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formats {
    /// The one it writes.
    pub writes: u32,
    /// Those it reads.
    pub reads: RangeInclusive<u32>,
}

impl Formats {
    /// Writes and reads one format only.
    pub const fn only(format: u32) -> Self {
        Self { writes: format, reads: format..=format }
    }

    /// Refuses what a driver other than `kind` dumped, and a format that is not read.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), which names what was found.
    pub fn check(&self, kind: &str, archived: &dyn ArchivedNode) -> Result<()> {
        if archived.kind() != kind {
            let found = archived.kind();
            return Err(Error::unsupported(format!(
                "a dump of a `{found}` node can't be restored into a `{kind}` node"
            )));
        }
        if !self.reads.contains(&archived.format()) {
            let found = archived.format();
            return Err(Error::unsupported(format!("this driver can't read format {found} of a dump"))
                .with_hint("use a newer dumprestore"));
        }
        Ok(())
    }
}
