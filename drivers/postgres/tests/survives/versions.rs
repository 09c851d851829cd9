//! From one version to another.

use dumprestore_driver::ErrorKind;
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::rich;
use crate::support::{config, content, dump, plan, restore, same, told};

/// Without what newer servers say otherwise of the same thing.
fn of_any_version(content: &str) -> String {
    content.lines().collect::<Vec<_>>().join("\n")
}

async fn is_restored_into(newer: PostgresVersion) {
    let (old, new) = (PostgresServer::shared(PostgresVersion::V14), PostgresServer::shared(newer));
    let database = old.create_database();
    rich::fill(old, &database);
    rich::make_roles(new);
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(old, &database), folder.path()).await;
    let copy = format!("{database}_from_14");
    restore(&archived, new, &copy).await;
    same(&of_any_version(&content(new, &copy)), &of_any_version(&content(old, &database)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_14_is_restored_into_17() {
    is_restored_into(PostgresVersion::V17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_dump_is_refused_by_an_older_server_with_a_reason() {
    let (new, old) =
        (PostgresServer::shared(PostgresVersion::V18), PostgresServer::shared(PostgresVersion::V15));
    let database = new.create_database();
    new.batch(&database, "CREATE TABLE t (a int)");
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(new, &database), folder.path()).await;
    let error = plan(&archived, config(old, "older")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("PostgreSQL 18") && told(&error).contains("15"), "{}", told(&error));
}
