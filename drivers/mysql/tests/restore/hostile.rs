//! Databases that are odd, people who meddle, and moments that are bad.

use std::time::Duration;

use dumprestore_driver::{ErrorKind, Extras, OldState, Selection, StageContext};
use dumprestore_mysql::Definers;
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::{Database, quoted};

const BOTH: [MysqlVersion; 2] = [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7];

/// Waits until a query about the server's sessions finds one.
async fn seen(database: &Database, condition: &str) {
    let asked = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE {condition}");
    while database.server.value("", &asked) == "0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_restored_beside_others_that_have_triggers() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let before = database.fingerprint();
        let cx = || StageContext::new(run()).with_selection(Selection::of(["product"]));
        let mut staging = prepared(&*driver, &archive, cx()).await.unwrap();
        staging.commit().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        let mut staging = prepared(&*driver, &archive, cx()).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(database.fingerprint(), before);
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_view_that_does_not_work_is_in_nobody_s_way_and_stays() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch(
            "CREATE TABLE gone (a int); CREATE VIEW broken AS SELECT a FROM gone;
             CREATE VIEW works AS SELECT id FROM customer; DROP TABLE gone",
        );
        let driver = driver(config(&database.root_url())).unwrap();
        let views = || {
            database.value(
                "SELECT GROUP_CONCAT(table_name ORDER BY 1) FROM information_schema.views WHERE table_schema = DATABASE()",
            )
        };
        let before = views();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        staging.rollback().await.unwrap();
        assert_eq!(views(), before);
        assert!(database.beside().is_empty());
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        assert!(staging.ledger().iter().any(|entry| entry.what == "view broken"), "{:?}", staging.ledger());
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(views(), "a_view_of_a_view,broken,owned");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_more_is_dropped_when_the_old_tables_are_gone() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    database.mutate();
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let token = staging.journal();
    staging.commit().await.unwrap();
    drop(staging);
    let live = database.fingerprint();
    let old = database.beside().into_iter().find(|name| name.contains("_old_")).unwrap();
    database.server.drop_database(&old);
    for _ in 0..2 {
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        let error = again.rollback().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains(&old)), "{error:?}");
        assert_eq!(database.fingerprint(), live);
        assert_eq!(database.beside().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_see_views_restores_a_table_with_a_trigger() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    let user = format!("blind_{}", run().replace('-', "_"));
    let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
    database.server.batch(
        "",
        &format!(
            "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x';
             GRANT ALL ON `{escaped}`.* TO {user}@'127.0.0.1'; REVOKE SHOW VIEW ON `{escaped}`.* FROM {user}@'127.0.0.1';
             GRANT ALL ON `{escaped}\\_dumprestore\\_%`.* TO {user}@'127.0.0.1'; GRANT SET USER ON *.* TO {user}@'127.0.0.1'"
        ),
    );
    let before = database.fingerprint();
    let mut blind = config(&database.url(&user, "x"));
    blind.definers = Definers::Keep;
    let driver = driver(blind).unwrap();
    let cx = StageContext::new(run()).with_selection(Selection::of(["customer"]));
    let mut staging = prepared(&*driver, &archive, cx).await.unwrap();
    staging.commit().await.unwrap();
    staging.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), before);
    assert!(database.beside().is_empty());
}

