//! The same on servers of other versions, and of the other family.

use dumprestore_driver::{OldState, StageContext};
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

/// A round trip, an undo after the commit, and the old state put back.
async fn goes_forth_and_back(version: MysqlVersion) {
    let database = Database::of(MysqlServer::shared(version));
    database.seed(Seed::Ordinary);
    let dumped = database.fingerprint();
    let archive = Archive::of(config(&database.root_url())).await;
    database.seed(Seed::Hostile);
    let before = database.fingerprint();
    let driver = driver(config(&database.root_url())).unwrap();

    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    assert_eq!(database.fingerprint(), before, "nothing is seen before the commit");
    staging.commit().await.unwrap();
    assert_eq!(database.fingerprint(), dumped);
    staging.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), before);
    assert!(database.beside().is_empty());

    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    let kept = staging.finish(OldState::Keep).await.unwrap().unwrap();
    assert_eq!(database.fingerprint(), dumped);
    assert_eq!(staging.ledger(), []);
    let mut back = driver.stage_previous(&kept, StageContext::new(run())).await.unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    assert_eq!(database.fingerprint(), before);
    back.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), dumped);
    let mut back = driver.stage_previous(&kept, StageContext::new(run())).await.unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    back.finish(OldState::Drop).await.unwrap();
    assert_eq!(database.fingerprint(), before);
    assert!(database.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_goes_forth_and_back() {
    goes_forth_and_back(MysqlVersion::Mysql9_7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_mariadb_goes_forth_and_back() {
    goes_forth_and_back(MysqlVersion::Mariadb10_5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_mariadb_goes_forth_and_back() {
    goes_forth_and_back(MysqlVersion::Mariadb11_8).await;
}
