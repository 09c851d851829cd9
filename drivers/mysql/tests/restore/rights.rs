//! Logins that may not do everything.

use dumprestore_driver::{ErrorKind, OldState, StageContext};
use dumprestore_mysql::Definers;
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_told_what_to_be_granted_and_that_is_enough() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        database.mutate();
        let user = format!("limited_{}", run().replace('-', "_"));
        let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
        database.server.batch(
            "",
            &format!("CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON `{escaped}`.* TO {user}@'127.0.0.1'"),
        );
        let limited = |definers| {
            let mut config = config(&database.url(&user, "x"));
            config.definers = definers;
            driver(config).unwrap()
        };
        let cx = || StageContext::new(run());
        let error = limited(Definers::Keep).changes(archive.clone(), &cx()).await.unwrap_err();
        let hint = error.hint().unwrap().to_owned();
        assert!(!hint.contains("named there"), "{error:?}");
        assert!(hint.contains("definers: strip") && hint.contains("GRANT ALL PRIVILEGES ON"), "{hint}");
        let grant = hint.split('`').next().unwrap_or_default().to_owned()
            + hint.split_once("GRANT ALL").map(|(_, rest)| rest).unwrap_or_default();
        let scope = grant.split_once(" ON ").unwrap().1.split_once(" TO").unwrap().0.to_owned();
        database.server.batch("", &format!("GRANT ALL ON {scope} TO {user}@'127.0.0.1'"));
        let strip = limited(Definers::Strip);
        // It could not put back what runs as root.
        let error = strip.changes(archive.clone(), &cx()).await.unwrap_err();
        assert!(error.to_string().contains("put back"), "{error}");
        database.seed(Seed::Empty);
        database.batch("CREATE TABLE old (id int PRIMARY KEY)");
        let before = database.fingerprint();
        strip.changes(archive.clone(), &cx()).await.unwrap();
        let mut staging = prepared(&*strip, &archive, cx()).await.unwrap();
        staging.commit().await.unwrap();
        staging.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before);
        let mut staging = prepared(&*strip, &archive, cx()).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(OldState::Drop).await.unwrap();
        let definers = "SELECT GROUP_CONCAT(DISTINCT definer) FROM information_schema.triggers WHERE trigger_schema = DATABASE()";
        assert_eq!(database.value(definers), format!("{user}@127.0.0.1"));
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_that_the_login_is_not_shown_stop_a_restore_or_are_told_of() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let database = Database::of(MysqlServer::shared(version));
        database.make();
        database.batch("CREATE TABLE `par-ent` (id int PRIMARY KEY)");
        let archive = Archive::of(config(&database.root_url())).await;
        let user = format!("unseeing_{}", run().replace('-', "_"));
        let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
        database.server.batch(
            "",
            &format!(
                "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON `{escaped}`.* TO {user}@'127.0.0.1';
                 GRANT ALL ON `{escaped}\\_dumprestore\\_%`.* TO {user}@'127.0.0.1'"
            ),
        );
        let driver = driver(config(&database.url(&user, "x"))).unwrap();
        let cx = || StageContext::new(run());
        let plan = driver.changes(archive.clone(), &cx()).await.unwrap();
        assert!(plan.notes.iter().any(|note| note.contains("is not shown foreign keys")), "{plan:?}");
        database.server.batch("", &format!("GRANT PROCESS ON *.* TO {user}@'127.0.0.1'"));
        let plan = driver.changes(archive.clone(), &cx()).await.unwrap();
        assert!(!plan.notes.iter().any(|note| note.contains("foreign keys")), "{plan:?}");
        let other = Database::of(database.server);
        other.make();
        other.batch(&format!(
            "CREATE TABLE kid (p int, CONSTRAINT far FOREIGN KEY (p) REFERENCES {}.`par-ent` (id))",
            database.quoted()
        ));
        let before = (database.fingerprint(), other.fingerprint());
        let refused = driver.changes(archive.clone(), &cx()).await.unwrap_err();
        assert!(format!("{refused:?}").contains("may not see"), "{refused:?}");
        assert!(prepared(&*driver, &archive, cx()).await.is_err());
        assert_eq!((database.fingerprint(), other.fingerprint()), before);
        assert!(database.beside().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_on_a_routine_that_can_not_be_read_are_told_of_and_others_stay() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    // MySQL itself notes a right under another name where the database's has other letters.
    let database = Database { server, name: run().replace('-', "_") };
    database.make();
    database.batch("CREATE TABLE t (id int PRIMARY KEY)");
    database.batch("CREATE PROCEDURE MyProc() SELECT 1");
    let archive = Archive::of(config(&database.root_url())).await;
    let (user, caller) =
        (format!("few_{}", run().replace('-', "_")), format!("caller_{}", run().replace('-', "_")));
    let escaped = database.name.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
    database.server.batch(
        "",
        &format!(
            "CREATE USER {caller}; GRANT EXECUTE ON PROCEDURE {}.MyProc TO {caller};
             CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON `{escaped}`.* TO {user}@'127.0.0.1';
             GRANT SET_ANY_DEFINER, SYSTEM_USER, SHOW_ROUTINE, ALLOW_NONEXISTENT_DEFINER ON *.* TO {user}@'127.0.0.1';
             GRANT ALL ON `{escaped}\\_dumprestore\\_%`.* TO {user}@'127.0.0.1'",
            database.quoted()
        ),
    );
    let told = |staging: &dyn dumprestore_driver::Staging| {
        staging.ledger().iter().any(|entry| entry.degrades && entry.what.contains("`MyProc`"))
    };
    let few = driver(config(&database.url(&user, "x"))).unwrap();
    let mut staging = prepared(&*few, &archive, StageContext::new(run())).await.unwrap();
    assert!(!told(&*staging), "it is not replaced: {:?}", staging.ledger());
    staging.rollback().await.unwrap();
    database.batch("DROP PROCEDURE MyProc");
    database.batch("CREATE PROCEDURE MyProc() SELECT 2");
    database
        .server
        .batch("", &format!("GRANT EXECUTE ON PROCEDURE {}.MyProc TO {caller}", database.quoted()));
    let mut staging = prepared(&*few, &archive, StageContext::new(run())).await.unwrap();
    let token = staging.journal();
    staging.commit().await.unwrap();
    assert!(told(&*staging), "{:?}", staging.ledger());
    let error = staging.rollback().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Stuck && format!("{error:?}").contains("`MyProc`"), "{error:?}");
    drop(staging);
    few.resume(&token, StageContext::new("again")).await.unwrap().rollback().await.unwrap();
    assert!(database.beside().is_empty());
    database
        .server
        .batch("", &format!("GRANT EXECUTE ON PROCEDURE {}.MyProc TO {caller}", database.quoted()));
    let root = driver(config(&database.root_url())).unwrap();
    let mut staging = prepared(&*root, &archive, StageContext::new(run())).await.unwrap();
    assert!(!told(&*staging), "{:?}", staging.ledger());
    let granted = || {
        database.server.rows("", &format!("SELECT CONCAT_WS('|', db, routine_name, proc_priv) FROM mysql.procs_priv WHERE user = '{caller}'"))
    };
    let before = granted();
    staging.commit().await.unwrap();
    assert_eq!(granted(), before, "{:?}", staging.ledger());
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(granted(), before);
}
