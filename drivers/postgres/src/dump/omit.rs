//! Leaves definitions out: those of what is not chosen, and those that can't be made without it.

use std::collections::{HashMap, HashSet};

use dumprestore_driver::LedgerEntry;

use super::choice::Chosen;
use crate::catalog::Kinship;
use crate::contents::Definition;

/// `pg_class`.
const RELATIONS: u32 = 1259;

/// What is left of the definitions, and what there is to say about those that are not.
pub(crate) struct Kept {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) notes: Vec<LedgerEntry>,
}

/// Leaves out what `chosen` leaves out, and what needs it. An extension, or whatever else is in no schema, stays, unless
/// it needs what goes.
pub(crate) fn omit(definitions: Vec<Definition>, chosen: &Chosen, kinship: &Kinship) -> Kept {
    if chosen.whole {
        return Kept { definitions, notes: Vec::new() };
    }
    let mut gone: HashMap<i32, String> = HashMap::new();
    let mut notes = Vec::new();
    let objects: HashMap<i32, (u32, u32)> =
        definitions.iter().map(|definition| (definition.item.id, definition.object)).collect();
    for definition in &definitions {
        let item = &definition.item;
        if is_not_chosen(definition, &objects, chosen, kinship) {
            gone.insert(item.id, label(definition));
        } else if let Some(needed) = item.needs.iter().find_map(|id| gone.get(id)).cloned() {
            if is_worth_a_note(&item.kind) {
                let why = format!("it needs {needed}, which is left out");
                notes.push(LedgerEntry::note(label(definition), why));
            }
            gone.insert(item.id, label(definition));
        }
    }
    drop_orphaned_sequences(&definitions, &mut gone, chosen, kinship);
    let mut kept = definitions;
    kept.retain(|definition| !gone.contains_key(&definition.item.id));
    for definition in &mut kept {
        definition.item.needs.retain(|id| !gone.contains_key(id));
    }
    Kept { definitions: kept, notes }
}

fn is_not_chosen(
    definition: &Definition,
    objects: &HashMap<i32, (u32, u32)>,
    chosen: &Chosen,
    kinship: &Kinship,
) -> bool {
    let item = &definition.item;
    if chosen.omits_schema(&item.schema) || item.kind == "SCHEMA" && chosen.omits_schema(&item.name) {
        return true;
    }
    if item.kind == "SEQUENCE OWNED BY" {
        let mut sequences = item.needs.iter().filter_map(|id| objects.get(id));
        return sequences.any(|object| owner_is_out(*object, chosen, kinship));
    }
    definition.object.0 == RELATIONS && chosen.omits(definition.object.1)
        || kinship.relation_of(definition.object).is_some_and(|(relation, _)| chosen.omits(relation))
}

fn owner_is_out(object: (u32, u32), chosen: &Chosen, kinship: &Kinship) -> bool {
    object.0 == RELATIONS && kinship.owner_of_sequence(object.1).is_some_and(|table| chosen.omits(table))
}

/// A sequence that a table's column owns goes with the table, unless something else needs it.
fn drop_orphaned_sequences(
    definitions: &[Definition],
    gone: &mut HashMap<i32, String>,
    chosen: &Chosen,
    kinship: &Kinship,
) {
    let is_remark = |kind: &str| matches!(kind, "COMMENT" | "ACL" | "SECURITY LABEL");
    let needed: HashSet<i32> = definitions
        .iter()
        .filter(|definition| !gone.contains_key(&definition.item.id) && !is_remark(&definition.item.kind))
        .flat_map(|definition| definition.item.needs.iter().copied())
        .collect();
    for definition in definitions {
        let item = &definition.item;
        let is_orphan = item.kind == "SEQUENCE"
            && !needed.contains(&item.id)
            && owner_is_out(definition.object, chosen, kinship);
        let is_of_one = is_remark(&item.kind) && item.needs.iter().any(|id| gone.contains_key(id));
        if is_orphan || is_of_one {
            gone.insert(item.id, label(definition));
        }
    }
}

fn label(definition: &Definition) -> String {
    let item = &definition.item;
    let dot = if item.schema.is_empty() { "" } else { "." };
    format!("{} `{}{dot}{}`", item.kind.to_lowercase(), item.schema, item.name.escape_debug())
}

/// What is only said of a thing goes with it without a word.
fn is_worth_a_note(kind: &str) -> bool {
    !matches!(
        kind,
        "COMMENT"
            | "ACL"
            | "DEFAULT ACL"
            | "SECURITY LABEL"
            | "TABLE ATTACH"
            | "INDEX ATTACH"
            | "PUBLICATION TABLE"
            | "PUBLICATION TABLES IN SCHEMA"
            | "ROW SECURITY"
            | "SEQUENCE OWNED BY"
    )
}
