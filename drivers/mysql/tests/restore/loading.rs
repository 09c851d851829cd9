//! Rows, whichever way they come in.

use dumprestore_driver::{ErrorKind, OldState, StageContext};
use dumprestore_testkit::{MysqlOptions, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_inserted_where_the_server_takes_no_files() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = Box::leak(Box::new(
            MysqlOptions::new(version)
                .setting("local_infile", "OFF")
                .setting("max_allowed_packet", "4M")
                .start(),
        ));
        let database = Database::of(server);
        for seed in [Seed::Hostile, Seed::Ordinary] {
            database.seed(seed);
            let dumped = database.fingerprint();
            let archive = Archive::of(config(&database.root_url())).await;
            database.seed(Seed::Empty);
            let driver = driver(config(&database.root_url())).unwrap();
            let changes = driver.changes(archive.clone(), &StageContext::new(run())).await.unwrap();
            assert!(changes.notes.iter().any(|note| note.contains("local_infile")), "{:?}", changes.notes);
            let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
            staging.commit().await.unwrap();
            staging.finish(OldState::Drop).await.unwrap();
            assert_eq!(database.fingerprint(), dumped);
        }
        drop(database);
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_server_does_not_take_is_an_error() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let before = database.fingerprint();
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 3] = [
        // Twice the same key.
        ("data/customer/0001", |rows| {
            let line = rows.iter().position(|byte| *byte == b'\n').unwrap();
            rows.drain(..=line);
            let line = rows.iter().position(|byte| *byte == b'\n').unwrap();
            let first = rows[..=line].to_vec();
            rows.extend_from_slice(&first);
        }),
        ("data/customer/0001", |rows| rows.splice(0..0, *b"x").for_each(drop)),
        ("data/log/0001", |rows| rows.extend_from_slice(b"7\n")),
    ];
    for (part, change) in changes {
        let broken = archive.with(part, change);
        let error = prepared(&*driver, &broken, StageContext::new(run())).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Archive, "{error:?}");
        assert_eq!(database.fingerprint(), before);
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_lead_nowhere_are_told_of() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    database.batch("SET foreign_key_checks = 0; DELETE FROM customer WHERE id = 7");
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let ledger = staging.ledger();
    assert!(
        ledger.iter().any(|entry| entry.degrades && entry.what == "foreign key owned of product"),
        "{ledger:?}"
    );
    staging.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_that_the_server_does_not_keep_are_not_taken_for_harmless() {
    let server = Box::leak(Box::new(MysqlOptions::new(MysqlVersion::Mariadb10_11).start()));
    let database = Database::of(server);
    database.make();
    // Values of none of the members, each of which the server warns of when it is loaded: more than it keeps warnings.
    database.batch(
        "SET sql_mode = ''; CREATE TABLE t (e enum ('a', 'b'));
         INSERT IGNORE INTO t SELECT 'x' FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 300)
             SELECT one.n FROM s one, s other) s",
    );
    let dumped = database.fingerprint();
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let error = prepared(&*driver, &archive, StageContext::new(run())).await.err().unwrap();
    assert!(error.hint().unwrap().contains("local_infile = OFF"), "{error:?}");
    assert_eq!(database.fingerprint(), dumped);
    server.batch("", "SET GLOBAL local_infile = OFF");
    database.batch("DELETE FROM t");
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(database.fingerprint(), dumped);
    drop(database);
    server.stop();
}
