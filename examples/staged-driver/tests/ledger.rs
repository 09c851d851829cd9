//! What is special about ledgers.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{
    BuildContext, CutMode, Driver, DriverConfig, NodePath, OldState, OpenContext, StageContext,
};
use dumprestore_ledger::LedgerConfig;
use dumprestore_testkit::{Dumping, Restoring, Step, StoredNode, TempDir};

fn driver(folder: &Path) -> Arc<dyn Driver> {
    let config: LedgerConfig = serde_json::from_value(serde_json::json!({ "path": "ledger" })).unwrap();
    config.build(&BuildContext::new(NodePath::new("ledger").unwrap(), folder)).unwrap()
}

async fn dump(folder: &Path, driver: &dyn Driver) -> Arc<StoredNode> {
    let cx = OpenContext::new("run", folder);
    let mut dumping = Dumping::open(driver, cx, folder.join("archive"), Arc::default()).await.unwrap();
    dumping.pin(CutMode::Open).await.unwrap();
    dumping.stream(async || {}).await.unwrap();
    let (node, released) = dumping.release().await;
    released.unwrap();
    Arc::new(node)
}

async fn restore(driver: &dyn Driver, node: Arc<StoredNode>) {
    let restoring = Restoring::stage(driver, node, StageContext::new("run"), Arc::default()).await;
    restoring.unwrap().go(Step::Finish, OldState::Drop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_is_left_out_and_said_so() {
    let folder = TempDir::new().unwrap();
    let ledger = folder.path().join("ledger");
    std::fs::write(&ledger, format!("one\ntwo\n{}", "x".repeat(10_000))).unwrap();
    let driver = driver(folder.path());
    let node = dump(folder.path(), &*driver).await;
    assert!(node.ledger().iter().any(|entry| entry.degrades && entry.why.contains("10000 bytes")));
    restore(&*driver, node).await;
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_ledger_has_the_rights_of_the_old_one_and_links_to_it_stay() {
    let folder = TempDir::new().unwrap();
    let real = folder.path().join("real");
    std::fs::write(&real, "one\n").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("ledger")).unwrap();
    let driver = driver(folder.path());
    let node = dump(folder.path(), &*driver).await;
    std::fs::write(&real, "other\n").unwrap();
    restore(&*driver, node).await;
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "one\n");
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(folder.path().join("ledger")).unwrap().is_symlink());
}
