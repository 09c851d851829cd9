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

fn tables_stay_whole(version: MysqlVersion) {
    let server = MysqlServer::shared(version);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE filled (n int PRIMARY KEY);
         INSERT INTO filled WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s;
         CREATE TABLE t LIKE filled; INSERT INTO t SELECT * FROM filled;
         CREATE TABLE flips LIKE filled; INSERT INTO flips SELECT * FROM filled",
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        over_and_over(scope, &done, |round| {
            let change = match round % 4 {
                0 => {
                    "CREATE TABLE u LIKE filled; INSERT INTO u SELECT * FROM filled;
                     RENAME TABLE t TO gone, u TO t; DROP TABLE gone"
                }
                1 => "ALTER TABLE t FORCE",
                2 => {
                    "ALTER TABLE t ADD COLUMN more varchar(30) DEFAULT 'x', ALGORITHM=COPY;
                     ALTER TABLE t DROP COLUMN more, ALGORITHM=COPY"
                }
                // With a thousand rows, or with none and then with one more than before.
                _ => {
                    "BEGIN; DELETE FROM flips; INSERT INTO flips SELECT * FROM filled; COMMIT; ALTER TABLE flips FORCE"
                }
            };
            server.batch(&database, change);
            thread::sleep(std::time::Duration::from_millis(20));
        });
        let _ends = Ends(&done);
        dumps(&server.url(&database), 10, CutMode::Open, |dump| {
            let rows = dump.rows_of("t");
            assert_eq!((rows.len(), dump.rows_of("flips").len()), (1000, 1000));
            let columns = dump.table("t")["columns"].as_array().unwrap().len();
            assert!(rows.iter().all(|row| row.split('\t').count() == columns));
            let definition = dump.table("t")["create"].as_str().unwrap();
            assert_eq!(definition.contains("`more`"), columns == 2, "{definition}");
        });
    });
    server.drop_database(&database);
}

#[test]
fn tables_that_are_rewritten_and_replaced_all_the_time_are_whole_in_mariadb() {
    tables_stay_whole(MysqlVersion::Mariadb10_11);
    tables_stay_whole(MysqlVersion::Mariadb11_8);
}

#[test]
fn tables_that_are_rewritten_and_replaced_all_the_time_are_whole_in_mysql() {
    tables_stay_whole(MysqlVersion::Mysql9_7);
}

