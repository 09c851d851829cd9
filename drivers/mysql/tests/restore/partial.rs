//! Data alone, and what the archive does not have.

use std::sync::Arc;

use dumprestore_driver::{Changes, Content, Driver, Extras, OldState, Result, Selection, StageContext};
use dumprestore_testkit::{MysqlOptions, MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

const VERSIONS: [MysqlVersion; 2] = [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7];

fn data_only() -> StageContext {
    StageContext::new(run()).with_selection(Selection::default().with_content(Content::DataOnly))
}

async fn plan(driver: &Arc<dyn Driver>, archive: &Arc<Archive>, cx: StageContext) -> Result<Changes> {
    driver.changes(archive.clone(), &cx).await
}

async fn restore(driver: &Arc<dyn Driver>, archive: &Arc<Archive>, cx: StageContext) -> Result<()> {
    let mut staging = prepared(&**driver, archive, cx).await?;
    staging.commit().await?;
    staging.finish(OldState::Drop).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_alone_do_not_go_into_columns_that_would_change_them() {
    for version in VERSIONS {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch(
            "CREATE TABLE t (id int PRIMARY KEY, s varchar(20), u varchar(9) CHARACTER SET utf16, d decimal(10,4), at datetime(6), \
             e enum('a','b','c'), n double, bits bit(8));
             INSERT INTO t VALUES (1, '\u{e9} \u{fc}', 'abc', 1.2345, '2020-01-02 03:04:05.678901', 'c', 1.5, b'00110001')",
        );
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let (told, before) = (database.told(&[], &["t".to_owned()]), database.fingerprint());
        let changes = [
            ("s", "varchar(20) CHARACTER SET latin1", "varchar(20)"),
            ("u", "varchar(9)", "varchar(9) CHARACTER SET utf16"),
            ("d", "decimal(10,2)", "decimal(10,4)"),
            ("at", "datetime", "datetime(6)"),
            ("e", "enum('a','c')", "enum('a','b','c')"),
            ("n", "int", "double"),
            ("bits", "int", "bit(8)"),
        ];
        for (column, other, own) in changes {
            database.batch(&format!("ALTER TABLE t MODIFY {column} {other}"));
            let changed = database.fingerprint();
            let error = plan(&driver, &archive, data_only()).await.unwrap_err();
            assert!(format!("{error:?}").contains(column), "{error:?}");
            assert!(prepared(&*driver, &archive, data_only()).await.is_err(), "{column}");
            assert_eq!(database.fingerprint(), changed);
            database.batch(&format!("ALTER TABLE t MODIFY {column} {own}"));
        }
        database.batch("DELETE FROM t");
        restore(&driver, &archive, data_only()).await.unwrap();
        assert_eq!(database.told(&[], &["t".to_owned()]), told);
        assert_eq!(database.fingerprint(), before);
        // Wider columns take them, and one more.
        database.batch("ALTER TABLE t MODIFY s text, MODIFY d decimal(12,5), MODIFY e enum('a','b','c','d'), ADD more int");
        database.batch("DELETE FROM t");
        plan(&driver, &archive, data_only()).await.unwrap();
        restore(&driver, &archive, data_only()).await.unwrap();
        let value = database.value("SELECT CONCAT_WS('|', s, HEX(u), d, at, e, n, bits + 0) FROM t");
        assert_eq!(value, "\u{e9} \u{fc}|006100620063|1.23450|2020-01-02 03:04:05.678901|c|1.5|49");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_alone_that_lead_nowhere_are_told_of() {
    let database = Database::new();
    database.make();
    database.batch(
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE kid (id int PRIMARY KEY, pid int);
         INSERT INTO parent VALUES (1); INSERT INTO kid VALUES (1, 1), (2, 2)",
    );
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    database.batch(
        "DELETE FROM kid; ALTER TABLE kid ADD CONSTRAINT leads FOREIGN KEY (pid) REFERENCES parent (id)",
    );
    let staging = prepared(&*driver, &archive, data_only()).await.unwrap();
    let ledger = staging.ledger();
    assert!(
        ledger.iter().any(|entry| entry.degrades && entry.what == "foreign key leads of kid"),
        "{ledger:?}"
    );
    let mut staging = staging;
    staging.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_programs_that_the_archive_lacks_are_counted_and_stop_whoever_wants_that() {
    for version in VERSIONS {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW same AS SELECT id FROM t");
        database.batch("CREATE PROCEDURE Both_() SELECT 1");
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let cx = |extras| StageContext::new(run()).with_extras(extras);
        let same = plan(&driver, &archive, cx(Extras::Fail)).await.unwrap();
        assert_eq!((same.create, same.replace, same.remove), (0, 1, 0), "{same:?}");
        let extras = [
            ("CREATE VIEW extra AS SELECT 1 AS one", "view extra", "DROP VIEW extra"),
            (
                "CREATE FUNCTION extra() RETURNS int DETERMINISTIC RETURN 1",
                "function extra",
                "DROP FUNCTION extra",
            ),
            ("CREATE PROCEDURE extra() SELECT 1", "procedure extra", "DROP PROCEDURE extra"),
            (
                "CREATE EVENT extra ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
                "event extra",
                "DROP EVENT extra",
            ),
            ("CREATE TABLE extra (id int)", "extra", "DROP TABLE extra"),
        ];
        for (make, name, remove) in extras {
            database.batch(make);
            let refused = plan(&driver, &archive, cx(Extras::Fail)).await.unwrap_err();
            assert!(format!("{refused:?}").contains(&format!("`{name}`")), "{refused:?}");
            let goes = plan(&driver, &archive, cx(Extras::Remove)).await.unwrap();
            assert_eq!((goes.remove, goes.removes), (1, vec![name.to_owned()]));
            let stays = plan(&driver, &archive, cx(Extras::Keep)).await.unwrap();
            assert_eq!(stays.remove, 0);
            database.batch(remove);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_found_in_any_case_where_the_server_knows_none() {
    let server = Box::leak(Box::new(
        MysqlOptions::new(MysqlVersion::Mariadb10_11).setting("lower_case_table_names", "1").start(),
    ));
    let database = Database { server, name: "shop".to_owned() };
    database.seed(Seed::Ordinary);
    let dumped = database.fingerprint();
    let url = format!("mysql://root@127.0.0.1:{}/Shop", server.port());
    let archive = Archive::of(config(&url)).await;
    database.mutate();
    let mutated = database.fingerprint();
    let driver = driver(config(&url)).unwrap();
    let changes = plan(&driver, &archive, StageContext::new(run())).await.unwrap();
    assert_eq!(changes.create, 0, "{changes:?}");
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    staging.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), mutated);
    restore(&driver, &archive, StageContext::new(run())).await.unwrap();
    assert_eq!(database.fingerprint(), dumped);
    assert!(database.beside().is_empty());
    drop(database);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_to_what_is_not_unique_are_taken_as_they_were() {
    let database = Database::of(MysqlServer::shared(MysqlVersion::Mysql9_7));
    database.make();
    database.batch(
        "SET restrict_fk_on_non_standard_key = OFF; CREATE TABLE parent (id int PRIMARY KEY, code int, KEY code (code));
         CREATE TABLE kid (id int PRIMARY KEY, code int, FOREIGN KEY (code) REFERENCES parent (code));
         INSERT INTO parent VALUES (1, 7), (2, 7); INSERT INTO kid VALUES (1, 7)",
    );
    let before = database.fingerprint();
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    for cx in [StageContext::new(run()), StageContext::new(run()).with_selection(Selection::of(["parent"]))] {
        restore(&driver, &archive, cx).await.unwrap();
        assert_eq!(database.fingerprint(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_stay_and_lead_nowhere_after_a_restore_in_part_are_told_of() {
    let database = Database::new();
    database.make();
    database.batch(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
         CREATE TABLE kid (id int PRIMARY KEY, pid int, CONSTRAINT leads FOREIGN KEY (pid) REFERENCES parent (id))",
    );
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let cx = || StageContext::new(run()).with_selection(Selection::of(["parent"]));
    for (change, told) in [
        ("INSERT INTO kid VALUES (1, 1), (2, NULL)", false),
        ("INSERT INTO parent VALUES (2); INSERT INTO kid VALUES (3, 2)", true),
    ] {
        database.batch(change);
        let mut staging = prepared(&*driver, &archive, cx()).await.unwrap();
        let is_told =
            staging.ledger().iter().any(|entry| entry.degrades && entry.what == "foreign key leads of kid");
        assert_eq!(is_told, told, "{:?}", staging.ledger());
        staging.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_alone_do_not_undo_a_migration_that_ran_while_they_were_loaded() {
    for version in VERSIONS {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1), (2)");
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, data_only()).await.unwrap();
        database.batch("ALTER TABLE t ADD COLUMN migrated int, ADD KEY k (migrated)");
        let migrated = database.fingerprint();
        let error = staging.commit().await.unwrap_err();
        assert!(error.to_string().contains("migrated"), "{error}");
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), migrated, "{version:?}");
        let mut staging = prepared(&*driver, &archive, data_only()).await.unwrap();
        database.batch("INSERT INTO t (migrated) VALUES (5)");
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(database.value("SELECT CONCAT(COUNT(*), COUNT(migrated)) FROM t"), "20");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_migrated_takes_the_place_of_no_view_that_is_to_stay() {
    let database = Database::new();
    database.make();
    database.batch("CREATE TABLE a (id int); CREATE VIEW stays AS SELECT id FROM a");
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let before = database.fingerprint();
    for made in ["CREATE TABLE stays (id int)", "CREATE VIEW stays AS SELECT 1 AS one"] {
        let cx = StageContext::new(run()).with_selection(Selection::of(["a"]));
        let mut staging = prepared(&*driver, &archive, cx).await.unwrap();
        let staged = database.beside().into_iter().find(|name| name.contains("_new_")).unwrap();
        database.server.batch(&staged, made);
        let error = staging.commit().await.unwrap_err();
        assert!(format!("{error:?}").contains("stays"), "{error:?}");
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before, "{made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_migrated_to_run_runs() {
    let database = Database::new();
    database.make();
    database
        .batch("CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2035-01-01 00:00:00' DISABLE DO SELECT 1");
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let staged = database.beside().into_iter().find(|name| name.contains("_new_")).unwrap();
    database.server.batch(&staged, "ALTER EVENT e ENABLE");
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    let status = "SELECT status FROM information_schema.events WHERE event_schema = DATABASE()";
    assert_eq!(database.value(status), "ENABLED");
}
