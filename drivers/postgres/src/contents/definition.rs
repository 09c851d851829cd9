//! From entries to definitions.

use std::collections::{HashMap, HashSet};

use super::entry::Entry;
use crate::archived::{Item, Section};
use crate::quote;

/// `SECTION_NONE`: comments, labels and privileges, which are made when what they are of is.
const NO_SECTION: i32 = 1;
const PRE_DATA: i32 = 2;
const DATA: i32 = 3;

/// `p`: a partitioned table.
const PARTITIONED: i32 = b'p' as i32;

/// A definition, and the thing in the catalogue that it defines: the number of the catalogue, and that of the thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) object: (u32, u32),
    pub(crate) item: Item,
}

/// The definitions among `entries`, in an order in which they can be made: all of a section, then all of the next.
///
/// What only `pg_restore` needs is left out, and so is what we set, read or make ourselves: encoding, search path, the
/// database, rows, positions of sequences, statistics, large objects.
pub(crate) fn definitions(entries: Vec<Entry>) -> Vec<Definition> {
    let sections = sections(&entries);
    let mut made: Vec<(Rank, Definition)> = entries
        .into_iter()
        .filter_map(|entry| {
            let section = *sections.get(&entry.id)?;
            Some((rank(&entry, section), definition(entry, section)))
        })
        .collect();
    for (_, definition) in &mut made {
        let mut seen = HashSet::new();
        definition.item.needs.retain(|id| sections.contains_key(id) && seen.insert(*id));
    }
    made.sort_by_key(|(rank, _)| *rank);
    made.into_iter().map(|(_, definition)| definition).collect()
}

/// Sections, and within the last one: privileges, then event triggers with what is said of them.
type Rank = (Section, bool);

fn rank(entry: &Entry, section: Section) -> Rank {
    (section, section == Section::Last && !is_privilege(&entry.kind))
}

/// The section of each entry that is a definition. An entry comes after what it needs.
fn sections(entries: &[Entry]) -> HashMap<i32, Section> {
    let mut sections = HashMap::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| is_definition(entry)) {
        let own = match entry.section {
            _ if is_privilege(&entry.kind) || entry.kind == "EVENT TRIGGER" => Section::Last,
            NO_SECTION | PRE_DATA => Section::PreData,
            _ => Section::PostData,
        };
        let needed = entry.needs.iter().filter_map(|id| sections.get(id)).copied();
        sections.insert(entry.id, needed.fold(own, Ord::max));
    }
    sections
}

fn is_privilege(kind: &str) -> bool {
    matches!(kind, "ACL" | "DEFAULT ACL" | "ACL LANGUAGE")
}

fn is_definition(entry: &Entry) -> bool {
    if entry.section == DATA || entry.create.is_empty() {
        return false;
    }
    match entry.kind.as_str() {
        "ENCODING" | "STDSTRINGS" | "SEARCHPATH" | "DATABASE" | "DATABASE PROPERTIES" => false,
        "BLOB" | "BLOBS" | "BLOB METADATA" | "BLOB COMMENTS" => false,
        "TABLE DATA" | "SEQUENCE SET" | "MATERIALIZED VIEW DATA" | "STATISTICS DATA" => false,
        "COMMENT" | "ACL" | "SECURITY LABEL" => {
            !entry.tag.starts_with("LARGE OBJECT") && !entry.tag.starts_with("DATABASE ")
        }
        _ => true,
    }
}

fn definition(entry: Entry, section: Section) -> Definition {
    let owned = owned(&entry);
    let item = Item {
        id: entry.id,
        section,
        kind: entry.kind,
        schema: entry.schema,
        name: entry.tag,
        table: None,
        owner: entry.owner,
        owned,
        tablespace: entry.tablespace,
        access_method: entry.access_method,
        partitioned: entry.relation_kind == PARTITIONED,
        sql: entry.create,
        drop: entry.drop,
        needs: entry.needs,
    };
    Definition { object: entry.object, item }
}

