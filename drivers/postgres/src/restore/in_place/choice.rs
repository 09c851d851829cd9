//! What of an archive is restored: all, some tables, or rows only.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dumprestore_driver::{ArchivedNode, Content, Error, Pattern, Result, Selection, closest};

use super::super::LARGE_OBJECTS;
use crate::archived::{Contents, Item, LargeObjectRoles, Sequence};
use crate::pattern::fits_table;

/// Schema and name.
pub(super) type TableName = (String, String);

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The whole database.
    Database,
    /// Some tables, with their definitions.
    Tables,
    /// The rows of some tables, or of all.
    Rows,
}

/// What is chosen.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(super) scope: Scope,
    /// The archive's contents, of which only what is chosen is left.
    pub(crate) contents: Contents,
    /// The tables, with their partitions. Not looked at where the scope is the database.
    pub(super) tables: BTreeSet<TableName>,
    /// From a partition to the outermost partitioned table that is chosen as well.
    pub(super) roots: BTreeMap<TableName, TableName>,
    /// What the user wrote. Empty, if all tables are meant.
    pub(super) patterns: Vec<Pattern>,
    /// Sequences that defaults of these tables take values from, and that are not restored, as no column owns them.
    pub(super) lent_sequences: Vec<Sequence>,
    pub(crate) large_objects: bool,
    /// Whether the archive has large objects, and they are not restored.
    pub(super) leaves_large_objects: bool,
    /// Whether rows are restored as well.
    pub(super) with_data: bool,
}

impl Chosen {
    /// Picks what a selection means.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it means nothing that the archive has.
    pub(crate) fn of(
        mut contents: Contents,
        selection: &Selection,
        archived: &dyn ArchivedNode,
    ) -> Result<Self> {
        let patterns = patterns(&selection.things);
        let scope = match (selection.content, patterns.is_empty()) {
            (Content::DataOnly, _) => Scope::Rows,
            (_, true) => Scope::Database,
            (_, false) => Scope::Tables,
        };
        let with_data = selection.content != Content::SchemaOnly;
        let has_large_objects = || archived.parts().any(|part| part.name.below(LARGE_OBJECTS).is_some());
        let hierarchy = Hierarchy::of(&contents.items);
        let chosen = hierarchy.chosen(&contents, &patterns)?;
        let tables: BTreeSet<TableName> = chosen.iter().map(|id| hierarchy.name(*id)).collect();
        let roots = hierarchy.roots(&chosen);
        let lends = with_data && !patterns.is_empty();
        let lent_sequences = if lends { lent_sequences(&contents, &chosen, &tables) } else { Vec::new() };
        match scope {
            Scope::Database => {}
            Scope::Tables => contents = belonging(contents, &chosen, &tables),
            Scope::Rows => contents = rows_of(contents, &chosen, &tables, patterns.is_empty()),
        }
        if !with_data {
            contents.tables.iter_mut().for_each(|table| table.parts.clear());
            (contents.sequences, contents.matviews) = (Vec::new(), Vec::new());
        }
        let large_objects =
            with_data && patterns.is_empty() && (scope == Scope::Database || has_large_objects());
        let leaves_large_objects = with_data && !large_objects && has_large_objects();
        if !large_objects {
            contents.large_object_roles = LargeObjectRoles::default();
        }
        Ok(Self {
            scope,
            contents,
            tables,
            roots,
            patterns,
            lent_sequences,
            large_objects,
            leaves_large_objects,
            with_data,
        })
    }

    /// A dump without the rows of a table that is named has nothing to replace them with.
    pub(super) fn refuse_without_rows(&self) -> Result<()> {
        let without = self.contents.tables.iter().find(|table| table.without_data);
        match without.filter(|_| self.with_data && !self.patterns.is_empty()) {
            None => Ok(()),
            Some(table) => Err(Error::config(format!(
                "the dump is without the rows of `{}.{}`",
                table.schema, table.name
            ))
            .with_hint("leave it out, or take an archive that has them")),
        }
    }
}

fn patterns(things: &[String]) -> Vec<Pattern> {
    things.iter().map(Pattern::new).collect()
}

