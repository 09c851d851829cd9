//! Databases that know nothing of encodings.

use dumprestore_driver::ErrorKind;
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::support::{config, dump, restore, told, try_dump};

fn database(server: &PostgresServer) -> String {
    let database = format!("{}_ascii", server.create_database());
    let options = "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
    server.batch("postgres", &format!("CREATE DATABASE {database} {options}"));
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_bytes_survive() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = database(server);
    server.batch(
        &database,
        "SET client_encoding = 'SQL_ASCII'; CREATE TABLE t (a text, b int);
         INSERT INTO t SELECT E'\\xe9' || n || E'\\xff\\x80\\n\\\\', n FROM generate_series(1, 1000) n;
         INSERT INTO t VALUES ('\u{e9}', 0)",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let copy = format!("{database}_copy");
    restore(&archived, server, &copy).await;
    let sum = "SELECT md5(string_agg(encode(a::bytea, 'hex'), ',' ORDER BY b)) FROM (SELECT b, \
        convert_to(a, 'SQL_ASCII') AS a FROM t) t";
    assert_eq!(server.value(&copy, sum), server.value(&database, sum));
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_are_no_utf_8_are_refused_with_a_reason() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let bad = [
        "COMMENT ON TABLE t IS E'\\xe9'",
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', E'\\xe9'); END $$",
    ];
    for statement in bad {
        let database = database(server);
        let set = "SET client_encoding = 'SQL_ASCII'; CREATE TABLE t (a text)";
        server.batch(&database, &format!("{set}; {statement}"));
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = try_dump(config(server, &database), folder.path()).await else {
            panic!("{statement} was dumped");
        };
        assert!(matches!(error.kind(), ErrorKind::Environment | ErrorKind::Unsupported), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("SQL_ASCII")), "{}", told(&error));
    }
}
