//! Configuration tables of extensions, in an order in which their rows can be loaded where the foreign keys hold that the
//! extension makes with them. A restore takes those out of action; a script is run as it is written.

use std::collections::HashSet;

use dumprestore_driver::Result;

use crate::catalog::Relation;
use crate::connect::Connection;

/// Puts tables of extensions first, and what is referred to before what refers to it. The others stay in their order.
pub(crate) async fn in_order<'a>(main: &Connection, tables: Vec<&'a Relation>) -> Result<Vec<&'a Relation>> {
    let (of_extensions, others): (Vec<&Relation>, Vec<&Relation>) =
        tables.into_iter().partition(|table| table.of_extension);
    if of_extensions.is_empty() {
        return Ok(others);
    }
    let oids: Vec<u32> = of_extensions.iter().map(|table| table.oid).collect();
    let asked = "SELECT DISTINCT conrelid, confrelid FROM pg_catalog.pg_constraint \
        WHERE contype = 'f' AND conrelid = ANY ($1) AND confrelid = ANY ($1)";
    let rows = main.query(asked, &[&oids]).await;
    let rows = rows.map_err(|error| main.fault(error, "can't list foreign keys of extensions"))?;
    let keys: Vec<(u32, u32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut ordered: Vec<&Relation> = Vec::with_capacity(oids.len() + others.len());
    for oid in referents_first(&oids, &keys) {
        ordered.extend(of_extensions.iter().find(|table| table.oid == oid));
    }
    ordered.extend(others);
    Ok(ordered)
}

/// Of a ring, the first comes first. Each key is from a table to the one that it refers to.
fn referents_first(tables: &[u32], keys: &[(u32, u32)]) -> Vec<u32> {
    let mut rest = tables.to_vec();
    let mut done: HashSet<u32> = HashSet::new();
    let mut ordered = Vec::with_capacity(tables.len());
    while !rest.is_empty() {
        let waits =
            |table: &u32| keys.iter().any(|(from, to)| from == table && to != table && !done.contains(to));
        let next = rest.iter().position(|table| !waits(table)).unwrap_or(0);
        let table = rest.remove(next);
        done.insert(table);
        ordered.push(table);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::referents_first;

    #[test]
    fn what_is_referred_to_comes_first_and_all_else_stays() {
        assert_eq!(referents_first(&[1, 2, 3, 4], &[]), [1, 2, 3, 4]);
        assert_eq!(referents_first(&[1, 2, 3, 4], &[(1, 3), (3, 4), (2, 2)]), [2, 4, 3, 1]);
        assert_eq!(referents_first(&[1, 2, 3], &[(1, 2), (2, 1), (3, 1)]), [1, 2, 3]);
    }
}
