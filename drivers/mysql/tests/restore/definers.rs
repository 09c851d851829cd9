//! Views of definers who may do nothing but in the live database, and logins that may do less than a definer.

use dumprestore_driver::{OldState, StageContext, Staging};
use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::{Database, quoted};

const BOTH: [MysqlVersion; 2] = [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7];

/// A database with views of somebody who has rights there alone.
fn of_app(version: MysqlVersion) -> (Database, String) {
    let database = Database::of(MysqlServer::shared(version));
    database.make();
    let app = format!("app_{}", run().replace('-', "_"));
    let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
    database.server.batch("", &format!("CREATE USER {app}; GRANT ALL ON `{escaped}`.* TO {app}"));
    database.batch("CREATE TABLE t (id int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 2), (3, 4)");
    database
        .batch(&format!("CREATE DEFINER={app} FUNCTION plus(a int) RETURNS int DETERMINISTIC RETURN a + 1"));
    database.batch(&format!(
        "CREATE DEFINER={app} VIEW by_app AS SELECT id, plus(b) AS c FROM t;
         CREATE VIEW over_app AS SELECT id, c FROM by_app;
         CREATE DEFINER={app} VIEW around_app AS SELECT c FROM over_app;
         CREATE DEFINER={app} SQL SECURITY INVOKER VIEW by_invoker AS SELECT c FROM around_app"
    ));
    (database, app)
}

fn working(database: &Database) -> String {
    database.value("SELECT GROUP_CONCAT(c ORDER BY c) FROM by_invoker")
}

async fn restored(staging: &mut Box<dyn Staging>) {
    staging.commit().await.unwrap();
    let degrading: Vec<_> = staging.ledger().into_iter().filter(|entry| entry.degrades).collect();
    assert!(degrading.is_empty(), "{degrading:?}");
    staging.finish(OldState::Drop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn views_work_after_a_restore_whatever_their_definers_may_do_beside_the_database() {
    for version in BOTH {
        let (database, _) = of_app(version);
        let before = database.fingerprint();
        let archive = Archive::of(config(&database.root_url())).await;
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        restored(&mut staging).await;
        assert_eq!(database.fingerprint(), before, "{version:?}");
        database.batch(
            "DROP VIEW by_app, over_app, around_app, by_invoker; CREATE VIEW extra AS SELECT id FROM t",
        );
        let without = database.fingerprint();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        assert_eq!(working(&database), "3,5");
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), without, "{version:?}");
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        restored(&mut staging).await;
        assert_eq!(database.fingerprint(), before, "{version:?}");
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_of_definers_who_may_do_nothing_there_are_made_in_another_database() {
    for version in BOTH {
        let (database, app) = of_app(version);
        let with_function = Archive::of(config(&database.root_url())).await;
        database
            .batch(&format!("CREATE OR REPLACE DEFINER={app} VIEW by_app AS SELECT id, b + 1 AS c FROM t"));
        let archive = Archive::of(config(&database.root_url())).await;
        let copy = Database::of(database.server);
        copy.make();
        let driver = driver(config(&copy.root_url())).unwrap();
        // No server makes a view whose definer may not call a function that it calls.
        let mut staging = prepared(&*driver, &with_function, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        assert!(staging.ledger().iter().any(|entry| entry.degrades && entry.what == "view by_app"));
        staging.rollback().await.unwrap();
        assert!(copy.tables(|_| true).is_empty());
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        restored(&mut staging).await;
        copy.server.batch("", &format!("GRANT ALL ON {}.* TO {app}", quoted(&copy.name)));
        assert_eq!(working(&copy), "3,5", "{version:?}");
        let texts = |database: &Database| {
            let views = "SELECT table_name, security_type, definer FROM information_schema.views WHERE table_schema = DATABASE() ORDER BY 1";
            database.server.rows(&database.name, views)
        };
        assert_eq!(texts(&copy), texts(&database), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_are_migrated_before_the_swap_go_live_as_they_were_migrated() {
    for version in BOTH {
        let (database, app) = of_app(version);
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch(
            "CREATE TABLE late (id int); CREATE OR REPLACE VIEW over_app AS SELECT id, id AS c FROM late",
        );
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let staged = database.beside().into_iter().find(|name| name.contains("_new_")).unwrap();
        database.server.batch(
            &staged,
            &format!(
                "DROP VIEW by_invoker; RENAME TABLE around_app TO renamed;
                 CREATE OR REPLACE DEFINER={app} VIEW by_app AS SELECT id, plus(b) + 10 AS c FROM t;
                 CREATE TABLE short (id int); CREATE VIEW over_app_2 AS SELECT id FROM short; DROP TABLE short"
            ),
        );
        staging.commit().await.unwrap();
        let left_out = |what: &str| staging.ledger().iter().any(|entry| entry.degrades && entry.what == what);
        assert!(left_out("view over_app_2"), "{:?}", staging.ledger());
        assert!(!left_out("view by_app") && !left_out("view renamed"), "{:?}", staging.ledger());
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(database.value("SELECT GROUP_CONCAT(c ORDER BY c) FROM renamed"), "13,15");
        let definers = "SELECT CONCAT(table_name, ' ', security_type, ' ', SUBSTRING_INDEX(definer, '@', 1)) \
            FROM information_schema.views WHERE table_schema = DATABASE() ORDER BY 1";
        let definers: Vec<String> =
            database.server.rows(&database.name, definers).into_iter().flatten().flatten().collect();
        let expected = [
            format!("by_app DEFINER {app}"),
            "over_app DEFINER root".to_owned(),
            format!("renamed DEFINER {app}"),
        ];
        assert_eq!(definers, expected, "{version:?}");
        assert_eq!(database.tables(|_| true), ["by_app", "over_app", "renamed", "t"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_view_stays_as_it_was_where_that_of_the_archive_can_not_be_made() {
    for version in BOTH {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE t (id int); CREATE TABLE u (id int); CREATE VIEW v AS SELECT id FROM u; DROP TABLE u");
        let archive = Archive::of(config(&database.root_url())).await;
        database.batch("CREATE OR REPLACE VIEW v AS SELECT id AS mended FROM t");
        let driver = driver(config(&database.root_url())).unwrap();
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        staging.commit().await.unwrap();
        assert!(staging.ledger().iter().any(|entry| entry.degrades && entry.what == "view v"));
        staging.finish(OldState::Drop).await.unwrap();
        assert_eq!(database.value("SELECT COUNT(mended) FROM v"), "0", "{version:?}");
    }
}
