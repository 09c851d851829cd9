//! Foreign keys of tables elsewhere, which lead to what is swapped.

use dumprestore_driver::{ErrorKind, OldState, Selection, StageContext};
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

/// A login that may do all with a database, and sees no other.
fn unseeing(database: &Database) -> String {
    let user = format!("outside_{}", run().replace('-', "_"));
    let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
    let any_definer = match database.server.version() {
        MysqlVersion::Mysql9_7 => "SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, SYSTEM_USER",
        _ => "SET USER",
    };
    database.server.batch(
        "",
        &format!(
            "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x';
             GRANT ALL ON `{escaped}`.* TO {user}@'127.0.0.1';
             GRANT ALL ON `{escaped}\\_dumprestore\\_%`.* TO {user}@'127.0.0.1';
             GRANT {any_definer} ON *.* TO {user}@'127.0.0.1'"
        ),
    );
    user
}

/// A key that the login does not see keeps what it leads to: it follows the table that was live before.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_from_elsewhere_keeps_is_dropped_once_the_key_is_gone() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let other = Database::of(database.server);
        other.make();
        let user = unseeing(&database);
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.url(&user, "x"))).unwrap();
        let cx = StageContext::new(run()).with_selection(Selection::of(["product"]));
        let mut staging = prepared(&*driver, &archive, cx).await.unwrap();
        other.batch(&format!(
            "CREATE TABLE kid (p varchar(100), CONSTRAINT far FOREIGN KEY (p) REFERENCES {}.product (image))",
            database.quoted()
        ));
        staging.commit().await.unwrap();
        let token = staging.journal();
        drop(staging);
        for _ in 0..2 {
            let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
            let error = again.finish(OldState::Drop).await.unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("foreign key")), "{version:?}: {error:?}");
            assert!(database.beside().iter().any(|name| name.contains("_old_")));
        }
        other.batch("ALTER TABLE kid DROP FOREIGN KEY far");
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        again.finish(OldState::Drop).await.unwrap();
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_led_to_a_table_and_is_gone_since_the_swap_is_in_no_rollback_s_way() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let other = Database::of(database.server);
        other.make();
        let customer = format!("{}.customer", database.quoted());
        other.batch(&format!(
            "CREATE TABLE kid (p int, CONSTRAINT far FOREIGN KEY (p) REFERENCES {customer} (id));
             CREATE TABLE freed (p int, CONSTRAINT off FOREIGN KEY (p) REFERENCES {customer} (id));
             CREATE TABLE stays (p int, CONSTRAINT held FOREIGN KEY (p) REFERENCES {customer} (id))"
        ));
        let archive = Archive::of(config(&database.root_url())).await;
        database.mutate();
        let before = database.fingerprint();
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        other.batch("DROP TABLE kid; ALTER TABLE freed DROP FOREIGN KEY off");
        let outside = other.fingerprint();
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        assert_eq!(other.fingerprint(), outside);
        assert!(other.fingerprint().contains("CONSTRAINT `held`"));
        assert!(database.beside().is_empty());
    }
}

/// Killed before it was finished or undone: whoever undoes it later would put its own old tables in the place of those that
/// another restore has swapped in meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_swapped_over_a_restore_that_was_cut_off() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    database.mutate();
    let before = database.fingerprint();
    let driver = driver(config(&database.root_url())).unwrap();
    let mut cut_off = prepared(&*driver, &archive, StageContext::new("cut-off")).await.unwrap();
    cut_off.commit().await.unwrap();
    let token = cut_off.journal();
    drop(cut_off);
    let swapped = database.fingerprint();
    let mut other = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let error = loop {
        match other.commit().await.unwrap_err() {
            // The server has yet to see that the other one is gone.
            early if format!("{early:?}").contains("under way") => {}
            error => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
    assert!(format!("{error:?}").contains("cut-off"), "{error:?}");
    other.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), swapped);
    let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
    again.rollback().await.unwrap();
    assert_eq!(database.fingerprint(), before);
    // What is kept on purpose is in nobody's way.
    for _ in 0..2 {
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Keep).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_which_nothing_is_left_is_not_taken_for_finished() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let archive = Archive::of(config(&database.root_url())).await;
    let driver = driver(config(&database.root_url())).unwrap();
    let staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    let token = staging.journal();
    drop(staging);
    database.beside().iter().for_each(|name| database.server.drop_database(name));
    let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
    let error = again.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck, "{error:?}");
}
