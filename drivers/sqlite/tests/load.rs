//! Dumps of a database that another program writes to all the while.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use dumprestore_driver::CutMode;
use dumprestore_sqlite::SqliteConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

mod support;
use support::Journal;
use support::child::{self, Other};
use support::runs::{Place, image};

const ACCOUNTS: i64 = 500;
const TOTAL: i64 = ACCOUNTS * 1000;

fn create_bank(path: &Path, journal: Journal) {
    let mut conn = support::connect(path);
    journal.set(&conn);
    let tx = conn.transaction().unwrap();
    tx.execute_batch(
        "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, filler BLOB);
         CREATE TABLE transfer (id INTEGER PRIMARY KEY, source INTEGER, target INTEGER, amount INTEGER);
         CREATE INDEX transfer_source ON transfer (source);",
    )
    .unwrap();
    for id in 1..=ACCOUNTS {
        tx.execute("INSERT INTO account VALUES (?1, 1000, randomblob(3000))", [id]).unwrap();
    }
    tx.commit().unwrap();
}

/// Moves money, so that the sum of all balances is always the same, and the last transfer is always in both tables.
fn transfer(conn: &mut Connection, round: i64) -> rusqlite::Result<()> {
    let (source, target) = (round * 7 % ACCOUNTS + 1, round * 13 % ACCOUNTS + 1);
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("UPDATE account SET balance = balance - 5 WHERE id = ?1", [source])?;
    tx.execute(
        "UPDATE account SET balance = balance + 5, filler = randomblob(3000) WHERE id = ?1",
        [target],
    )?;
    tx.execute("INSERT INTO transfer (source, target, amount) VALUES (?1, ?2, 5)", [source, target])?;
    tx.execute("DELETE FROM transfer WHERE id < (SELECT max(id) FROM transfer) - 2000", [])?;
    tx.commit()
}

/// The other program. Says how often it wrote, how often it was told that the database is busy, and how long it
/// waited at most.
#[test]
fn the_other_program() {
    let Some((task, path)) = child::task() else { return };
    let mut conn = support::connect(&path);
    // What the disk does is not to be measured.
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    if task == "impatient" {
        conn.busy_timeout(Duration::ZERO).unwrap();
    }
    println!("ready");
    let (mut rounds, mut busy, mut longest) = (0, 0, Duration::ZERO);
    while !child::stopped(&path) {
        let since = Instant::now();
        match transfer(&mut conn, rounds) {
            Ok(()) => rounds += 1,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => busy += 1,
            Err(error) => panic!("{error}"),
        }
        longest = longest.max(since.elapsed());
        std::thread::sleep(Duration::from_micros(300));
    }
    println!("done {rounds} {busy} {}", longest.as_millis());
}

fn check_image(bytes: &[u8], folder: &Path) {
    let path = folder.join("image.db");
    support::remove(&path);
    std::fs::write(&path, bytes).unwrap();
    let conn = support::connect(&path);
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("PRAGMA integrity_check"), "ok");
    assert_eq!(one("SELECT CAST(sum(balance) AS TEXT) FROM account"), TOTAL.to_string());
    drop(conn);
    support::remove(&path);
}

async fn dumps_under_load(
    journal: Journal,
    task: &str,
    config: impl Fn(std::path::PathBuf) -> SqliteConfig,
) -> String {
    let place = Place::with(config);
    create_bank(&place.path, journal);
    let other = Other::start("the_other_program", task, &place.path);
    let mut images = Vec::new();
    for _ in 0..8 {
        let node = place.dump().await;
        images.push(image(&node));
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = other.stop(&place.path);
    let different = images.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(different >= 4, "the load did not write between the dumps: {different}");
    for image in &images {
        check_image(image, place.root());
    }
    println!("{journal:?}: rounds, busy, longest ms: {said}");
    said
}

fn busy(said: &str) -> u64 {
    said.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_under_load_is_of_one_moment_and_keeps_no_writer_waiting() {
    // Without any patience: were a writer kept out for a moment only, it would be told so.
    let said = dumps_under_load(Journal::Wal, "impatient", SqliteConfig::new).await;
    assert_eq!(busy(&said), 0, "writers were kept out of a database in WAL mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spooled_dump_under_load_is_of_one_moment_and_keeps_no_writer_waiting() {
    let said =
        dumps_under_load(Journal::Wal, "impatient", |path| SqliteConfig::new(path).without_page_table())
            .await;
    assert_eq!(busy(&said), 0, "writers were kept out of a database in WAL mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_with_a_rollback_journal_under_load_is_of_one_moment() {
    dumps_under_load(Journal::Delete, "patient", SqliteConfig::new).await;
    dumps_under_load(Journal::Delete, "patient", |path| SqliteConfig::new(path).without_page_table()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_rollback_journal_writers_wait_for_the_pin_only_and_the_wait_is_told() {
    let place = Place::new();
    create_bank(&place.path, Journal::Delete);
    let mut dumping = place.pinned(CutMode::Open).await;
    let mut conn = support::connect(&place.path);
    conn.busy_timeout(Duration::ZERO).unwrap();
    transfer(&mut conn, 1).expect("a writer is kept out after the pin");
    dumping.stream(async || ()).await.unwrap();
    let (node, released) = dumping.release().await;
    released.unwrap();
    check_image(&image(&node), place.root());
    let facts = dumprestore_driver::ArchivedNode::facts(&node).clone();
    facts["writers_waited_ms"].parse::<u64>().expect("the wait is a number of milliseconds");
    assert_eq!(facts["journal_mode"], "rollback");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_cut_keeps_writers_out_and_readers_in() {
    for journal in Journal::BOTH {
        let place = Place::new();
        create_bank(&place.path, journal);
        let mut dumping = place.pinned(CutMode::Locked).await;
        let mut conn = support::connect(&place.path);
        conn.busy_timeout(Duration::ZERO).unwrap();
        let refused = transfer(&mut conn, 1).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy), "{journal:?}");
        conn.query_row("SELECT sum(balance) FROM account", [], |_| Ok(())).expect("readers go on");
        dumping.unlock().await.unwrap();
        transfer(&mut conn, 1).expect("writers go on after the unlock");
        dumping.stream(async || ()).await.unwrap();
        let (node, released) = dumping.release().await;
        released.unwrap();
        check_image(&image(&node), place.root());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_dump_leaves_no_long_log_to_the_next_writer() {
    let place = Place::new();
    create_bank(&place.path, Journal::Wal);
    // Somebody has it open, so that the log is not simply removed at the end.
    let mut conn = support::connect(&place.path);
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    let mut dumping = place.pinned(CutMode::Open).await;
    for round in 0..2000 {
        transfer(&mut conn, round).unwrap();
    }
    let log = support::with_suffix(&place.path, "-wal");
    assert!(log.metadata().unwrap().len() > 8 << 20, "the log did not grow under the pin");
    dumping.stream(async || ()).await.unwrap();
    dumping.release().await.1.unwrap();
    // Busy, pages in the log, pages folded into the database.
    let (left, folded): (i64, i64) =
        conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!(left, folded);
    transfer(&mut conn, 1).unwrap();
    let size = log.metadata().unwrap().len();
    transfer(&mut conn, 2).unwrap();
    assert_eq!(log.metadata().unwrap().len(), size, "the log goes on growing");
}
