//! What is special about flags.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Claim, CutMode, Driver, DriverConfig, Error, ErrorKind, NodePath, OldState,
    OpenContext, Severity, StageContext,
};
use dumprestore_flags::FlagsConfig;
use dumprestore_testkit::{Damage, Dumping, Restoring, Step, StoredNode, TempDir, entries};

fn driver(folder: &Path) -> Arc<dyn Driver> {
    let config: FlagsConfig = serde_json::from_value(serde_json::json!({ "path": "flags" })).unwrap();
    config.build(&BuildContext::new(NodePath::new("flags").unwrap(), folder)).unwrap()
}

async fn dump(folder: &Path, driver: &dyn Driver) -> Result<Arc<StoredNode>, Error> {
    let cx = OpenContext::new("run", folder);
    let mut dumping = Dumping::open(driver, cx, folder.join("archive"), Arc::default()).await.unwrap();
    dumping.pin(CutMode::Open).await.unwrap();
    let dumped = dumping.stream(async || {}).await;
    let (node, released) = dumping.release().await;
    released.unwrap();
    dumped.map(|()| Arc::new(node))
}

async fn restore(driver: &dyn Driver, node: Arc<StoredNode>) -> Result<(), Error> {
    let restoring = Restoring::stage(driver, node, StageContext::new("run"), Arc::default()).await;
    restoring.unwrap().go(Step::Finish, OldState::Drop).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_not_whole_fails_the_dump_with_its_number() {
    let folder = TempDir::new().unwrap();
    for (lines, number) in [
        ("{}\n{\"flag\":\"a\",\"o".to_owned(), 2),
        ("{}\n\n{}\n".to_owned(), 2),
        ("[]\n".to_owned(), 1),
        (format!("{{\"flag\":\"{}\"}}\n", "x".repeat(1 << 20)), 1),
    ] {
        std::fs::write(folder.path().join("flags"), lines).unwrap();
        let error = dump(folder.path(), &*driver(folder.path())).await.err().unwrap();
        assert!(error.message().starts_with(&format!("line {number} is not")), "{error}");
        assert!(error.hint().is_some());
        std::fs::remove_dir_all(folder.path().join("archive")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_leaves_the_flags_alone() {
    let folder = TempDir::new().unwrap();
    let flags = folder.path().join("flags");
    std::fs::write(&flags, "{\"flag\":\"old\"}\n").unwrap();
    let driver = driver(folder.path());
    let node = dump(folder.path(), &*driver).await.unwrap();
    let part = node.parts().next().unwrap();
    std::fs::write(&flags, "{\"flag\":\"new\"}\n").unwrap();
    let before = entries(folder.path());
    let error = restore(&*driver, Arc::new(node.with_damage(part.name, Damage::AtTheEnd))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archive);
    assert_eq!(std::fs::read_to_string(&flags).unwrap(), "{\"flag\":\"new\"}\n");
    assert_eq!(entries(folder.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_flags_have_the_rights_of_the_old_ones_and_links_to_them_stay() {
    let folder = TempDir::new().unwrap();
    let real = folder.path().join("real");
    std::fs::write(&real, "{}\n").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o662)).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("flags")).unwrap();
    let driver = driver(folder.path());
    let node = dump(folder.path(), &*driver).await.unwrap();
    std::fs::write(&real, "lost").unwrap();
    restore(&*driver, node).await.unwrap();
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "{}\n");
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o662);
    assert!(std::fs::symlink_metadata(folder.path().join("flags")).unwrap().is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_are_gone_are_told_of_before_a_dump() {
    let folder = TempDir::new().unwrap();
    let inspection = driver(folder.path()).inspect().await.unwrap();
    assert_eq!(inspection.claims, [Claim::Path(folder.path().join("flags"))]);
    assert_eq!(inspection.problems.len(), 1);
    assert_eq!(inspection.problems[0].severity, Severity::NoDump);
    std::fs::create_dir(folder.path().join("flags")).unwrap();
    let inspection = driver(folder.path()).inspect().await.unwrap();
    assert_eq!(inspection.problems[0].severity, Severity::Error);
}
