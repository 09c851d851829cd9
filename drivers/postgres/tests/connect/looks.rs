//! What a look finds in the way of a dump, and of a restore.

use std::path::Path;

use dumprestore_driver::{Inspection, Severity};
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use serde_json::json;

use crate::{IN_URL, SHARED, User, has_problem, login};

fn problems(inspection: &Inspection, severity: Severity) -> Vec<String> {
    inspection.problems.iter().filter(|one| one.severity == severity).map(|one| one.message.clone()).collect()
}

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

#[tokio::test]
async fn a_sound_database_has_no_problems_and_a_size() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t AS SELECT generate_series(1, 1000)");
    let seen = User::new().look(server().url(&database)).await;
    assert!(seen.problems.is_empty(), "{:?}", seen.problems);
    assert!(seen.size.unwrap() > 1_000_000);
    assert_eq!(seen.facts["standby"], "false");
    assert!(seen.facts["server_version"].starts_with("15."));
}

#[tokio::test]
async fn every_version_is_looked_at() {
    // Programs of the newest serve all.
    let newest = PostgresVersion::V18.programs().path("pg_dump").unwrap();
    for version in PostgresVersion::ALL {
        let server = PostgresServer::start(version);
        let options = json!({ "url": server.url("postgres"), "pg_dump": newest });
        let seen = User::new().look_at(options).await;
        assert!(seen.problems.is_empty(), "{version:?}: {:?}", seen.problems);
        assert!(seen.facts["server_version"].starts_with(&format!("{}.", version.major())));
    }
}

#[tokio::test]
async fn the_same_database_has_one_claim_however_it_is_named() {
    let database = server().create_database();
    let local = server().url(&database);
    let claims = async |url: String| User::new().look(url).await.claims;
    let one = claims(local.clone()).await;
    assert_eq!(one, claims(server().socket_url(&database)).await);
    assert_eq!(one, claims(local.replace("127.0.0.1", "localhost")).await);
    assert_ne!(one, claims(server().url(&server().create_database())).await);
    let other = PostgresServer::start(PostgresVersion::V15);
    assert_ne!(claims(server().url("postgres")).await, claims(other.url("postgres")).await);
}

#[tokio::test]
async fn a_missing_database_can_be_restored_and_not_dumped() {
    let seen = User::new().look(server().url("not_there")).await;
    assert_eq!(problems(&seen, Severity::NoDump), ["there is no database `not_there`"]);
    assert_eq!(seen.problems.len(), 1, "{:?}", seen.problems);
    assert_eq!(seen.facts["standby"], "false");
    let options = json!({ "url": server().url("not_there"), "maintenance_db": "not_there_either" });
    let seen = User::new().look_at(options).await;
    assert_eq!(problems(&seen, Severity::NoRestore).len(), 1, "{:?}", seen.problems);
}

#[tokio::test]
async fn a_standby_is_dumped_and_not_restored() {
    let primary = PostgresServer::start(PostgresVersion::V15);
    primary.batch("postgres", "CREATE UNLOGGED TABLE gone ()");
    let standby = primary.standby();
    let seen = User::new().look(standby.url("postgres")).await;
    assert!(problems(&seen, Severity::NoDump).is_empty(), "{:?}", seen.problems);
    assert!(problems(&seen, Severity::NoRestore)[0].contains("standby"), "{:?}", seen.problems);
    assert!(has_problem(&seen, "public.gone"));
}

#[tokio::test]
async fn rights_that_are_missing_are_told() {
    let database = &SHARED.database;
    SHARED.server.batch(
        database,
        "CREATE SCHEMA closed; CREATE TABLE closed.t (); CREATE SEQUENCE closed.s; \
        CREATE TABLE secret (); CREATE TABLE veiled (); ALTER TABLE veiled ENABLE ROW LEVEL SECURITY; \
        GRANT SELECT ON veiled TO limited",
    );
    let _other = SHARED.server.client(database).await;
    let seen = User::new().look(format!("postgres://limited:{IN_URL}@{}", SHARED.place())).await;
    assert_eq!(login(&seen), "limited");
    assert!(has_problem(&seen, "may not read `closed.t`, `public.secret`"), "{:?}", seen.problems);
    assert!(has_problem(&seen, "may not read the sequences `closed.s`"));
    assert_eq!(problems(&seen, Severity::NoDump).len(), 2);
    assert!(has_problem(&seen, "may hide rows of `public.veiled`"));
    assert!(has_problem(&seen, "may not create databases"));
    assert!(has_problem(&seen, "belongs to `postgres`"));
    assert!(has_problem(&seen, "may not end the sessions of `postgres`"));
    assert!(problems(&seen, Severity::NoRestore).is_empty(), "{:?}", seen.problems);
    let hints: Vec<_> = seen.problems.iter().filter_map(|one| one.hint.as_deref()).collect();
    assert!(hints.iter().any(|hint| hint.contains("--in-place")));
}