/// What `ALTER … OWNER TO` is said of. Of things that are called by their name it is made of that; functions and
/// operators are called by their arguments too, which stand in the statement that drops them.
fn owned(entry: &Entry) -> Option<String> {
    if entry.owner.is_empty() || entry.drop.is_empty() {
        return None;
    }
    match entry.kind.as_str() {
        "COLLATION"
        | "CONVERSION"
        | "DOMAIN"
        | "FOREIGN TABLE"
        | "MATERIALIZED VIEW"
        | "SEQUENCE"
        | "STATISTICS"
        | "TABLE"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION"
        | "TYPE"
        | "VIEW" => Some(format!("{} {}", entry.kind, quote::qualified(&entry.schema, &entry.tag))),
        "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "PROCEDURAL LANGUAGE"
        | "PUBLICATION"
        | "SCHEMA"
        | "SERVER"
        | "SUBSCRIPTION" => Some(format!("{} {}", entry.kind, quote::name(&entry.tag))),
        "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" | "PROCEDURE" => {
            let dropped = entry.drop.trim_end().trim_end_matches(';');
            dropped.strip_prefix("DROP ").map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i32, kind: &str, section: i32, needs: &[i32]) -> Entry {
        Entry {
            id,
            kind: kind.to_owned(),
            section,
            tag: format!("thing{id}"),
            create: format!("CREATE {id};\n"),
            needs: needs.to_vec(),
            ..Entry::default()
        }
    }

    fn ids(definitions: &[Definition]) -> Vec<i32> {
        definitions.iter().map(|definition| definition.item.id).collect()
    }

    #[test]
    fn each_comes_after_what_it_needs_and_event_triggers_after_all() {
        let made = definitions(vec![
            entry(90, "ENCODING", PRE_DATA, &[]),
            entry(1, "EVENT TRIGGER", 4, &[2]),
            entry(10, "COMMENT", NO_SECTION, &[1]),
            entry(2, "FUNCTION", PRE_DATA, &[90]),
            entry(3, "TABLE", PRE_DATA, &[]),
            entry(4, "ACL", NO_SECTION, &[3]),
            entry(5, "INDEX", 4, &[3]),
            entry(6, "COMMENT", NO_SECTION, &[5]),
            entry(7, "VIEW", PRE_DATA, &[3]),
            entry(8, "TABLE DATA", DATA, &[3]),
            entry(9, "DEFAULT ACL", 4, &[]),
        ]);
        assert_eq!(ids(&made), [2, 3, 7, 5, 6, 4, 9, 1, 10]);
        let of = |id: i32| &made.iter().find(|made| made.item.id == id).unwrap().item;
        assert_eq!(of(6).section, Section::PostData);
        assert_eq!(of(10).section, Section::Last);
        assert!(of(2).needs.is_empty());
    }

    #[test]
    fn an_owner_is_given_to_what_can_have_one_by_its_exact_name() {
        let of = |kind: &str, schema: &str, tag: &str, drop: &str| {
            owned(&Entry {
                schema: schema.to_owned(),
                tag: tag.to_owned(),
                owner: "o".to_owned(),
                drop: drop.to_owned(),
                ..entry(1, kind, PRE_DATA, &[])
            })
        };
        assert_eq!(of("TABLE", "s", "a.b", "DROP TABLE x;\n").unwrap(), "TABLE \"s\".\"a.b\"");
        assert_eq!(of("SCHEMA", "", "s", "DROP SCHEMA s;\n").unwrap(), "SCHEMA \"s\"");
        assert_eq!(
            of("FUNCTION", "s", "f(integer)", "DROP FUNCTION s.f(a integer);\n").unwrap(),
            "FUNCTION s.f(a integer)"
        );
        assert_eq!(
            of("OPERATOR CLASS", "s", "oc", "DROP OPERATOR CLASS s.oc USING btree;\n").unwrap(),
            "OPERATOR CLASS s.oc USING btree"
        );
        assert_eq!(of("INDEX", "s", "i", "DROP INDEX s.i;\n"), None);
        assert_eq!(of("SEQUENCE OWNED BY", "s", "i", ""), None);
    }
}
