//! As one SQL script, run by `psql`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use dumprestore_driver::{DriverConfig, Selection};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{PostgresServer, PostgresVersion, StoredNode};

use crate::rich;
use crate::support::{config, content, dump, same};

/// Makes a database as the head of the script says, and runs it there.
fn run(archived: &StoredNode, server: &PostgresServer, database: &str, copy: &str, folder: &Path) {
    let path = write(archived, folder);
    let script = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    let made = script.lines().find_map(|line| line.strip_prefix("-- CREATE DATABASE ")).unwrap();
    server.batch(
        "postgres",
        &format!("CREATE DATABASE {}", made.replacen(&format!("\"{database}\""), copy, 1)),
    );
    let output = psql(server, copy, &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn write(archived: &StoredNode, folder: &Path) -> PathBuf {
    let path = folder.join("script.sql");
    let mut out = File::create(&path).unwrap();
    PostgresConfig::export_sql(archived, &Selection::default(), &mut out).unwrap();
    path
}

pub fn psql(server: &PostgresServer, database: &str, script: &Path) -> Output {
    let mut psql = PostgresVersion::V18.programs().command("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
        .arg(server.folder())
        .args(["-p", &server.port().to_string(), "-f", "-"]);
    psql.stdin(Stdio::from(File::open(script).unwrap())).output().unwrap()
}

async fn every_kind_survives(version: PostgresVersion) {
    let server = PostgresServer::shared(version);
    let database = server.create_database();
    rich::fill(server, &database);
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let copy = format!("{database}_script");
    run(&archived, server, &database, &copy, folder.path());
    same(&content(server, &copy), &content(server, &database));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_as_a_script_on_14() {
    every_kind_survives(PostgresVersion::V14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_as_a_script_on_15() {
    every_kind_survives(PostgresVersion::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_as_a_script_on_17() {
    every_kind_survives(PostgresVersion::V17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_as_a_script_on_18() {
    every_kind_survives(PostgresVersion::V18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_bytes_survive_as_a_script() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = format!("{}_ascii", server.create_database());
    let options = "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
    server.batch("postgres", &format!("CREATE DATABASE {database} {options}"));
    server.batch(
        &database,
        "SET client_encoding = 'SQL_ASCII'; CREATE TABLE t (a text, b int);
         INSERT INTO t SELECT E'\\xe9' || n || E'\\xff\\x80\\n\\\\', n FROM generate_series(1, 1000) n",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let copy = format!("{database}_script");
    run(&archived, server, &database, &copy, folder.path());
    let sum = "SELECT md5(string_agg(encode(convert_to(a, 'SQL_ASCII'), 'hex'), ',' ORDER BY b)) FROM t";
    assert_eq!(server.value(&copy, sum), server.value(&database, sum));
}