/// Somebody who waited for one table has it before the rename, and keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_hold_keeps_no_other_without_its_triggers() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    database.batch("CREATE TABLE zoo (id int PRIMARY KEY); CREATE TRIGGER fed BEFORE INSERT ON zoo FOR EACH ROW SET new.id = new.id");
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let helper = Database::new();
    helper.make();
    let product = format!("{}.product", database.quoted());
    database.server.batch(
        &helper.name,
        &format!(
            "CREATE PROCEDURE hold() BEGIN
               DECLARE begun datetime(6); DECLARE done int DEFAULT 0;
               REPEAT
                 START TRANSACTION;
                 SET begun = SYSDATE(6);
                 INSERT INTO {product} (sku) VALUES ('held') ON DUPLICATE KEY UPDATE price = 1;
                 IF TIMESTAMPDIFF(MICROSECOND, begun, SYSDATE(6)) > 20000 THEN DO SLEEP(8); SET done = 1; END IF;
                 COMMIT;
               UNTIL done END REPEAT;
             END"
        ),
    );
    let (server, name) = (database.server, helper.name.clone());
    let holder = std::thread::spawn(move || server.batch(&name, "CALL hold()"));
    let committing = tokio::spawn(async move { staging.commit().await.map(|()| staging) });
    seen(&database, "info LIKE 'DO SLEEP(8)%'").await;
    let sleeps = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP(8)%'";
    let fed = "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name = 'fed'";
    // It goes at first.
    let mut was_without = false;
    let mut was_put_back = false;
    while database.server.value("", sleeps) != "0" {
        let is_there = database.value(fed) == "1";
        was_put_back |= was_without && is_there;
        was_without |= !is_there;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.join().unwrap();
    let mut staging = committing.await.unwrap().unwrap();
    assert!(was_put_back || !was_without);
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(database.value(fed), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_since_a_swap_was_given_up_is_left_alone() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    database.batch("DROP PROCEDURE count_them; CREATE PROCEDURE count_them() SELECT 'of before'");
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let token = staging.journal();
    let (server, name) = (database.server, database.name.clone());
    let held = "START TRANSACTION; DO (SELECT COUNT(*) FROM spread); DO SLEEP(7); COMMIT";
    let holder = std::thread::spawn(move || server.batch(&name, held));
    seen(&database, "info LIKE 'DO SLEEP(7)%'").await;
    let given_up = tokio::time::timeout(Duration::from_secs(3), staging.commit()).await;
    assert!(given_up.is_err(), "{given_up:?}");
    drop(staging);
    database.batch("DROP PROCEDURE count_them; CREATE PROCEDURE count_them() SELECT 'of later'");
    let later = database.fingerprint();
    holder.join().unwrap();
    let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
    again.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), later);
    assert!(database.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_just_read_is_dropped_later() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let beside = database.beside().into_iter().find(|name| name.contains("_new_")).unwrap();
    let server = database.server;
    let held = format!(
        "START TRANSACTION; DO (SELECT COUNT(*) FROM {}.customer); DO SLEEP(6); COMMIT",
        quoted(&beside)
    );
    let holder = std::thread::spawn(move || server.batch("", &held));
    seen(&database, "info LIKE 'DO SLEEP(6)%'").await;
    staging.rollback().await.unwrap();
    holder.join().unwrap();
    assert!(database.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_put_back_though_a_table_that_led_to_it_is_gone() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let other = Database::new();
    other.make();
    let customer = format!("{}.customer", database.quoted());
    other.batch(&format!(
        "CREATE TABLE kid (p int, CONSTRAINT far FOREIGN KEY (p) REFERENCES {customer} (id));
         CREATE TABLE freed (p int, CONSTRAINT off FOREIGN KEY (p) REFERENCES {customer} (id))"
    ));
    let archive = Archive::of(config(&database.root_url())).await;
    database.mutate();
    let before = database.fingerprint();
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    let kept = staging.finish(OldState::Keep).await.unwrap().unwrap();
    other.batch("DROP TABLE kid; ALTER TABLE freed DROP FOREIGN KEY off");
    let outside = other.fingerprint();
    let mut back = driver.stage_previous(&kept, StageContext::new(run())).await.unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    back.finish(OldState::Drop).await.unwrap();
    assert_eq!(database.fingerprint(), before);
    assert_eq!(other.fingerprint(), outside);
    assert!(database.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_migrated_before_the_swap_goes_live_as_it_was_migrated() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        database.mutate();
        let before = database.fingerprint();
        let driver = driver(config(&database.root_url())).unwrap();
        let migrate = || {
            let staged = database.beside().into_iter().find(|name| name.contains("_new_")).unwrap();
            for statement in [
                "CREATE TABLE brand_new (id int PRIMARY KEY); INSERT INTO brand_new VALUES (7)",
                "RENAME TABLE draft TO sketch",
                "DROP TABLE spread",
                "CREATE VIEW fresh AS SELECT id FROM brand_new",
                "DROP VIEW a_view_of_a_view",
                "DROP PROCEDURE count_them; CREATE PROCEDURE count_them() SELECT 'migrated'",
                "DROP TRIGGER priced; CREATE TRIGGER counted BEFORE INSERT ON brand_new FOR EACH ROW SET new.id = new.id + 1",
                "ALTER EVENT tidy COMMENT 'migrated'",
                "ALTER TABLE customer ADD COLUMN migrated int DEFAULT 5",
            ] {
                database.server.batch(&staged, statement);
            }
        };
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        migrate();
        staging.commit().await.unwrap();
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        assert!(database.beside().is_empty());
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        migrate();
        let token = staging.journal();
        staging.commit().await.unwrap();
        drop(staging);
        let mut staging = driver.resume(&token, StageContext::new("again")).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert!(database.beside().is_empty());
        let tables = database.tables(|_| true);
        for (name, is_there) in [
            ("brand_new", true),
            ("sketch", true),
            ("fresh", true),
            ("owned", true),
            ("draft", false),
            ("spread", false),
            ("a_view_of_a_view", false),
            ("of_its_own", false),
        ] {
            assert_eq!(tables.iter().any(|table| table == name), is_there, "{name} {tables:?}");
        }
        database.batch("INSERT INTO brand_new VALUES (1)");
        assert_eq!(database.value("SELECT GROUP_CONCAT(id ORDER BY id) FROM fresh"), "2,7");
        assert_eq!(database.value("SELECT COUNT(*) FROM customer WHERE migrated = 5"), "100");
        let triggers = "SELECT GROUP_CONCAT(trigger_name ORDER BY 1) FROM information_schema.triggers WHERE trigger_schema = DATABASE()";
        assert_eq!(database.value(triggers), "counted,logged");
        let event = "SELECT CONCAT(event_comment, ' ', status) FROM information_schema.events WHERE event_schema = DATABASE()";
        assert_eq!(database.value(event), "migrated DISABLED");
        let told = database.told(&["--routines", "--no-data"], &[]);
        assert!(told.contains("SELECT 'migrated'"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_restores_of_one_database_do_not_meet() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    database.mutate();
    let before = database.fingerprint();
    let driver = driver(config(&database.root_url())).unwrap();
    let mut one = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    one.commit().await.unwrap();
    let during = database.fingerprint();
    let mut other = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let error = other.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
    other.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), during);
    one.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), before);
    let mut third = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    third.commit().await.unwrap();
    third.finish(OldState::Drop).await.unwrap();
    assert_eq!(database.fingerprint(), during);
    assert!(database.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_by_what_stays_stops_a_restore_before_the_swap() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch(
            "DROP TRIGGER priced; CREATE TABLE stays (id int); CREATE TRIGGER priced BEFORE INSERT ON stays FOR EACH ROW SET new.id = 1",
        );
        let driver = driver(config(&database.root_url())).unwrap();
        let cx = || StageContext::new(run()).with_selection(Selection::of(["product"]));
        let error = prepared(&*driver, &archive, cx()).await.err().unwrap();
        assert!(error.to_string().contains("priced"), "{error}");
        database.batch("DROP TABLE stays; DROP VIEW owned; CREATE TABLE owned (id int)");
        let keep = StageContext::new(run()).with_extras(Extras::Keep);
        let error = prepared(&*driver, &archive, keep).await.err().unwrap();
        assert!(error.to_string().contains("owned"), "{error}");
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_go_is_looked_for_until_the_last_moment() {
    for extra in [
        "CREATE TABLE extra (id int)",
        "CREATE VIEW extra AS SELECT id FROM customer",
        "CREATE PROCEDURE extra() SELECT 1",
        "CREATE EVENT extra ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
    ] {
        let database = Database::new();
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let cx = || StageContext::new(run()).with_extras(Extras::Fail);
        let mut staging = prepared(&*driver, &archive, cx()).await.unwrap();
        database.batch(extra);
        let before = database.fingerprint();
        let error = staging.commit().await.unwrap_err();
        assert!(error.to_string().contains("extra"), "{error}");
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        let error = prepared(&*driver, &archive, cx()).await.err().unwrap();
        assert!(error.to_string().contains("extra"), "{error}");
        assert_eq!(database.fingerprint(), before);
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_not_dropped_by_who_may_not_lock_their_tables() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        database.mutate();
        let before = database.fingerprint();
        let user = format!("open_{}", run().replace('-', "_"));
        let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, TRIGGER, REFERENCES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT";
        let more = match version {
            MysqlVersion::Mysql9_7 => "SET_ANY_DEFINER, SYSTEM_USER, ALLOW_NONEXISTENT_DEFINER",
            _ => "SET USER",
        };
        database.server.batch(
            "",
            &format!(
                "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x'; GRANT {rights} ON *.* TO {user}@'127.0.0.1';
                 GRANT {more} ON *.* TO {user}@'127.0.0.1'"
            ),
        );
        let driver = driver(config(&database.url(&user, "x"))).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let error = staging.commit().await.unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("LOCK TABLES")), "{error:?}");
        assert_eq!(database.fingerprint(), before);
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        assert!(database.beside().is_empty());
    }
}
