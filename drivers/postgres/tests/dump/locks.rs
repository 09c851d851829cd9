//! Locks that others hold, wait for, or keep.

use std::thread;
use std::time::{Duration, Instant};

use dumprestore_driver::{CutMode, ErrorKind, PartWriter, Source};
use dumprestore_testkit::{PostgresServer, PostgresVersion, soon};
use futures_util::TryStreamExt;

use crate::dump_support::{Sink, config, cut, dump_part, open, pinned, stream};

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

fn waits_for_a_lock(database: &str, statement: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'
         AND query LIKE '{statement}%'"
    );
    server().value("postgres", &sql) != "0"
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_to_change_a_table_does_not_stop_its_rows() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    let mut source = pinned(config(&server().url(&database))).await;
    let parts: Vec<_> = source.parts().await.unwrap().try_collect().await.unwrap();
    thread::scope(|scope| {
        scope.spawn(|| server().batch(&database, "ALTER TABLE t ADD COLUMN more int"));
        soon("the change waits", || waits_for_a_lock(&database, "ALTER TABLE t"));
        let rows = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut counted = 0;
                for part in &parts {
                    counted += dump_part(&*source, part, false).await.unwrap().1.unwrap_or(0);
                }
                source.release().await.unwrap();
                counted
            })
        });
        assert_eq!(rows, 1000);
    });
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_to_change_a_table_since_the_pin_does_not_stop_the_definitions() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n; CREATE VIEW v AS SELECT * FROM t",
    );
    let mut source = pinned(config(&server().url(&database))).await;
    thread::scope(|scope| {
        scope.spawn(|| server().batch(&database, "ALTER TABLE t ADD COLUMN more int"));
        soon("the change waits", || waits_for_a_lock(&database, "ALTER TABLE t"));
        let dump = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let dump = stream(&mut *source, 2).await;
                source.release().await.unwrap();
                dump
            })
        });
        assert_eq!(dump.unwrap().rows_of("public", "t").len(), 1000);
    });
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_for_long_is_a_clear_error() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t (n int)");
    let (begun, wait) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = server().try_batch(
                &database,
                "BEGIN; LOCK TABLE t; SET application_name = 'holds'; SELECT pg_sleep(60); COMMIT",
            );
        });
        soon("the lock is held", || {
            server()
                .value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holds'")
                != "0"
        });
        let url = format!("{}?application_name=x", server().url(&database));
        begun.send(()).unwrap();
        wait.recv().unwrap();
        let mut config = config(&url);
        config.lock_timeout = 1;
        let error = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(async { open(config).await.pin(&cut(CutMode::Open)).await.unwrap_err() })
        });
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(error.hint().unwrap().contains("lock_timeout"), "{error:?}");
        server().value(
            "postgres",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'holds'",
        );
    });
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_cut_keeps_writers_out_until_it_is_unlocked() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t (n int)");
    let mut source = open(config(&server().url(&database))).await;
    source.pin(&cut(CutMode::Locked)).await.unwrap();
    let since = Instant::now();
    let writer = {
        let database = database.clone();
        thread::spawn(move || {
            server().batch(&database, "INSERT INTO t VALUES (1)");
            Instant::now()
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!writer.is_finished(), "a writer got through a locked cut");
    source.unlock().await.unwrap();
    let written = writer.join().unwrap();
    assert!(written - since >= Duration::from_millis(300));
    let dump = stream(&mut *source, 1).await.unwrap();
    assert_eq!(dump.rows_of("public", "t").len(), 0);
    assert!(source.facts().contains_key("writers_waited_ms"));
    source.release().await.unwrap();
    server().drop_database(&database);
}

async fn slow_table(database: &str) -> Box<dyn Source> {
    server()
        .batch(database, "CREATE TABLE t AS SELECT repeat('x', 500) AS x FROM generate_series(1, 200000)");
    pinned(config(&server().url(database))).await
}

fn lanes_at_work(database: &str) -> String {
    server().value(
        "postgres",
        &format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state = 'active' AND query LIKE 'COPY%'"
        ),
    )
}

/// Waits before it takes anything.
struct Stuck;

impl dumprestore_driver::PartSink for Stuck {
    fn write(&mut self, _: &[u8]) -> dumprestore_driver::Result<()> {
        thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    fn finish(&mut self) -> dumprestore_driver::Result<dumprestore_driver::Receipt> {
        Sink::new(false).finish()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_stops_at_the_server_as_well() {
    let database = server().create_database();
    let mut source = slow_table(&database).await;
    let parts: Vec<_> = source.parts().await.unwrap().try_collect().await.unwrap();
    let mut sink = Stuck;
    let mut out = PartWriter::new(&mut sink);
    {
        let dumping = source.dump(&parts[1], &mut out);
        let cut_off = tokio::time::timeout(Duration::from_millis(500), dumping).await;
        assert!(cut_off.is_err(), "the part was dumped too fast for this test");
    }
    soon("the server stops reading", || lanes_at_work(&database) == "0");
    source.release().await.unwrap();
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_midway_is_a_clear_error() {
    let database = server().create_database();
    let mut source = slow_table(&database).await;
    let parts: Vec<_> = source.parts().await.unwrap().try_collect().await.unwrap();
    let other = database.clone();
    let killer = thread::spawn(move || {
        soon("rows are read", || lanes_at_work(&other) != "0");
        server().value(
            "postgres",
            &format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = '{other}' AND state = 'active' AND query LIKE 'COPY%'"
            ),
        )
    });
    let mut sink = Stuck;
    let error = source.dump(&parts[1], &mut PartWriter::new(&mut sink)).await.unwrap_err();
    assert_eq!(killer.join().unwrap(), "1");
    assert_eq!(error.kind(), ErrorKind::Environment, "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    source.release().await.unwrap();
    server().drop_database(&database);
}
