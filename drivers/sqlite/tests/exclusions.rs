//! Tables that are left out of a dump.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use dumprestore_driver::{ArchivedNode, ErrorKind, Result, Severity};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::StoredNode;

mod support;
use support::Journal;
use support::runs::{Place, image};

const SCHEMA: &str = "
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE session (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer (id), token TEXT);
    CREATE TABLE audit_2024 (what TEXT);
    CREATE TABLE audit_2025 (what TEXT PRIMARY KEY);
    CREATE VIRTUAL TABLE search USING fts5 (body);
    CREATE VIEW online AS SELECT name FROM customer JOIN session ON session.customer = customer.id;
    INSERT INTO customer VALUES (1, 'Ada'), (2, 'Bob');
    INSERT INTO session VALUES (1, 1, 'TOP-SECRET-TOKEN'), (2, 2, 'TOP-SECRET-TOKEN');
    INSERT INTO audit_2024 VALUES ('AUDITED'); INSERT INTO audit_2025 VALUES ('AUDITED');
    INSERT INTO search VALUES ('SEARCHED');";

fn place(tables: &[&str], data: &[&str], extra: &str) -> Place {
    let place = Place::with(|path| {
        let mut config = SqliteConfig::new(path);
        config.exclude_tables = tables.iter().map(|name| (*name).to_owned()).collect();
        config.exclude_data = data.iter().map(|name| (*name).to_owned()).collect();
        config
    });
    let conn = support::connect(&place.path);
    conn.execute_batch("PRAGMA auto_vacuum = 2; PRAGMA user_version = 5").unwrap();
    Journal::Wal.set(&conn);
    conn.execute_batch(SCHEMA).unwrap();
    conn.execute_batch(extra).unwrap();
    place
}

fn has(archived: &StoredNode, text: &str) -> bool {
    image(archived).windows(text.len()).any(|window| window == text.as_bytes())
}

/// Restores elsewhere, and answers queries there.
async fn restored(place: &Place, archived: &std::sync::Arc<StoredNode>) -> rusqlite::Connection {
    support::remove(&place.path);
    place.restore(archived).await;
    support::connect(&place.path)
}

fn count(conn: &rusqlite::Connection, table: &str) -> rusqlite::Result<i64> {
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
}

async fn refused(place: &Place) -> dumprestore_driver::Error {
    let dumped: Result<_> = place.try_dump().await;
    dumped.map(drop).expect_err("the dump was made")
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_tables_are_gone_with_their_definition_and_their_bytes() {
    // Rows that were deleted before the dump lie about in free pages, too.
    let place = place(&["audit_*", "SESSION"], &[], "DELETE FROM session WHERE id = 1");
    let dumped = place.dump().await;
    for text in ["TOP-SECRET-TOKEN", "AUDITED"] {
        assert!(!has(&dumped, text), "`{text}` is in the dump");
    }
    assert_eq!(dumped.facts()["excluded_tables"], r#"["audit_2024","audit_2025","session"]"#);
    let ledger = format!("{:?}", dumped.ledger());
    assert!(ledger.contains("online") && dumped.ledger().iter().all(|entry| !entry.degrades), "{ledger}");
    let conn = restored(&place, &dumped).await;
    assert!(count(&conn, "session").is_err() && count(&conn, "audit_2024").is_err());
    assert_eq!((count(&conn, "customer").unwrap(), count(&conn, "search").unwrap()), (2, 1));
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let auto_vacuum: i64 = conn.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();
    assert_eq!((version, auto_vacuum), (5, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_data_is_gone_and_its_definition_stays() {
    let place = place(&[], &["session", "search"], "ANALYZE");
    let dumped = place.dump().await;
    for text in ["TOP-SECRET-TOKEN", "SEARCHED", "searched"] {
        assert!(!has(&dumped, text), "`{text}` is in the dump");
    }
    assert!(has(&dumped, "AUDITED"));
    assert!(dumped.ledger().is_empty(), "{:?}", dumped.ledger());
    let conn = restored(&place, &dumped).await;
    assert_eq!((count(&conn, "session").unwrap(), count(&conn, "online").unwrap()), (0, 0));
    assert_eq!((count(&conn, "search").unwrap(), count(&conn, "customer").unwrap()), (0, 2));
    conn.execute_batch("INSERT INTO session VALUES (1, 1, 'x'); INSERT INTO search VALUES ('y')").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_excluded_rows_fires_no_trigger() {
    let place = place(
        &[],
        &["session"],
        "CREATE TRIGGER cascade AFTER DELETE ON session BEGIN DELETE FROM customer; END",
    );
    let conn = restored(&place, &place.dump().await).await;
    assert_eq!((count(&conn, "session").unwrap(), count(&conn, "customer").unwrap()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_can_not_be_written_without_is_not_left_out() {
    for extra in [
        "CREATE TRIGGER audits AFTER INSERT ON customer BEGIN INSERT INTO audit_2025 VALUES (new.name); END",
        "CREATE TRIGGER audits AFTER UPDATE OF name ON customer BEGIN INSERT INTO audit_2025 VALUES (new.name); END",
        "CREATE TABLE child (what REFERENCES audit_2025)",
    ] {
        let error = refused(&place(&["audit_2025"], &[], extra)).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.hint().unwrap().contains("exclude_data"), "{extra}: {error:?}");
        place(&[], &["audit_2025"], extra).dump().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_fits_no_table_is_an_error_with_a_suggestion() {
    for (tables, data) in [(&["custmer"][..], &[][..]), (&[][..], &["custmer"][..])] {
        let place = place(tables, data, "");
        let error = refused(&place).await;
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Config, Some("did you mean `customer`?")));
        let inspection = place.driver.inspect().await.unwrap();
        let told = inspection.problems.iter().find(|problem| problem.message.contains("custmer")).unwrap();
        assert_eq!(told.severity, Severity::NoDump);
    }
    // Neither a view nor what lies behind a virtual table is a table that could be left out.
    for name in ["online", "search_content", "sqlite_schema"] {
        assert_eq!(refused(&place(&[name], &[], "")).await.kind(), ErrorKind::Config, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_signs_of_patterns_in_them_can_be_left_out() {
    let place =
        place(&["a[b]*"], &[], "CREATE TABLE \"a[b]*\" (x); INSERT INTO \"a[b]*\" VALUES ('BRACKETS')");
    assert!(!has(&*place.dump().await, "BRACKETS"));
}
