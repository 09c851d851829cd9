//! Restores of some of a node, and archived nodes as SQL.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use dumprestore::{Content, ErrorKind, RestoreFrom, RestoreOptions, Selection};
use vault::{dump, fill, held, node, set};

fn only(selectors: &[&str], content: Content) -> RestoreOptions {
    let mut options = RestoreOptions::default();
    options.only = selectors.iter().map(|selector| (*selector).to_owned()).collect();
    options.content = content;
    options
}

#[tokio::test]
async fn things_that_are_named_are_restored_and_the_rest_is_left_alone() {
    for (selectors, content, after, parts) in [
        (&["db:a"][..], Content::All, "a=1 b=9 new=9", 1),
        (&["db:a", "db:b"], Content::All, "a=1 b=2 new=9", 2),
        (&["db:a"], Content::SchemaOnly, "a= b=9 new=9", 1),
        (&["db"], Content::SchemaOnly, "a= b= c=", 3),
        (&["db:c"], Content::DataOnly, "a=9 b=9 new=9", 1),
        (&["db:b"], Content::DataOnly, "a=9 b=2 new=9", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let set = set(folder.path(), &node("db", "in-part", ""), &[]).unwrap();
        fill("in-part", &[("a", "1"), ("b", "2"), ("c", "3")]);
        let archive = dump(&set, folder.path()).await;
        fill("in-part", &[("a", "9"), ("b", "9"), ("new", "9")]);
        let from = RestoreFrom::Archive(archive.clone());
        let options = only(selectors, content);
        let plan = dumprestore::plan_restore(&set, &from, &options).await.unwrap().to_string();
        let rest = match (selectors, content) {
            (["db"], Content::SchemaOnly) => "without its data; all that is there is replaced by it",
            _ => "the rest is left alone",
        };
        assert!(plan.contains(rest), "{plan}");
        let report = dumprestore::restore(&set, &from, &options).await.unwrap();
        assert_eq!(held("in-part"), after, "{selectors:?} {content:?}");
        assert_eq!(report.nodes[0].parts, parts, "{selectors:?}");
    }
}

#[tokio::test]
async fn a_selection_that_makes_no_sense_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let group = "  - { name: shop, children: [{ name: x, driver: vault, url: \"vault://a:b@h/x\" }, \
                 { name: y, driver: vault, url: \"vault://a:b@h/y\" }] }\n";
    let nodes = node("db", "senseless", "") + &node("files", "whole", ", plain: true");
    let all = set(folder.path(), &nodes, &[]).unwrap();
    fill("senseless", &[("a", "1")]);
    fill("whole", &[("a", "1")]);
    let archive = dump(&all, folder.path()).await;
    let grouped = set(folder.path(), &format!("{nodes}{group}"), &[]).unwrap();
    for (selectors, content, kind, says) in [
        (&["db:nothing"][..], Content::All, ErrorKind::Config, "no thing `nothing`"),
        (&["db:"], Content::All, ErrorKind::Config, "names no thing"),
        (&["db", "db:a"], Content::All, ErrorKind::Config, "as a whole and in part"),
        (&["dd:a"], Content::All, ErrorKind::Config, "no node `dd`"),
        (&["shop:a"], Content::All, ErrorKind::Config, "more than one node"),
        (&["files:a"], Content::All, ErrorKind::Unsupported, "whole or not at all"),
        (&["files"], Content::DataOnly, ErrorKind::Unsupported, "no schema apart from its data"),
        (&[], Content::SchemaOnly, ErrorKind::Unsupported, "files: "),
    ] {
        let from = RestoreFrom::Archive(archive.clone());
        let error = dumprestore::restore(&grouped, &from, &only(selectors, content)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{selectors:?}: {error}");
        assert!(error.to_string().contains(says), "{selectors:?}: {error}");
    }
    let mut options = dumprestore::DumpOptions::default();
    options.only = vec!["db:a".to_owned()];
    let to = dumprestore::Destination::new_file(folder.path().join("part.zip"));
    let error = dumprestore::dump(&all, to, options).await.unwrap_err();
    assert!(error.to_string().contains("only be selected for a restore"), "{error}");
}

#[tokio::test]
async fn an_archived_node_is_written_as_sql_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    fill("script", &[("a", "1"), ("b", "2")]);
    let archive = dump(&set(folder.path(), &node("db", "script", ""), &[]).unwrap(), folder.path()).await;
    let mut script = Vec::new();
    vault::registry().export_sql(&archive, "db", &Selection::of(["b"]), &mut script).unwrap();
    assert_eq!(String::from_utf8(script).unwrap(), "INSERT INTO box VALUES ('b', '2');\n");
    for (node, thing) in [("dbs", "b"), ("db", "c")] {
        let failed = vault::registry().export_sql(&archive, node, &Selection::of([thing]), &mut Vec::new());
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Config, "{node}:{thing}");
    }
    let none = dumprestore::Registry::new();
    let failed = none.export_sql(&archive, "db", &Selection::default(), &mut Vec::new());
    assert!(failed.unwrap_err().to_string().contains("no driver `vault`"));
}