fn sums_stay(server: &'static MysqlServer, mode: CutMode, login: impl Fn(&str) -> String) {
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE a (id int PRIMARY KEY, v bigint); CREATE TABLE b (id int AUTO_INCREMENT PRIMARY KEY, v bigint);
         INSERT INTO a WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 500) SELECT n, 100 FROM s;
         INSERT INTO b (v) SELECT -v FROM a",
    );
    let url = login(&database);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (done, database) = (&done, &database);
            over_and_over(scope, done, move |round| {
                let (id, amount) = ((round * 7 + writer) % 500 + 1, round % 90);
                // Both in one transaction: seen together, or not at all. In an order in which writers can't meet.
                server.batch(
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
    server.drop_database(&database);
}

#[test]
fn a_dump_under_load_is_of_one_moment() {
    sums_stay(server(), CutMode::Open, |database| server().url(database));
}

#[test]
fn a_locked_dump_under_load_is_of_one_moment_and_no_writer_fails() {
    sums_stay(server(), CutMode::Locked, |database| server().url(database));
}

#[test]
fn a_dump_under_load_by_locks_on_tables_is_of_one_moment() {
    sums_stay(server(), CutMode::Open, |database| {
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

#[test]
fn a_dump_of_mysql_under_load_is_of_one_moment() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    sums_stay(server, CutMode::Open, |database| server.url(database));
    sums_stay(server, CutMode::Locked, |database| server.url(database));
}

#[test]
fn a_dump_of_an_older_mariadb_under_load_is_of_one_moment() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_5);
    sums_stay(server, CutMode::Open, |database| server.url(database));
}

/// A table is emptied all the time, and another says so before: as long as it says nothing, there are rows.
fn never_falsely_empty(version: MysqlVersion) {
    let server = MysqlServer::shared(version);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE emptied (n int PRIMARY KEY)",
    );
    let done = AtomicBool::new(false);
    let dumped_with_rows = std::sync::atomic::AtomicU32::new(0);
    thread::scope(|scope| {
        over_and_over(scope, &done, |_| {
            server.batch(&database, "INSERT INTO emptied VALUES (1)");
            server.batch(&database, "TRUNCATE TABLE t");
            server.batch(&database, "BEGIN; INSERT INTO t VALUES (1); DELETE FROM emptied; COMMIT");
            thread::sleep(std::time::Duration::from_millis(10));
        });
        let _ends = Ends(&done);
        dumps(&server.url(&database), 40, CutMode::Open, |dump| {
            let (rows, emptied) = (dump.rows_of("t").len(), dump.rows_of("emptied").len());
            assert!(rows > 0 || emptied > 0, "rows are missing");
            dumped_with_rows.fetch_add(u32::from(rows > 0), Ordering::Relaxed);
        });
    });
    assert!(dumped_with_rows.into_inner() > 0);
    server.drop_database(&database);
}

#[test]
fn a_table_that_is_emptied_just_after_the_cut_is_not_read_as_empty_in_mariadb() {
    never_falsely_empty(MysqlVersion::Mariadb10_11);
}

#[test]
fn a_table_that_is_emptied_just_after_the_cut_is_not_read_as_empty_in_mysql() {
    never_falsely_empty(MysqlVersion::Mysql9_7);
}

/// A partition is dropped all the time, and another table says so before: as long as it says nothing, its rows are there.
fn partitions_stay(version: MysqlVersion, count: u32, login: impl Fn(&MysqlServer, &str) -> String) {
    let server = MysqlServer::shared(version);
    let database = server.create_database();
    let url = login(server, &database);
    server.batch(
        &database,
        "CREATE TABLE t (n int) PARTITION BY LIST (n) (PARTITION stays VALUES IN (0), PARTITION goes VALUES IN (1));
         INSERT INTO t VALUES (0), (1); CREATE TABLE emptied (n int PRIMARY KEY)",
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        over_and_over(scope, &done, |_| {
            server.batch(
                &database,
                "INSERT INTO emptied VALUES (1); ALTER TABLE t DROP PARTITION goes;
                 ALTER TABLE t ADD PARTITION (PARTITION goes VALUES IN (1));
                 BEGIN; INSERT INTO t VALUES (1); DELETE FROM emptied; COMMIT",
            );
            thread::sleep(std::time::Duration::from_millis(10));
        });
        let _ends = Ends(&done);
        dumps(&url, count, CutMode::Open, |dump| {
            let (rows, emptied) = (dump.rows_of("t"), dump.rows_of("emptied").len());
            assert!(rows.len() == 2 || emptied == 1, "rows are missing: {rows:?}");
        });
    });
    server.drop_database(&database);
}

#[test]
fn a_partition_that_is_dropped_just_after_the_cut_is_still_read_in_mariadb() {
    partitions_stay(MysqlVersion::Mariadb10_11, 40, MysqlServer::url);
}

#[test]
fn a_partition_that_is_dropped_just_after_the_cut_is_still_read_in_mysql() {
    partitions_stay(MysqlVersion::Mysql9_7, 40, MysqlServer::url);
}

/// One that may not lock.
fn reader(server: &MysqlServer, database: &str) -> String {
    let user = format!("reads_{database}");
    server.batch(
        "",
        &format!(
            "CREATE USER {user}@'%'; GRANT SELECT, TRIGGER, EVENT, EXECUTE ON {database}.* TO {user}@'%'"
        ),
    );
    server.url(database).replace("root@", &format!("{user}@"))
}

#[test]
fn without_a_right_to_lock_a_partition_that_is_dropped_just_after_the_cut_is_still_read() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        // Each takes a second or more here: others change the tables all the time.
        partitions_stay(version, 12, reader);
    }
}
