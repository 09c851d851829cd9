//! What of an archived database is written.

use std::collections::BTreeSet;

use dumprestore_driver::{Content, Error, Result, Selection};

use super::order::{Order, by_references};
use crate::archived::{Contents, Item, Matview, Role, Section, Sequence, Table};
use crate::restore::split_last;

/// What is written, each list in the order in which it is.
pub(super) struct Meant<'a> {
    pub(super) content: Content,
    pub(super) roles: Vec<&'a Role>,
    /// Whether the schema `public`, which every database begins with, was not there.
    pub(super) without_public: bool,
    /// Definitions before the rows.
    pub(super) before: Vec<&'a Item>,
    pub(super) tables: Vec<&'a Table>,
    /// Tables among them that refer to each other, where foreign keys hold while rows are loaded.
    pub(super) in_rings: BTreeSet<String>,
    pub(super) large_objects: bool,
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
    pub(super) fn of(contents: &'a Contents, selection: &Selection) -> Result<Self> {
        if !selection.things.is_empty() {
            return Err(Error::unsupported("a database is written whole, or its schema or its data alone"));
        }
        let content = selection.content;
        let (defined, filled) = (content != Content::DataOnly, content != Content::SchemaOnly);
        let of = |section: Section| {
            let items = contents.items.iter().filter(|item| defined && item.section == section);
            items.collect::<Vec<_>>()
        };
        let (privileges, last) = if defined { split_last(contents) } else { Default::default() };
        let Order { tables, in_rings } = match content {
            Content::SchemaOnly => Order::default(),
            Content::DataOnly => by_references(contents),
            _ => Order { tables: contents.tables.iter().collect(), ..Order::default() },
        };
        Ok(Self {
            content,
            roles: contents.roles.iter().filter(|_| defined).collect(),
            without_public: defined
                && contents.whole
                && !contents.schemas.iter().any(|name| name == "public"),
            before: of(Section::PreData),
            tables,
            in_rings,
            large_objects: filled,
            after: of(Section::PostData),
            sequences: contents.sequences.iter().filter(|_| filled).collect(),
            privileges,
            matviews: contents.matviews.iter().filter(|_| filled).collect(),
            last,
            database: defined && contents.whole,
        })
    }
}
