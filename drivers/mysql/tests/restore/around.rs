//! What is not swapped, and what is swapped in part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dumprestore_driver::{Extras, OldState, Selection, StageContext};
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::{Database, quoted};

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_from_outside_lead_to_the_live_tables_before_and_after() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let other = Database::new();
    other.make();
    let parent = format!("{}.customer", database.quoted());
    other.batch(&format!(
        "CREATE TABLE kid (id int PRIMARY KEY, p int, CONSTRAINT far FOREIGN KEY (p) REFERENCES {parent} (id) ON DELETE CASCADE);
         INSERT INTO kid VALUES (1, 1), (2, 100)"
    ));
    let shown = other.fingerprint();
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    for selection in [Selection::default(), Selection::of(["customer"]), Selection::of(["product", "log"])] {
        let before = database.fingerprint();
        let cx = || StageContext::new(run()).with_selection(selection.clone());
        let mut staging = prepared(&*driver, &archive, cx()).await.unwrap();
        assert_eq!(other.fingerprint(), shown);
        staging.commit().await.unwrap();
        assert_eq!(other.fingerprint(), shown, "{selection:?}");
        assert_eq!(database.fingerprint(), before, "{selection:?}");
        assert!(other.server.try_batch(&other.name, "INSERT INTO kid VALUES (9, 9999)").is_err());
        other.batch("INSERT INTO kid VALUES (3, 50); DELETE FROM kid WHERE id = 3");
        staging.rollback().await.unwrap();
        assert_eq!(other.fingerprint(), shown);
        assert_eq!(database.fingerprint(), before);
        let mut staging = prepared(&*driver, &archive, cx()).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(other.fingerprint(), shown);
        assert_eq!(database.fingerprint(), before);
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_lead_to_does_not_go() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    let other = Database::new();
    other.make();
    database.batch("CREATE TABLE extra (id int PRIMARY KEY)");
    other.batch(&format!(
        "CREATE TABLE kid (p int, CONSTRAINT far FOREIGN KEY (p) REFERENCES {}.extra (id))",
        database.quoted()
    ));
    let before = (database.fingerprint(), other.fingerprint());
    let driver = driver(config(&database.root_url())).unwrap();
    let refused = driver.changes(archive.clone(), &StageContext::new(run())).await.unwrap_err();
    assert!(refused.to_string().contains("extra"), "{refused}");
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap_err();
    staging.rollback().await.unwrap();
    assert_eq!((database.fingerprint(), other.fingerprint()), before);
    let keep = StageContext::new(run()).with_extras(Extras::Keep);
    let mut staging = prepared(&*driver, &archive, keep).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!((database.fingerprint(), other.fingerprint()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_our_name_and_is_not_ours_is_left_alone() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let run = run();
    let mut staging = driver.stage(archive.clone(), StageContext::new(run.clone())).await.unwrap();
    staging.begin().await.unwrap();
    let ours = database.beside().into_iter().next().unwrap();
    staging.rollback().await.unwrap();
    database
        .server
        .batch("", &format!("CREATE DATABASE {0}; CREATE TABLE {0}.precious (a int)", quoted(&ours)));
    let mut staging = driver.stage(archive.clone(), StageContext::new(run.clone())).await.unwrap();
    staging.begin().await.unwrap_err();
    staging.rollback().await.unwrap_err();
    assert!(driver.changes(archive, &StageContext::new(run)).await.is_err());
    assert_eq!(database.server.value(&ours, "SELECT COUNT(*) FROM precious"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_waits_for_a_transaction_and_gives_up_without_a_trace() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    database.mutate();
    let before = database.fingerprint();
    let mut impatient = config(&database.root_url());
    impatient.lock_timeout = 3;
    let impatient = driver(impatient).unwrap();
    let mut staging = prepared(&*impatient, &archive, StageContext::new(run())).await.unwrap();
    let (server, name) = (database.server, database.name.clone());
    let held = "START TRANSACTION; DO (SELECT COUNT(*) FROM customer); DO SLEEP(9); COMMIT";
    let holder = std::thread::spawn(move || server.batch(&name, held));
    while database
        .server
        .value("", "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP(9)%'")
        == "0"
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let error = staging.commit().await.unwrap_err();
    assert!(error.hint().unwrap().contains("lock_timeout"), "{error:?}");
    // Triggers are where they were.
    assert_eq!(database.fingerprint(), before);
    holder.join().unwrap();
    staging.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), before);
    assert!(database.beside().is_empty());
}

/// Rows that four writers add all the time, each of which a trigger notes in `log`.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_written_without_its_trigger() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mariadb11_8, MysqlVersion::Mysql9_7] {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (server, name, over) = (database.server, database.name.clone(), over.clone());
                std::thread::spawn(move || {
                    let mut written = 0;
                    while !over.load(Ordering::Relaxed) {
                        server.batch(&name, &format!("INSERT INTO customer (name) VALUES ('w{writer}')"));
                        written += 1;
                    }
                    written
                })
            })
            .collect();
        for _ in 0..4 {
            let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
            staging.commit().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            staging.finish(OldState::Drop).await.unwrap();
            let counts = "SELECT COUNT(*), (SELECT COUNT(*) FROM log WHERE what LIKE 'w_') FROM customer WHERE name LIKE 'w_'";
            let counts = database.server.rows(&database.name, counts);
            assert_eq!(counts[0][0], counts[0][1]);
        }
        over.store(true, Ordering::Relaxed);
        let written: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert!(written > 20, "{written}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_made_in_a_database_that_is_as_it_was() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch(
            "ALTER DATABASE COLLATE utf8mb4_unicode_ci;
             CREATE TABLE t (a int PRIMARY KEY); CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET new.a = 1",
        );
        let collations = || {
            let asked = "SELECT DATABASE_COLLATION FROM information_schema.triggers WHERE trigger_schema = DATABASE() \
                 UNION ALL SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()";
            database.server.rows(&database.name, asked)
        };
        let before = collations();
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch("ALTER DATABASE COLLATE utf8mb4_bin");
        let spoilt = collations();
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        assert_eq!(collations(), before, "{version:?}");
        staging.rollback().await.unwrap();
        assert_eq!(collations().last(), spoilt.last(), "{version:?}");
    }
}
