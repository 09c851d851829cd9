//! Damaged databases: what a dump says of them, and what becomes of them in a restore.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::sync::Arc;

use dumprestore_driver::{CutContext, CutMode, ErrorKind, Facts, LedgerEntry, OldState, OpenContext};
use dumprestore_testkit::Seed;

mod support;
use support::Journal;
use support::archived::{Archived, staged};
use support::runs::Place;

/// What a dump says of the database.
async fn told(place: &Place) -> (Facts, Vec<LedgerEntry>) {
    let mut source = place.driver.open(OpenContext::new("run", place.scratch())).await.unwrap();
    source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Open)).await.unwrap();
    drop(source.parts().await.unwrap());
    let told = (source.facts(), source.ledger());
    source.release().await.unwrap();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_dumped_with_a_word_and_can_be_restored() {
    for journal in Journal::BOTH {
        let place = Place::new();
        support::seed(&place.path, journal, Seed::Large);
        let mut bytes = std::fs::read(&place.path).unwrap();
        bytes[8192 * 20..8192 * 24].fill(0xff);
        std::fs::write(&place.path, &bytes).unwrap();
        let (facts, ledger) = told(&place).await;
        assert_eq!(ledger.len(), 1);
        assert!(ledger[0].degrades && ledger[0].why.contains("damaged"), "{ledger:?}");
        assert!(facts["damage"].contains("page"), "{facts:?}");

        support::seed(&place.path, journal, Seed::Large);
        let archived = Archived { facts, ..Archived::new(bytes.clone()) };
        let changes = place.driver.changes(Arc::new(archived.clone()), &place.context()).await.unwrap();
        assert!(changes.notes.iter().any(|note| note.contains("damaged when it was dumped")), "{changes:?}");
        let mut staging = staged(&place, archived.clone()).await.unwrap();
        staging.prepare().await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert!(std::fs::read(&place.path).unwrap()[8192..] == bytes[8192..], "{journal:?}");

        // Damage that came after the dump is another matter.
        let facts = archived.facts.into_iter().map(|(name, value)| match name.as_str() {
            "damage" => (name, "none".to_owned()),
            _ => (name, value),
        });
        let archived = Archived { facts: facts.collect(), ..Archived::new(bytes) };
        let mut staging = staged(&place, archived).await.unwrap();
        let error = staging.prepare().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        staging.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sound_or_breaks_only_checks_of_its_own_is_not_called_damaged() {
    let place = Place::new();
    support::connect(&place.path)
        .execute_batch(
            "CREATE TABLE t (x CHECK (x > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (-1)",
        )
        .unwrap();
    let (facts, ledger) = told(&place).await;
    assert_eq!(facts["damage"], "none");
    assert!(ledger.is_empty(), "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_does_not_fit_its_table_is_made_anew() {
    let place = Place::new();
    let open = || {
        let conn = rusqlite::Connection::open(&place.path).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        conn.execute_batch("PRAGMA writable_schema = ON").unwrap();
        conn
    };
    open()
        .execute_batch("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a); INSERT INTO t VALUES ('one')")
        .unwrap();
    // The index is put out of sight while a row changes.
    let page: i64 = open()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'i'", [], |row| row.get(0))
        .unwrap();
    open().execute_batch("DELETE FROM sqlite_schema WHERE name = 'i'").unwrap();
    open().execute_batch("UPDATE t SET a = 'two'").unwrap();
    let back = "INSERT INTO sqlite_schema VALUES ('index', 'i', 't', ?, 'CREATE INDEX i ON t (a)')";
    open().execute(back, [page]).unwrap();
    let check = |conn: &rusqlite::Connection, pragma: &str| {
        conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(check(&open(), "quick_check"), "ok");
    assert_ne!(check(&open(), "integrity_check"), "ok");

    let archived =
        Archived { facts: told(&place).await.0, ..Archived::new(std::fs::read(&place.path).unwrap()) };
    let mut staging = staged(&place, archived).await.unwrap();
    staging.prepare().await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(check(&open(), "integrity_check"), "ok");
    let found: i64 =
        open().query_row("SELECT count(*) FROM t WHERE a = 'two'", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 1);
}