/// The tables of an archive, and which are partitions of which.
struct Hierarchy<'a> {
    tables: HashMap<i32, &'a Item>,
    parents: HashMap<i32, i32>,
}

impl<'a> Hierarchy<'a> {
    fn of(items: &'a [Item]) -> Self {
        let tables: HashMap<i32, &Item> =
            items.iter().filter(|item| item.kind == "TABLE").map(|item| (item.id, item)).collect();
        let mut parents = HashMap::new();
        for item in items {
            let attaches = item.kind == "TABLE ATTACH"
                || item.kind == "TABLE" && item.sql.contains(" ATTACH PARTITION ");
            if !attaches {
                continue;
            }
            let is_child = |id: &i32| {
                tables.get(id).is_some_and(|table| table.schema == item.schema && table.name == item.name)
            };
            let needed = item.needs.iter().chain([&item.id]);
            let child = needed.clone().find(|id| is_child(id));
            let parent = needed.filter(|id| !is_child(id)).find(|id| tables.contains_key(id));
            parents.extend(child.zip(parent).map(|(child, parent)| (*child, *parent)));
        }
        Self { tables, parents }
    }

    fn name(&self, id: i32) -> TableName {
        self.tables.get(&id).map(|item| (item.schema.clone(), item.name.clone())).unwrap_or_default()
    }

    fn above(&self, id: i32) -> impl Iterator<Item = i32> {
        std::iter::successors(Some(id), |id| self.parents.get(id).copied()).take(self.tables.len() + 1)
    }

    /// The tables that patterns mean, with their partitions; all, if there are no patterns.
    fn chosen(&self, contents: &Contents, patterns: &[Pattern]) -> Result<HashSet<i32>> {
        let fits = |pattern: &Pattern, item: &Item| fits_table(pattern, &item.schema, &item.name);
        if let Some(lost) =
            patterns.iter().find(|pattern| !self.tables.values().any(|item| fits(pattern, item)))
        {
            return Err(self.unknown(contents, lost));
        }
        let named = |id: &i32| {
            let Some(item) = self.tables.get(id) else { return false };
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, item))
        };
        Ok(self.tables.keys().copied().filter(|id| self.above(*id).any(|id| named(&id))).collect())
    }

    fn unknown(&self, contents: &Contents, pattern: &Pattern) -> Error {
        let text = pattern.text();
        let other = contents.items.iter().find(|item| {
            item.kind != "TABLE" && item.table.is_none() && fits_table(pattern, &item.schema, &item.name)
        });
        let names = self.tables.values().map(|item| format!("{}.{}", item.schema, item.name));
        match (other, closest(text, names)) {
            (Some(item), _) => {
                Error::config(format!("`{}` is a {}", text.escape_debug(), item.kind.to_lowercase()))
                    .with_hint("only tables are restored by themselves")
            }
            (None, closest) => Error::config(format!("the archive has no table `{}`", text.escape_debug()))
                .with_hint(
                    closest.map_or("letter case counts; `*` and `?` stand for others".to_owned(), |name| {
                        format!("did you mean `{}`?", name.escape_debug())
                    }),
                ),
        }
    }

    fn roots(&self, chosen: &HashSet<i32>) -> BTreeMap<TableName, TableName> {
        let root =
            |id: i32| self.above(id).filter(|id| chosen.contains(id)).last().filter(|root| *root != id);
        chosen.iter().filter_map(|id| Some((self.name(*id), self.name(root(*id)?)))).collect()
    }
}

/// Definitions that are part of a table, wherever they stand, or are said of a part of it.
const PARTS: [&str; 6] =
    ["INDEX ATTACH", "PUBLICATION TABLE", "ROW SECURITY", "SEQUENCE OWNED BY", "STATISTICS", "TABLE ATTACH"];
const SAID: [&str; 3] = ["ACL", "COMMENT", "SECURITY LABEL"];

