//! In which order rows can be loaded into tables that have their foreign keys: what is referred to, first.

use std::collections::{BTreeSet, HashMap};

use crate::archived::{Contents, Item, Table};

type Name = (String, String);

/// Puts the tables in such an order, and names those that no order is right for, as they refer to each other.
pub(super) fn by_references(contents: &mut Contents) -> BTreeSet<String> {
    let references = References::of(contents);
    let mut ranks: HashMap<Name, usize> = HashMap::new();
    let mut in_rings = BTreeSet::new();
    let root = |table: &Table| references.root(&(table.schema.clone(), table.name.clone()));
    for table in &contents.tables {
        references.rank(root(table), &mut ranks, &mut in_rings);
    }
    contents.tables.sort_by_cached_key(|table| ranks.get(&root(table)).copied());
    in_rings
}

/// Which tables refer to which. A partition counts as the table that it is of.
struct References {
    parents: HashMap<Name, Name>,
    to: HashMap<Name, BTreeSet<Name>>,
}

impl References {
    fn of(contents: &Contents) -> Self {
        let items: HashMap<i32, &Item> = contents.items.iter().map(|item| (item.id, item)).collect();
        // The relation that an item is, or is a part of.
        let relation = |item: &Item| match item.kind.as_str() {
            "TABLE" => Some((item.schema.clone(), item.name.clone())),
            _ => item.table.clone(),
        };
        let needed =
            |item: &Item| item.needs.iter().filter_map(|id| relation(items.get(id)?)).collect::<Vec<_>>();
        let mut references = Self { parents: HashMap::new(), to: HashMap::new() };
        for item in contents.items.iter().filter(|item| item.kind == "TABLE ATTACH") {
            let child = (item.schema.clone(), item.name.clone());
            let parent = needed(item).into_iter().find(|needed| *needed != child);
            references.parents.extend(parent.map(|parent| (child, parent)));
        }
        for item in contents.items.iter().filter(|item| item.kind == "FK CONSTRAINT") {
            let Some(from) = relation(item).map(|from| references.root(&from)) else { continue };
            let to: Vec<Name> =
                needed(item).iter().map(|to| references.root(to)).filter(|to| *to != from).collect();
            references.to.entry(from).or_default().extend(to);
        }
        references
    }

    fn root(&self, table: &Name) -> Name {
        let mut root = table;
        // No partition is deeper than there are partitions.
        for _ in 0..self.parents.len() {
            let Some(parent) = self.parents.get(root) else { break };
            root = parent;
        }
        root.clone()
    }

    /// Ranks a table after all that it refers to.
    fn rank(&self, first: Name, ranks: &mut HashMap<Name, usize>, in_rings: &mut BTreeSet<String>) {
        let mut under_way: BTreeSet<Name> = BTreeSet::new();
        let mut path = vec![(first, false)];
        while let Some((table, is_after)) = path.pop() {
            if is_after {
                under_way.remove(&table);
                let rank = ranks.len();
                ranks.entry(table).or_insert(rank);
            } else if under_way.contains(&table) {
                in_rings.insert(format!("{}.{}", table.0, table.1));
            } else if !ranks.contains_key(&table) {
                let to = self
                    .to
                    .get(&table)
                    .into_iter()
                    .flatten()
                    .map(|to| (to.clone(), false))
                    .collect::<Vec<_>>();
                under_way.insert(table.clone());
                path.push((table, true));
                path.extend(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn table(name: &str) -> Value {
        json!({ "schema": "s", "name": name, "columns": [], "parts": [] })
    }

    fn item(id: i32, kind: &str, name: &str, table: Option<&str>, needs: &[i32]) -> Value {
        let table = table.map(|table| json!(["s", table]));
        json!({ "id": id, "section": "pre-data", "kind": kind, "schema": "s", "name": name, "table": table, "sql": "",
            "needs": needs })
    }

    fn order(tables: &[&str], items: &[Value]) -> (Vec<String>, Vec<String>) {
        let mut all: Vec<Value> = ["a", "b", "c", "b1"]
            .iter()
            .zip(1..)
            .map(|(name, id)| item(id, "TABLE", name, None, &[]))
            .collect();
        all.extend_from_slice(items);
        let mut contents: Contents = serde_json::from_value(json!({
            "origin": { "server_version": 150_000, "pg_dump": "15.0" },
            "database": { "name": "x", "owner": "x", "encoding": "UTF8", "collate": "C", "ctype": "C",
                "locale_provider": "libc", "connection_limit": -1, "is_template": false },
            "items": all, "tables": tables.iter().map(|name| table(name)).collect::<Vec<_>>(),
            "sequences": [], "matviews": [], "schemas": [], "whole": true,
        }))
        .unwrap();
        let in_rings = by_references(&mut contents);
        (contents.tables.iter().map(|table| table.name.clone()).collect(), in_rings.into_iter().collect())
    }

    #[test]
    fn what_is_referred_to_comes_first_also_by_partitions() {
        let fk = [
            item(10, "CONSTRAINT", "c c_pkey", Some("c"), &[3]),
            item(11, "TABLE ATTACH", "b1", None, &[2, 4]),
            item(12, "FK CONSTRAINT", "a a_fk", Some("a"), &[1, 2]),
            item(13, "FK CONSTRAINT", "b b_fk", Some("b"), &[2, 10]),
            item(14, "FK CONSTRAINT", "c c_fk", Some("c"), &[3]),
        ];
        assert_eq!(order(&["a", "b1", "c"], &fk), (vec!["c".into(), "b1".into(), "a".into()], vec![]));
        assert_eq!(order(&["b1", "a", "c"], &[]).0, ["b1", "a", "c"]);
    }

    #[test]
    fn tables_in_a_ring_are_named() {
        let ring = [
            item(12, "FK CONSTRAINT", "a a_fk", Some("a"), &[1, 2]),
            item(13, "FK CONSTRAINT", "b b_fk", Some("b"), &[2, 1]),
        ];
        let (tables, in_rings) = order(&["a", "b", "c"], &ring);
        assert_eq!((tables.len(), in_rings), (3, vec!["s.a".to_owned()]));
    }
}
