//! The way back: nothing is lost on it without a word.

use dumprestore_driver::{ErrorKind, Extras, OldState, Selection, StageContext};
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

const BOTH: [MysqlVersion; 2] = [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7];

/// A login that may do all in a database and beside it, and name definers.
fn limited(database: &Database) -> String {
    let user = format!("limited_{}", run().replace('-', "_"));
    let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
    let more = match database.server.version() {
        MysqlVersion::Mysql9_7 => "SET_ANY_DEFINER, SYSTEM_USER, ALLOW_NONEXISTENT_DEFINER, PROCESS",
        _ => "SET USER, PROCESS",
    };
    database.server.batch(
        "",
        &format!(
            "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON `{escaped}`.* TO {user}@'127.0.0.1';
             GRANT ALL ON `{escaped}\\_dumprestore\\_%`.* TO {user}@'127.0.0.1'; GRANT {more} ON *.* TO {user}@'127.0.0.1'"
        ),
    );
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_could_not_be_made_again_is_not_dropped_for_a_restore() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE t (id int PRIMARY KEY)");
        let other = Database::of(database.server);
        other.make();
        other.batch("CREATE TABLE x (id int PRIMARY KEY)");
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch(&format!("CREATE VIEW ext AS SELECT id FROM {}.x", other.quoted()));
        let before = database.fingerprint();
        let driver = driver(config(&database.url(&limited(&database), "x"))).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let error = staging.commit().await.unwrap_err();
        assert!(format!("{error:?}").contains("ext"), "{error:?}");
        assert!(error.hint().is_some(), "{error:?}");
        assert_eq!(database.fingerprint(), before);
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before, "{version:?}");
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_can_not_make_a_view_again_says_so_and_keeps_it() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE t (id int PRIMARY KEY)");
        let other = Database::of(database.server);
        other.make();
        other.batch("CREATE TABLE x (id int PRIMARY KEY)");
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch(&format!(
            "CREATE VIEW ext AS SELECT id FROM {}.x; INSERT INTO t VALUES (7)",
            other.quoted()
        ));
        let before = database.fingerprint();
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let token = staging.journal();
        staging.commit().await.unwrap();
        other.batch("DROP TABLE x");
        let error = staging.rollback().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
        assert!(format!("{error:?}").contains("view ext"), "{error:?}");
        // All else is back.
        assert_eq!(database.value("SELECT id FROM t"), "7");
        assert!(database.beside().iter().any(|name| name.contains("_old_")));
        drop(staging);
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        assert_eq!(again.rollback().await.unwrap_err().kind(), ErrorKind::Stuck);
        other.batch("CREATE TABLE x (id int PRIMARY KEY)");
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        again.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before, "{version:?}");
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_did_not_work_is_as_it_was_after_a_rollback_or_is_told_of() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE t (id int); CREATE VIEW same AS SELECT id FROM t; CREATE VIEW other AS SELECT id FROM t");
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch("CREATE OR REPLACE VIEW other AS SELECT id AS b FROM t; DROP TABLE t");
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let token = staging.journal();
        staging.commit().await.unwrap();
        assert_eq!(database.value("SELECT COUNT(same.id) + COUNT(other.id) FROM same JOIN other"), "0");
        let Err(error) = staging.rollback().await else {
            panic!("{version:?}: {}", database.fingerprint());
        };
        let told = format!("{error:?}");
        assert!(told.contains("view other") && !told.contains("view same"), "{told}");
        assert!(told.contains("AS `b`"), "its text is told: {told}");
        drop(staging);
        // There is nothing more to be done about it.
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        again.rollback().await.unwrap();
        assert_eq!(database.tables(|_| true), ["other", "same"], "{version:?}");
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_has_its_own_collation_again_after_a_swap_was_given_up() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        let copy = Database::of(database.server);
        copy.make();
        copy.batch("ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_bin; CREATE TABLE customer (id int)");
        let before = copy.fingerprint();
        let mut impatient = config(&copy.root_url());
        impatient.lock_timeout = 3;
        let impatient = driver(impatient).unwrap();
        let mut staging = prepared(&*impatient, &archive, StageContext::new(run())).await.unwrap();
        let (server, name) = (copy.server, copy.name.clone());
        let held = "START TRANSACTION; DO (SELECT COUNT(*) FROM customer); DO SLEEP(12); COMMIT";
        let holder = std::thread::spawn(move || server.batch(&name, held));
        let sleeps = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP(12)%'";
        while copy.server.value("", sleeps) == "0" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        staging.commit().await.unwrap_err();
        // Once more, as `recover` may do.
        staging.commit().await.unwrap_err();
        holder.join().unwrap();
        staging.rollback().await.unwrap();
        assert_eq!(copy.fingerprint(), before, "{version:?}");
        assert!(copy.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_emptied_by_the_swap_may_be_dropped_by_hand() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        database.mutate();
        let before = database.fingerprint();
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let token = staging.journal();
        staging.commit().await.unwrap();
        drop(staging);
        let staged = database.beside().into_iter().find(|name| name.contains("_new_")).unwrap();
        database.server.drop_database(&staged);
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        again.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before, "{version:?}");
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_that_are_right_already_are_not_made_a_second_time() {
    let database = Database::new();
    database.make();
    database.batch(
        "CREATE TABLE t (id int PRIMARY KEY, note int DEFAULT 0);
         CREATE TRIGGER IF NOT EXISTS noted BEFORE INSERT ON t FOR EACH ROW SET new.note = 1",
    );
    let named = format!(
        "CREATE TRIGGER IF NOT EXISTS {0}.more AFTER INSERT ON {0}.t FOR EACH ROW SET @x = 1",
        database.quoted()
    );
    database.batch(&named);
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let log =
        || database.server.value("", "SELECT GROUP_CONCAT(argument SEPARATOR '\n') FROM mysql.general_log");
    database.server.batch("", "SET GLOBAL group_concat_max_len = 100000000");
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    database.server.batch(
        "",
        "TRUNCATE mysql.general_log; SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON",
    );
    staging.rollback().await.unwrap();
    database.server.batch("", "SET GLOBAL general_log = OFF; SET GLOBAL log_output = 'FILE'");
    let live = format!("DROP TRIGGER IF EXISTS {}.`noted`", database.quoted());
    let said = log();
    assert_eq!(said.matches(&live).count(), 1, "{said}");
}

