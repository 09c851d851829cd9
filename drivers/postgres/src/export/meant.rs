//! What of an archived database is written.

use dumprestore_driver::{Content, Selection};

use crate::archived::{Contents, Item, Matview, Role, Section, Sequence, Table};
use crate::restore::split_last;

/// What is written, each list in the order in which it is.
pub(super) struct Meant<'a> {
    pub(super) content: Content,
    /// What the user named. Nothing: all is meant.
    pub(super) things: Vec<String>,
    pub(super) roles: Vec<&'a Role>,
    /// Whether the schema `public`, which every database begins with, was not there.
    pub(super) without_public: bool,
    /// Definitions before the rows.
    pub(super) before: Vec<&'a Item>,
    pub(super) tables: Vec<&'a Table>,
    /// Definitions after the rows.
    pub(super) after: Vec<&'a Item>,
    pub(super) sequences: Vec<&'a Sequence>,
    pub(super) privileges: Vec<&'a Item>,
    /// Filled when privileges hold: their owners may need them.
    pub(super) matviews: Vec<&'a Matview>,
    /// What acts on every definition.
    pub(super) last: Vec<&'a Item>,
    /// Whether what belongs to the database as a whole is written.
    pub(super) database: bool,
}

impl<'a> Meant<'a> {
    /// `contents` has only what is selected.
    pub(super) fn of(contents: &'a Contents, selection: &Selection) -> Self {
        let content = selection.content;
        let (defined, filled) = (content != Content::DataOnly, content != Content::SchemaOnly);
        let of = |section: Section| {
            let items = contents.items.iter().filter(|item| defined && item.section == section);
            items.collect::<Vec<_>>()
        };
        let (privileges, last) = if defined { split_last(contents) } else { Default::default() };
        let database = defined && selection.things.is_empty() && contents.whole;
        Self {
            content,
            things: selection.things.clone(),
            roles: contents.roles.iter().filter(|_| defined).collect(),
            without_public: database && !contents.schemas.iter().any(|name| name == "public"),
            before: of(Section::PreData),
            tables: contents.tables.iter().filter(|_| filled).collect(),
            after: of(Section::PostData),
            sequences: contents.sequences.iter().filter(|_| filled).collect(),
            privileges,
            matviews: contents.matviews.iter().filter(|_| filled).collect(),
            last,
            database,
        }
    }
}
