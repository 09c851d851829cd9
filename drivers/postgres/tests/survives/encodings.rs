//! Databases of other encodings than UTF-8, and those that know nothing of encodings.

use dumprestore_driver::{ArchivedNode, ErrorKind};
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::scripts::{psql, write};
use crate::support::{config, dump, restore, told, try_dump, try_restore_in_place};

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

/// A database of an encoding.
fn encoded(server: &PostgresServer, encoding: &str) -> String {
    let database = format!("{}_{}", server.create_database(), encoding.to_lowercase());
    let options = format!("TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'");
    server.batch("postgres", &format!("CREATE DATABASE {database} {options}"));
    database
}

/// The rows, as bytes in that encoding.
fn bytes(server: &PostgresServer, database: &str, encoding: &str) -> String {
    let sum = "SELECT count(*) || ' ' || md5(string_agg(encode(convert_to(a, ";
    server.value(database, &format!("{sum}'{encoding}'), 'hex'), ',' ORDER BY b)) FROM t"))
}

/// Read as UTF-8 they would be errors.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_have_no_equivalent_in_utf_8_survive() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    for (encoding, odd, count) in [
        // More than goes into one part.
        ("WIN1252", "repeat(E'\\x81\\xe9 ', 300)", 40_000),
        ("EUC_KR", "E'\\xa2\\xf0'", 10),
        ("EUC_JP", "E'\\xa9\\xa1'", 10),
    ] {
        let database = encoded(server, encoding);
        let insert =
            format!("INSERT INTO t SELECT n || E'\\t\\\\' || {odd}, n FROM generate_series(1, {count}) n");
        server
            .batch(&database, &format!("SET client_encoding = '{encoding}'; CREATE TABLE t (a text, b int)"));
        server.batch(&database, &format!("SET client_encoding = '{encoding}'; {insert}"));
        let folder = tempfile::tempdir().unwrap();
        let archived = dump(config(server, &database), folder.path()).await;
        assert_eq!(archived.parts().count() > 2, count > 10);
        let before = bytes(server, &database, encoding);
        restore(&archived, server, &format!("{database}_copy")).await;
        assert_eq!(bytes(server, &format!("{database}_copy"), encoding), before);
        server.batch(&database, "TRUNCATE t");
        let told = try_restore_in_place(&archived, config(server, &database)).await.unwrap();
        assert!(told.iter().all(|entry| !entry.degrades), "{told:?}");
        assert_eq!(bytes(server, &database, encoding), before);
        let script = encoded(server, encoding);
        let output = psql(server, &script, &write(&archived, folder.path()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(bytes(server, &script, encoding), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_converted_for_a_database_of_another_encoding() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = encoded(server, "WIN1252");
    server.batch(
        &database,
        "CREATE TABLE t (a text DEFAULT 'd\u{e9}j\u{e0}', b int);
         INSERT INTO t SELECT '\u{20ac} \\ \u{e9}' || n, n FROM generate_series(1, 100) n; INSERT INTO t (b) VALUES (0)",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let before = bytes(server, &database, "UTF8");
    let live = encoded(server, "UTF8");
    let restored = try_restore_in_place(&archived, config(server, &live)).await;
    restored.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(bytes(server, &live, "UTF8"), before);
    let script = encoded(server, "UTF8");
    let output = psql(server, &script, &write(&archived, folder.path()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bytes(server, &script, "UTF8"), before);
    // The server has no conversion between the two.
    let error =
        try_restore_in_place(&archived, config(server, &encoded(server, "LATIN1"))).await.unwrap_err();
    assert!(
        error.to_string().contains("can't convert rows of the encoding `WIN1252` to `LATIN1`"),
        "{error}"
    );
    // Nor is there an equivalent of this: nothing has changed then.
    server.batch(&database, "SET client_encoding = 'WIN1252'; INSERT INTO t VALUES (E'\\x81', 101)");
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let error = try_restore_in_place(&archived, config(server, &live)).await.unwrap_err();
    assert!(told(&error).contains("has no equivalent in encoding"), "{}", told(&error));
    assert_eq!(bytes(server, &live, "UTF8"), before);
}
