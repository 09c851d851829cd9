//! Restores: into live files, under open connections, and with everything in the way.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{ErrorKind, Extras, StageContext};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Seed, Step, StoredNode};
use rusqlite::Connection;

mod support;
use support::Journal;
use support::archived::{Archived, staged};
use support::child::{self, Other};
use support::runs::{Place, image};

fn impatient(path: std::path::PathBuf) -> SqliteConfig {
    let mut config = SqliteConfig::new(path);
    config.busy_timeout = 1;
    config
}

/// A database whose content is not that of the archive any more.
async fn changed(journal: Journal) -> (Place, Arc<StoredNode>, String, String) {
    changed_with(journal, impatient).await
}

async fn changed_with(
    journal: Journal,
    config: fn(std::path::PathBuf) -> SqliteConfig,
) -> (Place, Arc<StoredNode>, String, String) {
    let place = Place::with(config);
    support::seed(&place.path, journal, Seed::Ordinary);
    let archived = support::fingerprint(&place.path);
    let dumped = place.dump().await;
    support::mutate(&place.path);
    let live = support::fingerprint(&place.path);
    assert_ne!(archived, live);
    (place, dumped, archived, live)
}

/// An application that has the database open all the time.
#[test]
fn the_application() {
    let Some((_, path)) = child::task() else { return };
    let conn = support::connect(&path);
    let names = || {
        conn.query_row("SELECT group_concat(name) FROM (SELECT name FROM customer WHERE id < 4)", [], |row| {
            row.get::<_, String>(0)
        })
        .unwrap()
    };
    let mut seen = names();
    println!("ready {seen}");
    while !child::stopped(&path) {
        let now = names();
        if now != seen {
            println!("then {now}");
            seen = now;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    conn.execute_batch("INSERT INTO customer (name) VALUES ('written afterwards')").unwrap();
    println!("done");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stay_open_see_the_old_state_and_then_the_new_one() {
    for journal in Journal::BOTH {
        let (place, dumped, archived, _) = changed_with(journal, SqliteConfig::new).await;
        let mut other = Other::start("the_application", "read", &place.path);
        let mine = support::connect(&place.path);
        let count = |conn: &Connection| {
            conn.query_row("SELECT count(*) FROM customer WHERE name LIKE '%!'", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
        };
        assert!(count(&mine) > 0);
        place.restore(&dumped).await;
        assert_eq!(other.line("then"), "customer 1,customer 2,customer 3");
        assert_eq!(count(&mine), 0, "a connection of this process sees the old state");
        assert_eq!(support::fingerprint(&place.path), archived);
        other.stop(&place.path);
        let last = "SELECT name FROM customer ORDER BY id DESC";
        let written: String = mine.query_row(last, [], |row| row.get(0)).unwrap();
        assert_eq!(written, "written afterwards");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_transaction_that_is_open_in_wal_mode_keeps_its_state() {
    let (place, dumped, archived, _) = changed(Journal::Wal).await;
    let reader = support::connect(&place.path);
    let count = || {
        reader.query_row("SELECT count(*) FROM customer WHERE name LIKE '%!'", [], |row| row.get::<_, i64>(0))
    };
    reader.execute_batch("BEGIN").unwrap();
    let before = count().unwrap();
    place.restore(&dumped).await;
    assert_eq!(count().unwrap(), before);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count().unwrap(), 0);
    assert_eq!(support::fingerprint(&place.path), archived);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_between_prepare_and_commit_is_in_the_old_state() {
    for journal in Journal::BOTH {
        for config in [impatient, |path| impatient(path).without_page_table()] {
            let (place, dumped, archived, _) = changed_with(journal, config).await;
            let mut restoring = place.staged(&dumped, Step::Prepare).await;
            support::mutate(&place.path);
            support::connect(&place.path).execute_batch("CREATE TABLE migrated (x)").unwrap();
            let live = support::fingerprint(&place.path);
            restoring.staging().commit().await.unwrap();
            assert_eq!(support::fingerprint(&place.path), archived);
            restoring.staging().rollback().await.unwrap();
            assert_eq!(support::fingerprint(&place.path), live, "{journal:?}");
            assert_eq!(place.names(), ["shop.db"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_never_rest_are_neither_torn_nor_in_the_way() {
    for journal in Journal::BOTH {
        let (place, dumped, archived, _) = changed_with(journal, SqliteConfig::new).await;
        let other = Other::start("the_writer", "write", &place.path);
        for _ in 0..4 {
            let mut restoring = place.staged(&dumped, Step::Commit).await;
            restoring.staging().rollback().await.unwrap();
        }
        other.stop(&place.path);
        let conn = support::connect(&place.path);
        let pairs = "SELECT count(*) FROM customer WHERE name = 'one'";
        let others = "SELECT count(*) FROM note WHERE text = 'other'";
        let count = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert!(count(pairs) > 0 && count(pairs) == count(others), "{journal:?}: a transaction was torn");
        let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        drop(conn);
        place.restore(&dumped).await;
        assert_eq!(support::fingerprint(&place.path), archived);
    }
}

#[test]
fn the_writer() {
    let Some((_, path)) = child::task() else { return };
    let conn = support::connect(&path);
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    println!("ready");
    while !child::stopped(&path) {
        conn.execute_batch(
            "BEGIN IMMEDIATE; INSERT INTO customer (name) VALUES ('one'); INSERT INTO note VALUES ('other'); COMMIT",
        )
        .unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    println!("done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_size_of_the_dump_is_taken_where_sqlite_can() {
    for (journal, expected) in [(Journal::Delete, 16384), (Journal::Wal, 1024)] {
        let place = Place::new();
        let make = |page_size: i64| {
            support::remove(&place.path);
            let conn = support::connect(&place.path);
            conn.pragma_update(None, "page_size", page_size).unwrap();
            journal.set(&conn);
            // Rows whose numbers have gaps, and that nothing but their number tells apart.
            conn.execute_batch(&format!(
                "CREATE TABLE t (x); WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 3000)
                 INSERT INTO t SELECT 'same {page_size}' FROM n; DELETE FROM t WHERE rowid % 3 = 0",
            ))
            .unwrap();
        };
        make(16384);
        let archived = support::fingerprint(&place.path);
        let dumped = place.dump().await;
        make(1024);
        let live = support::fingerprint(&place.path);
        let open = support::connect(&place.path);
        let page_size = || {
            // A connection learns it when it reads.
            open.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
            open.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(page_size(), 1024);
        let notes = place.driver.changes(dumped.clone(), &place.context()).await.unwrap().notes;
        assert_eq!(notes.iter().any(|note| note.contains("page size stays 1024")), journal == Journal::Wal);

        let mut restoring = place.staged(&dumped, Step::Commit).await;
        assert!(support::fingerprint(&place.path) == archived, "{journal:?}");
        restoring.staging().rollback().await.unwrap();
        assert!(support::fingerprint(&place.path) == live, "{journal:?}");
        assert_eq!(page_size(), 1024, "{journal:?}");
        place.restore(&dumped).await;
        assert!(support::fingerprint(&place.path) == archived, "{journal:?}");
        assert_eq!(page_size(), expected, "{journal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_mode_of_a_live_database_stays_and_a_new_file_has_that_of_the_dump() {
    for (dumped, live) in [(Journal::Wal, Journal::Delete), (Journal::Delete, Journal::Wal)] {
        let place = Place::new();
        let mode = || {
            let conn = support::connect(&place.path);
            conn.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap()
        };
        support::seed(&place.path, dumped, Seed::Ordinary);
        let (archived, of_dump) = (place.dump().await, mode());
        support::seed(&place.path, live, Seed::Ordinary);
        support::mutate(&place.path);
        let of_live = mode();
        assert_ne!(of_dump, of_live);
        place.restore(&archived).await;
        assert_eq!(mode(), of_live);
        support::remove(&place.path);
        place.restore(&archived).await;
        assert_eq!(mode(), of_dump);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_left_as_it_is() {
    for journal in Journal::BOTH {
        let (place, dumped, archived, live) = changed(journal).await;
        let mut restoring = place.staged(&dumped, Step::Prepare).await;
        let blocker = support::connect(&place.path);
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = restoring.staging().commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        assert!(error.to_string().contains("locked"), "{error}");
        blocker.execute_batch("ROLLBACK").unwrap();
        assert_eq!(support::fingerprint(&place.path), live);
        // It can be tried again, or taken back.
        restoring.staging().commit().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), archived);
        restoring.staging().rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), live);
        assert_eq!(place.names().iter().filter(|name| name.contains("dumprestore")).count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_locked_out_is_stuck_and_works_later() {
    let (place, dumped, _, live) = changed(Journal::Wal).await;
    let mut restoring = place.staged(&dumped, Step::Commit).await;
    let blocker = support::connect(&place.path);
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = restoring.staging().rollback().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    assert!(error.hint().unwrap().contains("recover"), "{error:?}");
    blocker.execute_batch("ROLLBACK").unwrap();
    drop(blocker);
    let mut resumed = place.resume(&restoring.staging().journal()).await;
    resumed.rollback().await.unwrap();
    assert_eq!(support::fingerprint(&place.path), live);
    assert_eq!(place.names(), ["shop.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_image_is_refused_before_anything_changes() {
    let (place, dumped, _, live) = changed(Journal::Delete).await;
    let whole = image(&dumped);
    let (page, len) = (4096, whole.len());
    let damaged = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        bytes
    };
    // What has the right size is what was dumped: the archive is not to blame.
    let at_the_dump = ["zeroed pages", "swapped pages"];
    for (what, bytes) in [
        ("cut off", damaged(&|bytes| bytes.truncate(len - page))),
        ("cut within a page", damaged(&|bytes| bytes.truncate(len - 7))),
        ("longer", damaged(&|bytes| bytes.extend_from_slice(&[0; 4096]))),
        ("no database", b"PK\x03\x04 something else entirely".to_vec()),
        ("a header only", whole[..100].to_vec()),
        ("zeroed pages", damaged(&|bytes| bytes[page..4 * page].fill(0))),
        ("swapped pages", damaged(&|bytes| bytes[page..3 * page].rotate_left(page))),
        ("a wrong page size", damaged(&|bytes| bytes[16] = 3)),
    ] {
        let mut staging = staged(&place, Archived::new(bytes)).await.unwrap();
        let error = staging.prepare().await.expect_err(what);
        let expected = match at_the_dump.contains(&what) {
            true => ErrorKind::Unsupported,
            false => ErrorKind::Archive,
        };
        assert_eq!(error.kind(), expected, "{what}: {error}");
        assert_eq!(error.to_string().contains("damaged when it was dumped"), at_the_dump.contains(&what));
        staging.rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), live);
        assert_eq!(place.names(), ["shop.db"], "{what}");
    }
    let mut staging = staged(&place, Archived::new(whole)).await.unwrap();
    staging.prepare().await.expect("the undamaged image");
    staging.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_other_kinds_formats_and_parts_are_refused_by_name() {
    let (place, dumped, ..) = changed(Journal::Delete).await;
    let archive = || Archived::new(image(&dumped));
    for (archived, word) in [
        (Archived { kind: "postgres".into(), ..archive() }, "postgres"),
        (Archived { format: 2, ..archive() }, "format 2"),
        (Archived { part: "something", ..archive() }, "database.sqlite"),
    ] {
        let error = place.driver.stage(Arc::new(archived), place.context()).await.err().unwrap();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_referred_to_nothing_already_do_not_stop_a_restore_but_new_ones_do() {
    let place = Place::new();
    let conn = support::connect(&place.path);
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF; CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id));
         INSERT INTO c VALUES (404), (405)",
    )
    .unwrap();
    drop(conn);
    let mut source =
        place.driver.open(dumprestore_driver::OpenContext::new("run", place.scratch())).await.unwrap();
    let cut =
        dumprestore_driver::CutContext::new(std::time::SystemTime::now(), dumprestore_driver::CutMode::Open);
    source.pin(&cut).await.unwrap();
    drop(source.parts().await.unwrap());
    assert_eq!(source.facts()["foreign_key_violations"], "2");
    source.release().await.unwrap();
    let dumped = place.dump().await;
    place.restore(&dumped).await;
    for (told, fine) in [("2", true), ("1", false)] {
        let mut archived = Archived::new(image(&dumped));
        archived.facts.insert("foreign_key_violations".into(), told.into());
        let mut staging = staged(&place, archived).await.unwrap();
        assert_eq!(staging.prepare().await.is_ok(), fine);
        staging.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_needs_more_than_sqlite_can_be_restored() {
    let place = Place::new();
    let conn = support::connect(&place.path);
    // The names of collations and functions that an application has brought along.
    conn.execute_batch(
        "CREATE TABLE t (a TEXT, b TEXT, p REFERENCES q (r)); CREATE TABLE q (r);
         CREATE TABLE fits (x); INSERT INTO fits VALUES (1); PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a TEXT COLLATE app_order PRIMARY KEY, b TEXT CHECK (app_check(b)), p REFERENCES q (r))'
         WHERE name = 't'; CREATE INDEX fits_x ON fits (x);
         INSERT INTO sqlite_schema VALUES ('table', 'virt', 'virt', 0, 'CREATE VIRTUAL TABLE virt USING app_module (x)')",
    )
    .unwrap();
    drop(conn);
    let problems = place.driver.inspect().await.unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    let dumped = place.dump().await;
    support::remove(&place.path);
    place.restore(&dumped).await;
    let conn = support::connect(&place.path);
    assert_eq!(conn.query_row("SELECT x FROM fits", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_did_to_the_staged_database_is_swapped_in() {
    for journal in Journal::BOTH {
        let (place, dumped, _, live) = changed(journal).await;
        let mut restoring = place.staged(&dumped, Step::Prepare).await;
        let cx = dumprestore_driver::BuildContext::new(dumprestore_driver::NodePath::new("x").unwrap(), "/");
        let address = restoring.staging().address().unwrap().reveal(&cx).unwrap().expose().to_owned();
        let hook = support::connect(Path::new(&address));
        Journal::Wal.set(&hook);
        hook.execute_batch("CREATE TABLE migrated (x); INSERT INTO migrated VALUES (1)").unwrap();
        // Still open: who knows what it writes next.
        let error = restoring.staging().commit().await.unwrap_err();
        assert!(error.to_string().contains("still open"), "{error}");
        assert_eq!(support::fingerprint(&place.path), live);
        drop(hook);
        restoring.staging().commit().await.unwrap();
        let conn = support::connect(&place.path);
        assert_eq!(conn.query_row("SELECT x FROM migrated", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        drop(conn);
        restoring.staging().rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), live);
        assert_eq!(place.names(), ["shop.db"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_the_archive_does_not_have_are_counted_and_can_not_be_kept() {
    let (place, dumped, archived, _) = changed(Journal::Wal).await;
    support::connect(&place.path).execute_batch("CREATE TABLE extra (x); DROP TABLE product").unwrap();
    let changes = place.driver.changes(dumped.clone(), &place.context()).await.unwrap();
    let tables = (changes.unit, changes.create, changes.replace, changes.remove);
    assert_eq!(tables, ("tables", 1, 4, 1), "{changes:?}");
    assert_eq!(changes.removes, ["extra"]);
    assert!(changes.needs_bytes.unwrap() > 0 && changes.free_bytes.is_some());
    for (extras, kind) in [(Extras::Keep, ErrorKind::Unsupported), (Extras::Fail, ErrorKind::Environment)] {
        let cx = StageContext::new("run").with_extras(extras);
        let error = place.driver.stage(dumped.clone(), cx).await.err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("extra"), "{error}");
    }
    place.restore(&dumped).await;
    assert_eq!(support::fingerprint(&place.path), archived);
    let cx = StageContext::new("run").with_extras(Extras::Keep);
    assert!(place.driver.stage(dumped, cx).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_kept_state_is_replaced_only_when_a_restore_finishes() {
    let (place, dumped, _, _) = changed(Journal::Wal).await;
    place.restore_and_keep(&dumped).await;
    let kept = support::with_suffix(&place.path, ".dumprestore-previous");
    let older = std::fs::read(&kept).unwrap();
    support::mutate(&place.path);
    let mut restoring = place.staged(&dumped, Step::Commit).await;
    assert!(std::fs::read(&kept).unwrap() == older);
    restoring.staging().rollback().await.unwrap();
    assert!(std::fs::read(&kept).unwrap() == older);
    let live = support::fingerprint(&place.path);
    place.restore_and_keep(&dumped).await;
    assert_eq!(support::fingerprint(&kept), live);
}
