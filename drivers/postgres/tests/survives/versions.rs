//! From one version to another.

use std::path::Path;

use dumprestore_driver::ErrorKind;
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::rich;
use crate::support::{config, content, dump, plan, restore, same, told};

/// Newer servers say the same in other words. So the measure is what `pg_restore` makes of it there, with a database of
/// the same name.
fn make_by_pg_restore(old: &PostgresServer, database: &str, new: &PostgresServer, folder: &Path) {
    let programs = PostgresVersion::V18.programs();
    let file = folder.join("reference.dump");
    let run = |program: &str, server: &PostgresServer, rest: &[&str]| {
        let mut command = std::process::Command::new(programs.path(program).unwrap());
        command.envs(programs.variables()).args(["-U", "postgres", "-h", "127.0.0.1"]);
        command.args(["-p", &server.port().to_string()]).args(rest);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let file = file.to_str().unwrap();
    run("pg_dump", old, &["-Fc", "-Z0", "-f", file, "-d", database]);
    run("pg_restore", new, &["--create", "--enable-row-security", "-d", "postgres", file]);
}

async fn is_restored_into(newer: PostgresVersion) {
    let (old, new) = (PostgresServer::shared(PostgresVersion::V14), PostgresServer::shared(newer));
    // A name that the other server does not have either.
    let database = format!("of_14_for_{}", newer.major());
    old.batch("postgres", &format!("CREATE DATABASE {database}"));
    rich::fill_for(old, &database, newer);
    rich::make_roles(new);
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(old, &database), folder.path()).await;
    let copy = format!("{database}_from_14");
    restore(&archived, new, &copy).await;
    make_by_pg_restore(old, &database, new, folder.path());
    same(&content(new, &copy), &content(new, &database));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_14_is_restored_into_17() {
    is_restored_into(PostgresVersion::V17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_14_is_restored_into_18() {
    is_restored_into(PostgresVersion::V18).await;
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
