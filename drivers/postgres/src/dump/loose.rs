//! Foreign keys that a restore can't check: of rows that are dumped, to rows that are left out. They would fail when all
//! else is made, and with them the restore. So they are dumped as `NOT VALID`: they hold for rows that come later.

use std::collections::{HashMap, HashSet};

use dumprestore_driver::{LedgerEntry, Result};

use super::pin::Pinned;
use crate::archived::{LooseKey, Table, Unchecked};
use crate::catalog::{self, Reference, Relation};
use crate::connect::Connection;
use crate::contents::Definition;

/// `pg_constraint`.
const CONSTRAINTS: u32 = 2606;

/// Those of the foreign keys that lead from what is dumped with rows to what is dumped without.
pub(crate) fn loose<'a>(
    references: &'a [Reference],
    relations: &[Relation],
    with_rows: impl Fn(&Relation) -> bool,
    without_rows: impl Fn(&Relation) -> bool,
) -> Vec<&'a Reference> {
    let from = with_parents(relations, with_rows);
    let to = with_parents(relations, without_rows);
    let is_loose = |one: &&Reference| from.contains(&one.from) && to.contains(&one.to);
    references.iter().filter(is_loose).collect()
}

/// Numbers of some relations, and of all that they are partitions of.
fn with_parents(relations: &[Relation], is_one: impl Fn(&Relation) -> bool) -> HashSet<u32> {
    let parents: HashMap<u32, Option<u32>> =
        relations.iter().map(|relation| (relation.oid, relation.partition_of)).collect();
    let mut found = HashSet::new();
    for relation in relations.iter().filter(|relation| is_one(relation)) {
        let mut next = Some(relation.oid);
        while let Some(oid) = next.filter(|oid| found.insert(*oid)) {
            next = parents.get(&oid).copied().flatten();
        }
    }
    found
}

/// What constraints are unchecked in the dump, with those that it makes so, and what there is to say about these.
pub(super) struct Loosened {
    pub(super) unchecked: Vec<Unchecked>,
    pub(super) keys: Vec<LooseKey>,
    pub(super) notes: Vec<LedgerEntry>,
}

/// Changes the definitions of such foreign keys.
pub(super) async fn loosen(
    main: &Connection,
    pinned: &Pinned,
    tables: &[Table],
    definitions: &mut Vec<Definition>,
) -> Result<Loosened> {
    let mut unchecked = catalog::unchecked(main).await?;
    let (mut keys, mut notes) = (Vec::new(), Vec::new());
    if tables.iter().any(|table| table.without_data) {
        let names: HashMap<(&str, &str), &Table> =
            tables.iter().map(|table| ((table.schema.as_str(), table.name.as_str()), table)).collect();
        let is = |relation: &Relation, so: fn(&Table) -> bool| {
            names.get(&(relation.schema.as_str(), relation.name.as_str())).is_some_and(|table| so(table))
        };
        let references = catalog::references(main).await?;
        let found = loose(
            &references,
            &pinned.relations,
            |relation| is(relation, |table| !table.parts.is_empty()),
            |relation| is(relation, |table| table.without_data),
        );
        for reference in found {
            let Some(key) = change(definitions, reference) else { continue };
            notes.push(told(reference, &key));
            if !key.left_out {
                let LooseKey { schema, table, name, .. } = key.clone();
                unchecked.push(Unchecked { schema, of: table, name });
            }
            keys.push(key);
        }
        unchecked.sort();
    }
    Ok(Loosened { unchecked, keys, notes })
}

/// One that is made `NOT VALID` is there, and can be validated. One that is left out is missing.
fn told(reference: &Reference, key: &LooseKey) -> LedgerEntry {
    let what = format!("foreign key `{}`", reference.label());
    let why = "rows that it refers to are left out";
    match key.left_out {
        true => LedgerEntry::degrading(
            what,
            format!("{why}: it is left out as well; make it again when they are there"),
        ),
        false => LedgerEntry::note(
            what,
            format!("{why}: a restore makes it `NOT VALID`; validate it when they are there"),
        ),
    }
}

/// `None`: there is no such definition, as it is left out already, or an extension's.
fn change(definitions: &mut Vec<Definition>, reference: &Reference) -> Option<LooseKey> {
    let of_it = |definition: &Definition| definition.object == (CONSTRAINTS, reference.oid);
    let found = definitions.iter_mut().find(|one| of_it(one) && one.item.kind == "FK CONSTRAINT")?;
    // Servers before 18 have none that is not valid of a partitioned table.
    if let Some(sql) = not_valid(&found.item.sql).filter(|_| !reference.is_partitioned) {
        found.item.sql = sql;
        return Some(loose_key(reference, false));
    }
    let gone = found.item.id;
    definitions
        .retain(|one| one.item.id != gone && !(one.item.kind == "COMMENT" && one.item.needs.contains(&gone)));
    definitions.iter_mut().for_each(|one| one.item.needs.retain(|id| *id != gone));
    Some(loose_key(reference, true))
}

fn loose_key(reference: &Reference, left_out: bool) -> LooseKey {
    let Reference { schema, table, name, .. } = reference.clone();
    LooseKey { schema, table, name, left_out }
}

/// The same statement, without a check of the rows that are there.
fn not_valid(sql: &str) -> Option<String> {
    sql.trim_end().strip_suffix(';').map(|statement| format!("{statement} NOT VALID;\n"))
}