/// The contents, with only what belongs to these tables.
fn belonging(contents: Contents, chosen: &HashSet<i32>, tables: &BTreeSet<TableName>) -> Contents {
    let mut ours: HashSet<i32> = chosen.clone();
    ours.extend(owned_sequences(&contents.items, chosen));
    for item in &contents.items {
        let needs = |ids: &HashSet<i32>| item.needs.iter().any(|id| ids.contains(id));
        let kind = item.kind.as_str();
        if item.table.as_ref().is_some_and(|table| tables.contains(table))
            || PARTS.contains(&kind) && needs(&ours)
            || SAID.contains(&kind) && needs(&ours)
        {
            ours.insert(item.id);
        }
    }
    let sequences = names(&contents.items, &ours, "SEQUENCE");
    Contents {
        roles: Vec::new(),
        items: contents.items.into_iter().filter(|item| ours.contains(&item.id)).collect(),
        tables: contents
            .tables
            .into_iter()
            .filter(|table| is_among(tables, &table.schema, &table.name))
            .collect(),
        sequences: contents
            .sequences
            .into_iter()
            .filter(|sequence| is_among(&sequences, &sequence.schema, &sequence.name))
            .collect(),
        loose_keys: contents
            .loose_keys
            .into_iter()
            .filter(|key| is_among(tables, &key.schema, &key.table))
            .collect(),
        matviews: Vec::new(),
        schemas: Vec::new(),
        whole: true,
        ..contents
    }
}

/// The contents, with only rows and what goes with them.
fn rows_of(contents: Contents, chosen: &HashSet<i32>, tables: &BTreeSet<TableName>, all: bool) -> Contents {
    let sequences = names(&contents.items, &owned_sequences(&contents.items, chosen), "SEQUENCE");
    let mut contents = Contents { roles: Vec::new(), schemas: Vec::new(), whole: true, ..contents };
    contents.items = Vec::new();
    contents.tables.retain(|table| is_among(tables, &table.schema, &table.name) || all && table.of_extension);
    if !all {
        contents.matviews = Vec::new();
        contents.sequences.retain(|sequence| is_among(&sequences, &sequence.schema, &sequence.name));
    }
    contents
}

fn is_among(names: &BTreeSet<TableName>, schema: &str, name: &str) -> bool {
    names.contains(&(schema.to_owned(), name.to_owned()))
}

fn names(items: &[Item], ids: &HashSet<i32>, kind: &str) -> BTreeSet<TableName> {
    let those = items.iter().filter(|item| item.kind == kind && ids.contains(&item.id));
    those.map(|item| (item.schema.clone(), item.name.clone())).collect()
}

/// Sequences of columns of these tables: of an identity, which need the table, or those that a column owns.
fn owned_sequences(items: &[Item], tables: &HashSet<i32>) -> HashSet<i32> {
    let sequences: HashSet<i32> =
        items.iter().filter(|item| item.kind == "SEQUENCE").map(|item| item.id).collect();
    let needs_table = |item: &&Item| item.needs.iter().any(|id| tables.contains(id));
    let of_identity = items.iter().filter(|item| item.kind == "SEQUENCE").filter(needs_table);
    let owned = items.iter().filter(|item| item.kind == "SEQUENCE OWNED BY").filter(needs_table);
    let owned = owned.flat_map(|item| item.needs.iter().copied()).filter(|id| sequences.contains(id));
    of_identity.map(|item| item.id).chain(owned).collect()
}

/// Sequences that these tables take values from by default, and that belong to none of them.
fn lent_sequences(contents: &Contents, chosen: &HashSet<i32>, tables: &BTreeSet<TableName>) -> Vec<Sequence> {
    let owned = owned_sequences(&contents.items, chosen);
    let takes = |item: &&Item| {
        let is_default = || item.table.as_ref().is_some_and(|table| tables.contains(table));
        chosen.contains(&item.id) || item.kind == "DEFAULT" && is_default()
    };
    let needed = contents.items.iter().filter(takes).flat_map(|item| &item.needs);
    let lent: HashSet<i32> = needed.copied().filter(|id| !owned.contains(id)).collect();
    let lent = names(&contents.items, &lent, "SEQUENCE");
    let is_lent = |sequence: &&Sequence| is_among(&lent, &sequence.schema, &sequence.name);
    contents.sequences.iter().filter(is_lent).cloned().collect()
}
