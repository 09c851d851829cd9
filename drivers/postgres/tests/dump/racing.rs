//! What is going on at the server while a dump begins, or lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dumprestore_driver::CutMode;
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::dump_support::{config, cut, open, stream};

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

/// Runs `work` over and over, in a thread of its own, until `done` is set.
fn over_and_over<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    done: &'scope AtomicBool,
    mut work: impl FnMut(u64) + Send + 'scope,
) {
    scope.spawn(move || {
        let mut round = 0;
        while !done.load(Ordering::Relaxed) {
            work(round);
            round += 1;
        }
    });
}

/// Pins and streams some times, and looks at each dump.
fn dumps(url: &str, count: u32, mode: CutMode, look: impl Fn(&crate::dump_support::Dump)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..count {
            let mut source = open(config(url)).await;
            source.pin(&cut(mode)).await.unwrap();
            source.unlock().await.unwrap();
            let dump = stream(&mut *source, 3).await.unwrap();
            source.release().await.unwrap();
            look(&dump);
        }
    });
}

#[test]
fn tables_that_are_emptied_and_rewritten_all_the_time_are_never_read_as_empty() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        over_and_over(scope, &done, |round| {
            let extra = match round % 3 {
                0 => {
                    "ALTER TABLE t DROP COLUMN IF EXISTS more; ALTER TABLE t ADD COLUMN more text DEFAULT clock_timestamp()::text;"
                }
                1 => "ALTER TABLE t ALTER COLUMN n TYPE bigint;",
                _ => "ALTER TABLE t RENAME TO u; CREATE TABLE t (LIKE u); DROP TABLE u;",
            };
            server().batch(
                &database,
                &format!(
                    "BEGIN; TRUNCATE t; {extra} INSERT INTO t (n) SELECT generate_series(1, 1000); COMMIT"
                ),
            );
            thread::sleep(std::time::Duration::from_millis(5));
        });
        dumps(&server().url(&database), 15, CutMode::Open, |dump| {
            let rows = dump.rows_of("public", "t");
            assert_eq!(rows.len(), 1000);
            let columns = dump.table("public", "t")["columns"].as_array().unwrap().len();
            assert!(rows.iter().all(|row| row.split('\t').count() == columns));
            let counted: u64 =
                dump.rows.iter().filter(|(name, _)| name.starts_with("data/")).map(|(_, n)| n).sum();
            assert_eq!(counted, 1000);
        });
        done.store(true, Ordering::Relaxed);
    });
    server().drop_database(&database);
}

fn sums_stay(mode: CutMode) {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE a (id int PRIMARY KEY, v bigint); CREATE TABLE b (id serial PRIMARY KEY, v bigint);
         INSERT INTO a SELECT n, 100 FROM generate_series(1, 500) n; INSERT INTO b (v) SELECT -v FROM a",
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (done, database) = (&done, &database);
            over_and_over(scope, done, move |round| {
                let (id, amount) = ((round * 7 + writer) % 500 + 1, round % 90);
                // Both in one transaction: seen together, or not at all. In an order in which writers can't meet.
                server().batch(
                    database,
                    &format!(
                        "BEGIN; UPDATE a SET v = v + {amount} WHERE id = {id}; INSERT INTO b (v) VALUES (-{amount}); COMMIT"
                    ),
                );
            });
        }
        dumps(&server().url(&database), 10, mode, |dump| {
            let values = |table| -> Vec<(i64, i64)> {
                let row = |row: &String| {
                    let (id, v) = row.split_once('\t').unwrap();
                    (id.parse().unwrap(), v.parse().unwrap())
                };
                dump.rows_of("public", table).iter().map(row).collect()
            };
            let sum: i64 = values("a").iter().chain(&values("b")).map(|(_, v)| v).sum();
            assert_eq!(sum, 0);
            let sequence = &dump.contents["sequences"][0];
            let highest = values("b").iter().map(|(id, _)| *id).max().unwrap();
            assert!(sequence["last_value"].as_i64().unwrap() >= highest, "{sequence} is below {highest}");
        });
        done.store(true, Ordering::Relaxed);
    });
    server().drop_database(&database);
}

#[test]
fn a_dump_under_load_is_of_one_moment() {
    sums_stay(CutMode::Open);
}

#[test]
fn a_locked_dump_under_load_is_of_one_moment_and_no_writer_fails() {
    sums_stay(CutMode::Locked);
}
