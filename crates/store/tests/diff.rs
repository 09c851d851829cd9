//! What changed between two archives, compared with two maps in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use dumprestore_archive::{
    Archive, ArchiveWriter, Compression, Edge, EntryName, Existing, FileOutput, Listed, Manifest, Node, Tool,
    WriterOptions,
};
use dumprestore_driver::Cancel;
use dumprestore_store::{ArchiveDiff, PartChange, Presence, Sides, diff};
use proptest::prelude::*;

/// Of each node its parts in order: a name and what is in it, which is as many rows.
type Content = Vec<(&'static str, Vec<(String, String)>)>;

fn archive(content: &Content, change: impl FnOnce(&mut Manifest)) -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let output = Box::new(FileOutput::create(&path, Existing::Keep).unwrap());
    let writer = ArchiveWriter::create(output, WriterOptions::default()).unwrap();
    let tool = Tool { name: "tests".into(), version: "1.0".into() };
    let mut manifest = Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
    for (node, parts) in content {
        manifest.nodes.push(Node::new(*node, "filesystem", 1));
        for (at, (name, text)) in parts.iter().enumerate() {
            let mut part = writer.part(&EntryName::new(node, name).unwrap(), Compression::Store).unwrap();
            part.write_all(text.as_bytes()).unwrap();
            let receipt = part.finish().unwrap();
            writer.list(node, receipt.id, at as u64, &Listed::rows(Some(text.len() as u64))).unwrap();
        }
    }
    change(&mut manifest);
    writer.seal(manifest).unwrap();
    Archive::open(Arc::new(std::fs::File::open(&path).unwrap())).unwrap()
}

fn parts<const N: usize>(all: [(&str, &str); N]) -> Vec<(String, String)> {
    all.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

fn compare(from: &Archive, to: &Archive) -> ArchiveDiff {
    diff(from, to, 100, &Cancel::default()).unwrap()
}

#[test]
fn nodes_parts_facts_and_references_are_told() {
    let old = vec![
        ("db", parts([("t/1", "aa"), ("t/2", "bbb")])),
        ("gone", parts([("x", "1")])),
        ("same", parts([("y", "1")])),
    ];
    let new = vec![
        ("db", parts([("t/1", "aa"), ("t/2", "BBBB"), ("t/3", "c")])),
        ("same", parts([("y", "1")])),
        ("new", parts([("z", "12")])),
    ];
    let edge = |checked: u64, certified: bool, dangling: u64| {
        let mut edge = Edge::new("db", "same");
        (edge.checked, edge.certified, edge.dangling.total) = (checked, certified, dangling);
        edge
    };
    let old = archive(&old, |manifest| {
        manifest.nodes[0].facts.insert("lsn".into(), "0/1".into());
        manifest.nodes[0].facts.insert("version".into(), "17".into());
        manifest.edges = vec![edge(7, true, 0), Edge::new("gone", "same")];
    });
    let new = archive(&new, |manifest| {
        manifest.nodes[0].facts.insert("lsn".into(), "0/2".into());
        manifest.nodes[0].facts.insert("version".into(), "17".into());
        manifest.edges = vec![edge(9, false, 2), Edge::new("new", "same")];
    });
    let found = compare(&old, &new);
    let nodes: Vec<_> = found.nodes.iter().map(|node| (node.node.as_str(), node.presence)).collect();
    assert_eq!(
        nodes,
        [
            ("db", Presence::Changed),
            ("gone", Presence::Removed),
            ("same", Presence::Same),
            ("new", Presence::Added)
        ]
    );
    let db = &found.nodes[0];
    assert_eq!(db.parts.some, [PartChange::Changed("t/2".into()), PartChange::Added("t/3".into())]);
    assert_eq!((db.parts.added, db.parts.removed, db.parts.changed, db.parts.same), (1, 0, 1, 1));
    assert_eq!(db.parts.bytes, Sides { from: 5, to: 7 });
    assert_eq!(db.parts.rows, Sides { from: Some(5), to: Some(7) });
    let facts: Vec<_> =
        db.facts.iter().map(|fact| (fact.name.as_str(), fact.from.as_deref(), fact.to.as_deref())).collect();
    assert_eq!(facts, [("lsn", Some("0/1"), Some("0/2"))]);
    let edges: Vec<_> =
        found.references.iter().map(|edge| (edge.from.as_str(), edge.presence, edge.dangling)).collect();
    assert_eq!(
        edges,
        [
            ("db", Presence::Changed, Sides { from: 0, to: 2 }),
            ("gone", Presence::Removed, Sides { from: 0, to: 0 }),
            ("new", Presence::Added, Sides { from: 0, to: 0 }),
        ]
    );
    assert!(!found.is_same() && compare(&old, &old).is_same() && compare(&old, &old).references.is_empty());
}

#[test]
fn of_many_changes_some_are_named_and_all_are_counted() {
    let many = |text: &str| (0..500).map(|at| (format!("f/{at}"), text.to_owned())).collect::<Vec<_>>();
    let (old, new) =
        (archive(&vec![("files", many("a"))], |_| ()), archive(&vec![("files", many("b"))], |_| ()));
    let found = diff(&old, &new, 3, &Cancel::default()).unwrap();
    assert_eq!((found.nodes[0].parts.changed, found.nodes[0].parts.some.len()), (500, 3));
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(diff(&old, &new, 3, &cancel).is_err());
}

/// Names, and what is in them.
type Texts = Vec<(String, String)>;

fn lists() -> impl Strategy<Value = (Texts, Texts)> {
    let one = || {
        prop::collection::btree_map(0..30u8, 0..3u8, 0..20).prop_flat_map(|map| {
            let all: Vec<_> = map
                .into_iter()
                .map(|(name, text)| (format!("part-{name}"), "x".repeat(usize::from(text))))
                .collect();
            prop_oneof![3 => Just(all.clone()), 1 => Just(all).prop_shuffle()]
        })
    };
    (one(), one())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_the_order_of_the_lists_the_counts_are_those_of_two_maps((old, new) in lists()) {
        let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.iter().cloned().collect(), new.iter().cloned().collect());
        let found = compare(&archive(&vec![("n", old)], |_| ()), &archive(&vec![("n", new)], |_| ()));
        let counts = &found.nodes[0].parts;
        let in_both = || a.iter().filter_map(|(name, text)| b.get(name).map(|other| (name, text == other)));
        prop_assert_eq!(counts.same, in_both().filter(|(_, same)| *same).count() as u64);
        let mut expected: Vec<_> = in_both().filter(|(_, same)| !same).map(|(name, _)| PartChange::Changed(name.clone())).collect();
        expected.extend(a.keys().filter(|name| !b.contains_key(*name)).map(|name| PartChange::Removed(name.clone())));
        expected.extend(b.keys().filter(|name| !a.contains_key(*name)).map(|name| PartChange::Added(name.clone())));
        let mut some = counts.some.clone();
        let key = |change: &PartChange| format!("{change:?}");
        some.sort_by_key(key);
        expected.sort_by_key(key);
        prop_assert_eq!(some, expected);
        let size = |map: &BTreeMap<String, String>| map.values().map(|text| text.len() as u64).sum::<u64>();
        prop_assert_eq!(counts.bytes, Sides { from: size(&a), to: size(&b) });
    }
}
