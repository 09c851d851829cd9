//! What is going on at the server while a dump begins, or lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dumprestore_driver::CutMode;
use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{Dump, config, cut, open, stream};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
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

/// Says that it is done, even if it panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pins and streams some times, and looks at each dump.
fn dumps(url: &str, count: u32, mode: CutMode, look: impl Fn(&Dump)) {
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
    server().batch(
        &database,
        "CREATE TABLE full (n int); INSERT INTO full SELECT seq FROM seq_1_to_1000;
         CREATE TABLE t LIKE full; INSERT INTO t SELECT * FROM full",
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        over_and_over(scope, &done, |round| {
            let change = match round % 4 {
                0 => {
                    "CREATE TABLE u LIKE full; INSERT INTO u SELECT * FROM full; RENAME TABLE t TO gone, u TO t; DROP TABLE gone"
                }
                1 => "ALTER TABLE t FORCE",
                2 => {
                    "ALTER TABLE t ADD COLUMN more varchar(30) DEFAULT 'x', ALGORITHM=COPY; ALTER TABLE t DROP COLUMN more, ALGORITHM=COPY"
                }
                // Emptied and filled again: never seen without its thousand rows, but in between.
                _ => {
                    "CREATE TABLE u LIKE full; INSERT INTO u SELECT * FROM full; TRUNCATE TABLE u; INSERT INTO u SELECT * FROM full; DROP TABLE u"
                }
            };
            server().batch(&database, change);
            thread::sleep(std::time::Duration::from_millis(20));
        });
        let _ends = Ends(&done);
        dumps(&server().url(&database), 15, CutMode::Open, |dump| {
            let rows = dump.rows_of("t");
            assert_eq!(rows.len(), 1000);
            let columns = dump.table("t")["columns"].as_array().unwrap().len();
            assert!(rows.iter().all(|row| row.split('\t').count() == columns));
            let definition = dump.table("t")["create"].as_str().unwrap();
            assert_eq!(definition.contains("`more`"), columns == 2, "{definition}");
        });
    });
    server().drop_database(&database);
}

fn sums_stay(mode: CutMode, login: impl Fn(&str) -> String) {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE a (id int PRIMARY KEY, v bigint); CREATE TABLE b (id int AUTO_INCREMENT PRIMARY KEY, v bigint);
         INSERT INTO a SELECT seq, 100 FROM seq_1_to_500; INSERT INTO b (v) SELECT -v FROM a",
    );
    let url = login(&database);
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
        let _ends = Ends(&done);
        dumps(&url, 10, mode, |dump| {
            let values = |table| -> Vec<i64> {
                let row = |row: &String| row.split_once('\t').unwrap().1.parse().unwrap();
                dump.rows_of(table).iter().map(row).collect()
            };
            let sum: i64 = values("a").iter().chain(&values("b")).sum();
            assert_eq!(sum, 0);
        });
    });
    server().drop_database(&database);
}

#[test]
fn a_dump_under_load_is_of_one_moment() {
    sums_stay(CutMode::Open, |database| server().url(database));
}

#[test]
fn a_locked_dump_under_load_is_of_one_moment_and_no_writer_fails() {
    sums_stay(CutMode::Locked, |database| server().url(database));
}

#[test]
fn a_dump_under_load_by_locks_on_tables_is_of_one_moment() {
    sums_stay(CutMode::Open, |database| {
        let user = format!("locks_{database}");
        server().batch(
            "",
            &format!(
                "CREATE USER {user}@'%'; GRANT SELECT, LOCK TABLES, TRIGGER, EVENT, EXECUTE ON {database}.* TO {user}@'%'"
            ),
        );
        server().url(database).replace("root@", &format!("{user}@"))
    });
}