#[tokio::test]
async fn what_is_left_out_is_in_nobodys_way() {
    let database = SHARED.server.create_database();
    SHARED.server.batch(
        &database,
        "CREATE SCHEMA closed; CREATE TABLE closed.t (); CREATE TABLE secret (); \
        CREATE TABLE veiled (); ALTER TABLE veiled ENABLE ROW LEVEL SECURITY; GRANT SELECT ON veiled TO limited",
    );
    let look = async |more: serde_json::Value| {
        let mut options = json!({
            "url": format!("postgres://limited:{IN_URL}@127.0.0.1:{}/{database}", SHARED.server.port()),
        });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        problems(&User::new().look_at(options).await, Severity::NoDump)
    };
    let told = look(json!({})).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let without =
        json!({ "exclude_schemas": ["clo*"], "exclude_tables": ["secret"], "exclude_data": ["veiled"] });
    assert!(look(without).await.is_empty());
    let told = look(json!({ "exclude_tables": ["secrets"] })).await;
    assert!(told[0].contains("`secrets`"), "{told:?}");
}

#[tokio::test]
async fn an_owner_who_may_create_databases_may_restore() {
    SHARED.server.batch("postgres", "ALTER ROLE owner CREATEDB");
    SHARED.server.batch("postgres", "CREATE DATABASE owned OWNER owner");
    let url = format!("postgres://owner:{IN_URL}@127.0.0.1:{}/owned", SHARED.server.port());
    let seen = User::new().look(url).await;
    assert!(seen.problems.is_empty(), "{:?}", seen.problems);
}

#[tokio::test]
async fn what_holds_a_database_is_told() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t ()");
    let held = server().client(&database).await;
    held.batch_execute("BEGIN; INSERT INTO t DEFAULT VALUES; PREPARE TRANSACTION 'half done'").await.unwrap();
    let seen = User::new().look(server().url(&database)).await;
    assert!(problems(&seen, Severity::NoRestore)[0].contains("`half done`"), "{:?}", seen.problems);
    held.batch_execute("ROLLBACK PREPARED 'half done'").await.unwrap();

    let slot = format!("slot_{database}");
    server().batch(&database, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    let seen = User::new().look(server().url(&database)).await;
    assert!(problems(&seen, Severity::Warning)[0].contains(&slot), "{:?}", seen.problems);
    server().batch(&database, &format!("SELECT pg_drop_replication_slot('{slot}')"));

    let subscription =
        "CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)";
    server().batch(&database, subscription);
    let seen = User::new().look(server().url(&database)).await;
    assert!(problems(&seen, Severity::Warning)[0].contains("`sub`"), "{:?}", seen.problems);
    server().batch(&database, "ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub");
}

#[tokio::test]
async fn references_that_can_not_be_checked_are_told() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE product (id int, image text); CREATE TABLE big (id int)");
    let user = User::new();
    let driver = user.build(json!({ "url": server().url(&database), "exclude_data": ["big"] })).unwrap();
    driver.check_keys(&json!("SELECT image FROM product")).unwrap();
    driver.check_within(Some("product.id")).unwrap();
    assert!(driver.inspect().await.unwrap().problems.is_empty());
    driver.check_keys(&json!("SELECT picture FROM product")).unwrap();
    driver.check_within(Some("product.number")).unwrap();
    driver.check_within(Some("big.id")).unwrap();
    let seen = driver.inspect().await.unwrap();
    let told = problems(&seen, Severity::NoCertificate);
    assert_eq!(told.len(), 3, "{:?}", seen.problems);
    assert!(
        told[0].contains("picture") && told[1].contains("product.number") && told[2].contains("big"),
        "{told:?}"
    );
}

/// A program that says that it is that version of `pg_dump`.
fn impostor(user: &User, folder: &str, version: &str) {
    let script = format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n");
    user.file(&format!("{folder}/pg_dump"), &script, 0o755);
}

#[tokio::test]
async fn a_pg_dump_that_is_missing_or_too_old_or_no_pg_dump_is_told() {
    let user = User::new();
    impostor(&user, "old", "14.3");
    user.file("none/pg_dump", "#!/bin/sh\necho hello\n", 0o755);
    let look = async |path: &str| {
        let path = user.home.path().join(path).join("pg_dump");
        user.look_at(json!({ "url": server().url("postgres"), "pg_dump": path })).await
    };
    let seen = look("old").await;
    let told = &problems(&seen, Severity::NoDump)[0];
    assert!(told.contains("14.3 at `") && told.contains("PostgreSQL 15"), "{told}");
    assert!(seen.problems[0].hint.as_ref().unwrap().contains("postgresql-client-15"));
    assert!(problems(&look("none").await, Severity::NoDump)[0].contains("is no `pg_dump`"));
    assert!(problems(&look("absent").await, Severity::NoDump)[0].contains("can't be run"));
}

#[tokio::test]
async fn of_those_that_are_installed_one_is_found_although_the_first_in_the_path_is_too_old() {
    let user = User::new();
    impostor(&user, "bin", "9.6.24");
    let own = as_path(&user.home.path().join("bin"));
    let user = user.with("PATH", own);
    let seen = user.look(server().url("postgres")).await;
    assert!(seen.problems.is_empty(), "{:?}", seen.problems);
}

fn as_path(path: &Path) -> String {
    format!("{}:/usr/bin:/bin", path.display())
}