/// A commit that has dropped triggers, and was cut off before the swap.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_somebody_has_changed_since_a_swap_was_given_up_is_left_alone() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    database.batch("CREATE TRIGGER also AFTER INSERT ON customer FOR EACH ROW SET @also = 1");
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let token = staging.journal();
    let (server, name) = (database.server, database.name.clone());
    let held = "START TRANSACTION; DO (SELECT COUNT(*) FROM spread); DO SLEEP(8); COMMIT";
    let holder = std::thread::spawn(move || server.batch(&name, held));
    let sleeps = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP(8)%'";
    while database.server.value("", sleeps) == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let given_up = tokio::time::timeout(std::time::Duration::from_secs(3), staging.commit()).await;
    assert!(given_up.is_err(), "{given_up:?}");
    drop(staging);
    holder.join().unwrap();
    database.batch(
        "DROP TRIGGER IF EXISTS logged; DROP TRIGGER IF EXISTS also;
         CREATE TRIGGER logged AFTER INSERT ON customer FOR EACH ROW SET @mended = 1",
    );
    let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
    again.rollback().await.unwrap();
    let triggers = "SELECT GROUP_CONCAT(CONCAT(trigger_name, ' ', action_statement) ORDER BY 1 SEPARATOR '|') \
        FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = 'customer'";
    assert_eq!(database.value(triggers), "also SET @also = 1|logged SET @mended = 1");
    assert!(database.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_in_part_has_added_goes_with_the_way_back_to_before() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database
            .batch("CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE VIEW vb AS SELECT id FROM b");
        database.batch("CREATE PROCEDURE p() SELECT 1");
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch("DROP TABLE b; DROP VIEW vb; DROP PROCEDURE p; CREATE TABLE stays (id int)");
        let before = database.fingerprint();
        let driver = driver(config(&database.root_url())).unwrap();
        let parts = Selection::of(["b", "vb"]);
        for cx in [
            StageContext::new(run()).with_selection(parts),
            StageContext::new(run()).with_extras(Extras::Keep),
        ] {
            let mut staging = prepared(&*driver, &archive, cx).await.unwrap();
            staging.commit().await.unwrap();
            assert!(database.tables(|_| true).contains(&"vb".to_owned()));
            let kept = staging.finish(OldState::Keep).await.unwrap().unwrap();
            let during = database.fingerprint();
            let mut back = driver.stage_previous(&kept, StageContext::new(run())).await.unwrap();
            back.begin().await.unwrap();
            back.prepare().await.unwrap();
            back.commit().await.unwrap();
            assert_eq!(database.fingerprint(), before, "{version:?}");
            back.rollback().await.unwrap();
            assert_eq!(database.fingerprint(), during, "{version:?}");
            let mut back = driver.stage_previous(&kept, StageContext::new(run())).await.unwrap();
            back.begin().await.unwrap();
            back.prepare().await.unwrap();
            back.commit().await.unwrap();
            back.finish(OldState::Drop).await.unwrap();
            assert_eq!(database.fingerprint(), before, "{version:?}");
            assert!(database.beside().is_empty());
        }
    }
}
