//! Locks that others hold, wait for, or keep; and who waits for ours.

use std::thread;
use std::time::{Duration, Instant};

use dumprestore_driver::{CutMode, ErrorKind, Source};
use dumprestore_mysql::NonTransactional;
use dumprestore_testkit::{MysqlServer, MysqlVersion, soon};
use futures_util::TryStreamExt;

use crate::dump_support::{config, cut, dump_part, open, pinned, stream, wait};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
}

fn waits_for_a_lock(server: &MysqlServer, statement: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for%' AND info LIKE '{statement}%'"
    );
    server.value("", &sql) != "0"
}

/// A session that is in the midst of a transaction, or holds a lock, until it is dropped.
struct Holding {
    database: String,
    thread: Option<thread::JoinHandle<()>>,
}

impl Holding {
    fn of(database: &str, statements: &str) -> Self {
        let (its, statements) = (database.to_owned(), format!("{statements}; SELECT SLEEP(100)"));
        let thread = thread::spawn(move || drop(server().try_batch(&its, &statements)));
        let holding = Self { database: database.to_owned(), thread: Some(thread) };
        soon("the lock is held", || !holding.sessions().is_empty());
        holding
    }

    fn sessions(&self) -> Vec<String> {
        let sql = format!(
            "SELECT id FROM information_schema.processlist WHERE db = '{}' AND info LIKE 'SELECT SLEEP%'",
            self.database
        );
        server().rows("", &sql).into_iter().map(|row| row[0].clone().unwrap()).collect()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        for id in self.sessions() {
            server().batch("", &format!("KILL {id}"));
        }
        let _ = self.thread.take().unwrap().join();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_to_change_a_table_stops_neither_its_rows_nor_the_definitions() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "CREATE TABLE t (n int);
             INSERT INTO t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s;
             CREATE VIEW v AS SELECT * FROM t; CREATE VIEW w AS SELECT * FROM v;
             CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1",
        );
        let mut source = pinned(config(&server.url(&database))).await;
        let change = format!("ALTER TABLE t ADD COLUMN more_{database} int");
        thread::scope(|scope| {
            scope.spawn(|| server.batch(&database, &change));
            soon("the change waits", || waits_for_a_lock(server, &change));
            let dump = wait(async {
                let dump = stream(&mut *source, 3).await;
                source.release().await.unwrap();
                dump
            })
            .unwrap();
            assert_eq!(dump.rows_of("t").len(), 1000);
            assert!(!dump.table("t")["create"].as_str().unwrap().contains("more_"));
            assert_eq!(
                (dump.names("triggers"), dump.names("views")),
                (vec!["g".to_owned()], vec!["v".to_owned(), "w".to_owned()])
            );
        });
        server.drop_database(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_for_long_is_a_clear_error() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t (n int)");
    let held = Holding::of(&database, "LOCK TABLES t WRITE");
    let mut config = config(&server().url(&database));
    config.lock_timeout = 1;
    let error = open(config).await.pin(&cut(CutMode::Open)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.hint().is_some(), "{error:?}");
    drop(held);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_open_for_long_are_not_waited_for() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    let held = Holding::of(&database, "BEGIN; INSERT INTO t VALUES (2)");
    let dump = crate::dump_support::dump(config(&server().url(&database))).await;
    assert_eq!(dump.rows_of("t"), ["1"]);
    drop(held);
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
    assert_eq!(dump.rows_of("t").len(), 0);
    assert!(dump.facts.contains_key("writers_waited_ms"));
    source.release().await.unwrap();
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_transactions_are_as_at_the_cut_and_their_writers_wait_until_they_are_dumped() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE old (n int) ENGINE = MyISAM; INSERT INTO old VALUES (1), (2); CREATE TABLE older (n int) ENGINE = Aria;
         CREATE TABLE t (n int)",
    );
    let mut source = pinned(config(&server().url(&database))).await;
    server().batch(&database, "INSERT INTO t VALUES (1)");
    let parts: Vec<_> = source.parts().await.unwrap().try_collect().await.unwrap();
    let of = |table: &str| {
        parts.iter().position(|part| part.name.as_str().contains(&format!("/{table}/"))).unwrap()
    };
    assert!(of("old") < of("t") && of("older") < of("t"), "what is held comes first");
    let writer = {
        let database = database.clone();
        thread::spawn(move || server().batch(&database, "INSERT INTO old VALUES (3)"))
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!writer.is_finished(), "a writer got through");
    let (sink, rows) = dump_part(&*source, &parts[of("old")], true).await.unwrap();
    assert_eq!((sink.bytes, rows), (b"1\n2\n".to_vec(), Some(2)));
    assert!(!writer.is_finished(), "a writer got through while others of its kind are to be dumped");
    dump_part(&*source, &parts[of("older")], true).await.unwrap();
    writer.join().unwrap();
    assert!(source.ledger().is_empty(), "{:?}", source.ledger());
    source.release().await.unwrap();
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_transactions_may_be_read_live_which_is_told() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE old (n int) ENGINE = MyISAM; CREATE TABLE t (n int)");
    let mut config = config(&server().url(&database));
    config.non_transactional = NonTransactional::Live;
    let mut source = pinned(config).await;
    server().batch(&database, "INSERT INTO old VALUES (3)");
    let dump = stream(&mut *source, 2).await.unwrap();
    assert!(dump.told_of("old").unwrap().1);
    assert_eq!(dump.table("old")["transactional"], false);
    assert_eq!(dump.told_of("t"), None);
    source.release().await.unwrap();
    server().drop_database(&database);
}

