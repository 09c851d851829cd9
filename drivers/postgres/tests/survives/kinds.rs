//! Within one version.

use dumprestore_testkit::{PostgresOptions, PostgresServer, PostgresVersion};

use crate::rich;
use crate::support::{config, content, dump, restore, same, try_restore};

async fn survives(server: &PostgresServer, database: &str) {
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, database), folder.path()).await;
    assert!(archived.ledger().iter().all(|entry| !entry.degrades), "{:?}", archived.ledger());
    let copy = format!("{database}_copy");
    restore(&archived, server, &copy).await;
    same(&content(server, &copy), &content(server, database));
}

async fn every_kind_survives(version: PostgresVersion) {
    let server = PostgresServer::shared(version);
    let database = server.create_database();
    rich::fill(server, &database);
    survives(server, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_on_14() {
    every_kind_survives(PostgresVersion::V14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_on_15() {
    every_kind_survives(PostgresVersion::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_on_16() {
    every_kind_survives(PostgresVersion::V16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_on_17() {
    every_kind_survives(PostgresVersion::V17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_thing_survives_on_18() {
    every_kind_survives(PostgresVersion::V18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tablespaces_survive_of_databases_and_of_what_is_in_them() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    for name in ["here", "there"] {
        server.batch("postgres", "ALTER ROLE postgres SET allow_in_place_tablespaces = on");
        server.batch("postgres", &format!("CREATE TABLESPACE \"{name} %\" LOCATION ''"));
    }
    let database = format!("{}_spaces", server.create_database());
    server.batch("postgres", &format!("CREATE DATABASE {database} TABLESPACE \"here %\""));
    server.batch(
        &database,
        "CREATE TABLE t (a int PRIMARY KEY USING INDEX TABLESPACE \"there %\") TABLESPACE pg_default;
         CREATE TABLE u (a int UNIQUE) TABLESPACE \"there %\";
         CREATE TABLE p (a int) PARTITION BY LIST (a) TABLESPACE \"there %\";
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE INDEX ON p (a) TABLESPACE \"there %\";
         CREATE MATERIALIZED VIEW m TABLESPACE \"there %\" AS SELECT 1 AS a;
         CREATE INDEX i ON u (a) TABLESPACE \"there %\"; INSERT INTO t VALUES (1); INSERT INTO p VALUES (1)",
    );
    survives(server, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locale_of_a_database_survives() {
    let cases = [
        (PostgresVersion::V15, "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LOCALE 'C'"),
        (PostgresVersion::V15, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'POSIX'"),
        (
            PostgresVersion::V17,
            "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en' ICU_RULES '&a < g' LOCALE 'C'",
        ),
        (PostgresVersion::V17, "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"),
        (
            PostgresVersion::V18,
            "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST' LOCALE 'C'",
        ),
        (PostgresVersion::V18, "ENCODING 'EUC_JP' LOCALE 'C'"),
    ];
    for (number, (version, options)) in cases.into_iter().enumerate() {
        let server = PostgresServer::shared(version);
        let database = format!("{}_locale_{number}", server.create_database());
        server.batch("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0 {options}"));
        server.batch(
            &database,
            "CREATE TABLE t (a text PRIMARY KEY); INSERT INTO t VALUES ('z'), ('A'), ('\u{f7}')",
        );
        survives(server, &database).await;
    }
}

/// Views show values as texts the way the application's sessions do, and not the way rows are dumped.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_materialized_view_has_does_not_depend_on_how_rows_are_restored() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    for setting in [
        "DateStyle = 'German'",
        "TimeZone = 'Asia/Tokyo'",
        "bytea_output = 'escape'",
        "\"shop.tenant\" = '7'",
    ] {
        server.batch("postgres", &format!("ALTER DATABASE {database} SET {setting}"));
    }
    server.batch(
        &database,
        "CREATE TABLE t (at timestamptz); INSERT INTO t VALUES ('2020-12-31 23:00Z');
         CREATE FUNCTION found() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t); END';
         CREATE MATERIALIZED VIEW m AS SELECT at::text, '\\x00ff'::bytea::text AS b, current_setting('shop.tenant') AS c,
             found() AS d FROM t;
         CREATE FUNCTION indexed(int) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN (SELECT count(*) FROM t); END';
         CREATE TABLE u (a int); INSERT INTO u VALUES (1); CREATE INDEX i ON u (indexed(a))",
    );
    assert_eq!(server.value(&database, "SELECT at FROM m"), "01.01.2021 08:00:00 JST");
    survives(server, &database).await;
    let of_policy = server.create_database();
    server.batch(
        &of_policy,
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); CREATE POLICY p ON t USING (a = 1);
         ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE MATERIALIZED VIEW m AS SELECT a FROM t WHERE a = 1",
    );
    survives(server, &of_policy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_can_not_be_filled_again_is_told() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE MATERIALIZED VIEW a AS SELECT 1 AS x; CREATE VIEW v AS SELECT * FROM a;
         CREATE MATERIALIZED VIEW b AS SELECT * FROM v; CREATE MATERIALIZED VIEW c AS SELECT * FROM b;
         REFRESH MATERIALIZED VIEW a WITH NO DATA",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let told: Vec<&str> =
        archived.ledger().iter().filter(|entry| entry.degrades).map(|entry| entry.what.as_str()).collect();
    assert_eq!(told, ["materialized view `public.b`", "materialized view `public.c`"]);
    let copy = format!("{database}_copy");
    restore(&archived, server, &copy).await;
    let filled = "SELECT count(*) FROM pg_class WHERE relkind = 'm' AND relispopulated";
    assert_eq!(server.value(&copy, filled), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_query_fails_by_now_is_left_without_rows_and_told() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT 1 / a AS x FROM t;
         CREATE MATERIALIZED VIEW n AS SELECT * FROM m; UPDATE t SET a = 0; CREATE MATERIALIZED VIEW o AS SELECT 1 AS x",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(server, &database), folder.path()).await;
    let copy = format!("{database}_copy");
    let told = try_restore(&archived, config(server, &copy)).await.unwrap();
    let told: Vec<_> = told.iter().map(|entry| (entry.what.as_str(), entry.degrades)).collect();
    assert_eq!(told, [("materialized view `public.m`", true), ("materialized view `public.n`", true)]);
    let filled = "SELECT string_agg(relname, ',') FROM pg_class WHERE relkind = 'm' AND relispopulated";
    assert_eq!(server.value(&copy, filled), "o");
}

/// A setting of the server's, or of a login's, must not change what is read.
#[tokio::test(flavor = "multi_thread")]
async fn rows_survive_whatever_the_sessions_of_a_server_are_set_to() {
    let settings = [
        ("array_nulls", "off"),
        ("bytea_output", "escape"),
        ("check_function_bodies", "on"),
        ("DateStyle", "Postgres, DMY"),
        ("default_table_access_method", "heap"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("escape_string_warning", "on"),
        ("extra_float_digits", "-15"),
        ("IntervalStyle", "sql_standard"),
        ("lc_monetary", "C.UTF-8"),
        ("quote_all_identifiers", "on"),
        ("search_path", "pg_temp"),
        ("standard_conforming_strings", "off"),
        ("statement_timeout", "300"),
        ("TimeZone", "America/New_York"),
        ("transform_null_equals", "on"),
        ("xmlbinary", "hex"),
        ("xmloption", "document"),
    ];
    let odd = settings.iter().fold(PostgresOptions::new(PostgresVersion::V15), |options, (name, value)| {
        options.setting(name, value)
    });
    let (odd, usual) = (odd.start(), PostgresServer::shared(PostgresVersion::V15));
    let database = usual.create_database();
    rich::fill(usual, &database);
    rich::make_roles(&odd);
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(usual, &database), folder.path()).await;
    restore(&archived, &odd, &database).await;
    // What `pg_dump` says there would depend on it.
    let again = tempfile::tempdir().unwrap();
    let archived = dump(config(&odd, &database), again.path()).await;
    let copy = format!("{database}_again");
    restore(&archived, usual, &copy).await;
    same(&content(usual, &copy), &content(usual, &database));
}
