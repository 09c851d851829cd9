//! What a restore tells although it is no failure.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs;

use dumprestore_driver::{Extras, LedgerEntry, OldState};
use folder::{Case, archive_of, as_ordinary_user, ways};
use serde_json::{Value, json};

fn told(ledger: &[LedgerEntry]) -> Vec<(&str, bool)> {
    ledger.iter().map(|entry| (entry.what.as_str(), entry.degrades)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_attributes_that_could_not_be_set_are_told_path_by_path() {
    if !as_ordinary_user("owners_and_attributes_that_could_not_be_set_are_told_path_by_path") {
        return;
    }
    let archive = archive_of(|case| {
        case.build().file("a/foreign", "x").file("a/own", "x").file("capable", "x").link("link", "a");
    })
    .await;
    let tree = archive.tree();
    let lines = tree.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        match line["path"].as_str().unwrap() {
            "a/foreign" | "link" => line["uid"] = json!(0),
            "capable" => line["xattrs"] = json!({ "trusted.seal": "78" }),
            _ => {}
        }
        format!("{line}\n")
    });
    let archive = archive.with_tree(lines.collect::<String>());
    for way in ways() {
        let case = Case::default();
        let mut restore = case.stage(&archive, way, Extras::Remove).await.unwrap();
        assert!(restore.staging.ledger().is_empty());
        restore.commit().await.unwrap();
        restore.staging.finish(OldState::Drop).await.unwrap();
        let ledger = restore.staging.ledger();
        assert_eq!(told(&ledger), [("a/foreign", true), ("link", true), ("capable", true)]);
        assert!(ledger[0].why.contains("owner") && ledger[2].why.contains("trusted."), "{ledger:?}");
        assert_eq!(fs::read_to_string(case.build().at("a/foreign")).unwrap(), "x");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_as_it_was_is_not_told_of() {
    let archive = archive_of(|case| {
        case.build().file("a/1", "x").link("link", "a").mode("a/1", 0o640);
    })
    .await;
    for way in ways() {
        let case = Case::default();
        let mut restore = case.stage(&archive, way, Extras::Remove).await.unwrap();
        restore.commit().await.unwrap();
        restore.staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(restore.staging.ledger(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_is_told_with_its_new_name_and_does_not_degrade() {
    let archive = archive_of(|case| {
        case.build().file("a/1", "archived");
    })
    .await;
    let case = Case::default();
    case.build().file("a/1", "live").file("a/x.log", "log");
    let options = json!({ "swap": "folder", "exclude": ["*.log"] });
    let mut restore = case.stage(&archive, options, Extras::Remove).await.unwrap();
    restore.commit().await.unwrap();
    assert_eq!(restore.staging.ledger(), []);
    let put_aside = case.beside().into_iter().find(|name| name.contains(".dumprestore-")).unwrap();
    // As a program does that holds the folder open.
    fs::write(case.around.path().join(put_aside).join("tree/a/x.log"), "more").unwrap();
    restore.staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(told(&restore.staging.ledger()), [("a/.x.log.dumprestore-newer-1", false)]);
    assert_eq!(fs::read_to_string(case.build().at("a/.x.log.dumprestore-newer-1")).unwrap(), "more");
}