/// A login with these rights on the database, and with `global` ones.
fn login(name: &str, database: &str, global: &str, rights: &str) -> String {
    let user = format!("{name}_{database}@'%'");
    let global = if global.is_empty() { String::new() } else { format!("GRANT {global} ON *.* TO {user};") };
    server().batch("", &format!("CREATE USER {user}; {global} GRANT {rights} ON {database}.* TO {user}"));
    server().url(database).replace("root@", &format!("{name}_{database}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_is_the_best_that_a_login_has_a_right_to() {
    const ALL: &str = "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE";
    for (name, global, rights, expected, connections) in [
        ("reload", "RELOAD", ALL.to_owned(), "backup_stage", "4"),
        ("locks", "", format!("{ALL}, LOCK TABLES"), "lock_tables", "4"),
        ("reads", "", ALL.to_owned(), "single_connection", "1"),
    ] {
        let database = server().create_database();
        server().batch(
            &database,
            "CREATE TABLE t (n int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT * FROM t",
        );
        let url = login(name, &database, global, &rights);
        let dump = crate::dump_support::dump(config(&url)).await;
        assert_eq!(dump.facts["cut"], expected);
        assert_eq!(dump.facts["connections"], connections);
        assert_eq!(dump.facts.contains_key("cut_reason"), expected != "backup_stage");
        assert_eq!(dump.rows_of("t"), ["1"]);
        let mut source = open(config(&url)).await;
        let locked = source.pin(&cut(CutMode::Locked)).await;
        assert_eq!(locked.is_ok(), expected != "single_connection", "{name}: {locked:?}");
        source.release().await.unwrap();
        server().drop_database(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_may_not_see_is_an_error_and_never_left_out_silently() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t (n int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1;
         CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1; CREATE VIEW v AS SELECT 1",
    );
    for (name, rights, hint) in [
        ("a", "SELECT", "SHOW VIEW"),
        ("b", "SELECT, SHOW VIEW", "TRIGGER"),
        ("c", "SELECT, SHOW VIEW, TRIGGER", "EXECUTE"),
        ("d", "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE", "mysql.proc"),
        ("e", "SHOW VIEW, TRIGGER, EVENT, EXECUTE", "SELECT"),
    ] {
        let url = login(name, &database, "", rights);
        let mut source = open(config(&url)).await;
        let failed = match source.pin(&cut(CutMode::Open)).await {
            Ok(()) => source.parts().await.err(),
            Err(error) => Some(error),
        };
        let error = failed.unwrap_or_else(|| panic!("{name} dumps without {hint}"));
        assert!(format!("{error:?}").contains(hint), "{name}: {error:?}");
        source.release().await.unwrap();
    }
    let url = login("f", &database, "", "SELECT, SHOW VIEW");
    let mut little = config(&url);
    (little.triggers, little.routines, little.events) = (false, false, false);
    let dump = crate::dump_support::dump(little).await;
    assert_eq!((dump.names("views"), dump.names("triggers").len()), (vec!["v".to_owned()], 0));
    assert_eq!(dump.told_of("triggers").map(|told| told.1), Some(false));
    server().drop_database(&database);
}

/// Waits before it takes anything.
struct Stuck;

impl dumprestore_driver::PartSink for Stuck {
    fn write(&mut self, _: &[u8]) -> dumprestore_driver::Result<()> {
        thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    fn finish(&mut self) -> dumprestore_driver::Result<dumprestore_driver::Receipt> {
        crate::dump_support::Sink::new(false).finish()
    }
}

async fn slow_table(database: &str) -> Box<dyn Source> {
    server().batch(database, "CREATE TABLE t AS SELECT repeat('x', 500) AS x FROM seq_1_to_100000");
    pinned(config(&server().url(database))).await
}

fn lanes_at_work(database: &str) -> Vec<String> {
    let sql = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{database}' AND info LIKE 'SELECT `x` FROM%'"
    );
    server().rows("", &sql).into_iter().map(|row| row[0].clone().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_stops_at_the_server_as_well() {
    let database = server().create_database();
    let mut source = slow_table(&database).await;
    let parts: Vec<_> = source.parts().await.unwrap().try_collect().await.unwrap();
    let mut sink = Stuck;
    let mut out = dumprestore_driver::PartWriter::new(&mut sink);
    {
        let dumping = source.dump(&parts[1], &mut out);
        let cut_off = tokio::time::timeout(Duration::from_millis(500), dumping).await;
        assert!(cut_off.is_err(), "the part was dumped too fast for this test");
    }
    soon("the server stops reading", || lanes_at_work(&database).is_empty());
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
        soon("rows are read", || !lanes_at_work(&other).is_empty());
        for id in lanes_at_work(&other) {
            server().batch("", &format!("KILL {id}"));
        }
    });
    let mut sink = Stuck;
    let error =
        source.dump(&parts[1], &mut dumprestore_driver::PartWriter::new(&mut sink)).await.unwrap_err();
    killer.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Environment, "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    source.release().await.unwrap();
    server().drop_database(&database);
}

/// As if `query` went on for an hour, by whatever makes it run.
async fn runs_on_beside_a_dump(begin: impl Fn(&MysqlServer, &str, &str) + Sync) {
    let server = &MysqlServer::start(MysqlVersion::Mysql9_7);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    let query = format!("SELECT n, SLEEP(60), '{database}' FROM t");
    let its = || {
        let sql = format!(
            "SELECT id FROM information_schema.processlist WHERE info = '{}'",
            query.replace('\'', "''")
        );
        server.rows("", &sql).into_iter().map(|row| row[0].clone().unwrap()).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        scope.spawn(|| begin(server, &database, &query));
        soon("the query runs", || !its().is_empty());
        let mut config = config(&server.url(&database));
        config.lock_timeout = 1;
        let dump = wait(crate::dump_support::dump(config));
        assert_eq!((dump.rows_of("t"), dump.facts["cut"].as_str()), (vec!["1".to_owned()], "lock_tables"));
        server.batch(&database, "SELECT n FROM t");
        assert_eq!(its().len(), 1, "the query has ended, and proves nothing");
        server.batch("", &format!("KILL {}", its()[0]));
    });
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_mysql_is_not_waited_for_and_nobody_waits_behind_the_dump() {
    // It has only just begun.
    runs_on_beside_a_dump(|server, database, query| drop(server.try_batch(database, query))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_an_event_of_mysql_is_not_waited_for_either() {
    runs_on_beside_a_dump(|server, database, query| {
        server.batch(
            database,
            &format!(
                "SET GLOBAL event_scheduler = ON; CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP ON COMPLETION PRESERVE DO {query}"
            ),
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_runs_in_mysql_open_transactions_are_not_waited_for() {
    let server = &MysqlServer::start(MysqlVersion::Mysql9_7);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    let client = mysql_async::Opts::from_url(&server.url(&database)).unwrap();
    let mut open = mysql_async::Conn::new(client).await.unwrap();
    for statement in ["BEGIN", "INSERT INTO t VALUES (2)"] {
        mysql_async::prelude::Queryable::query_drop(&mut open, statement).await.unwrap();
    }
    let dump = crate::dump_support::dump(config(&server.url(&database))).await;
    assert_eq!((dump.rows_of("t"), dump.facts["cut"].as_str()), (vec!["1".to_owned()], "flush_tables"));
    open.disconnect().await.unwrap();
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_cut_lets_writers_to_other_databases_through() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = MysqlServer::shared(version);
        let (database, other) = (server.create_database(), server.create_database());
        for database in [&database, &other] {
            server.batch(database, "CREATE TABLE t (n int)");
        }
        let mut source = open(config(&server.url(&database))).await;
        source.pin(&cut(CutMode::Locked)).await.unwrap();
        let insert = "SET SESSION lock_wait_timeout = 1; INSERT INTO t VALUES (1)";
        server.batch(&other, insert);
        assert!(server.try_batch(&database, insert).is_err(), "a writer got through a locked cut");
        source.unlock().await.unwrap();
        server.batch(&database, insert);
        source.release().await.unwrap();
        server.drop_database(&database);
        server.drop_database(&other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_few_connections_gets_by_with_fewer_lanes() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t (n int); INSERT INTO t VALUES (1); CREATE TABLE old (n int) ENGINE = MyISAM;
         CREATE VIEW v AS SELECT * FROM t",
    );
    let url = login("few", &database, "RELOAD", "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES");
    server().batch("", &format!("ALTER USER few_{database}@'%' WITH MAX_USER_CONNECTIONS 4"));
    let dump = crate::dump_support::dump(config(&url)).await;
    assert_eq!((dump.rows_of("t").len(), dump.facts["connections"].as_str()), (1, "2"));
    server().drop_database(&database);
}
