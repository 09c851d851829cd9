//! What a login may not see is never left out without a word.

use dumprestore_driver::{CutMode, Error, Result};
use dumprestore_mysql::MysqlConfig;
use dumprestore_testkit::{MysqlOptions, MysqlServer, MysqlVersion};

use crate::dump_support::{Dump, config, cut, dump, open, stream};

const TABLES: &str = "CREATE TABLE a (n int); CREATE TABLE b (n int);
    CREATE TRIGGER g BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 1;
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1";

/// A login with those grants, in which `DATABASE` and `PATTERN` stand for names.
fn login(server: &MysqlServer, database: &str, grants: &str) -> MysqlConfig {
    let user = format!("u_{}", database.trim_start_matches('_'));
    let pattern = format!("{}%", &database[..database.len() - 1]);
    let grants = grants.replace("DATABASE", database).replace("PATTERN", &pattern).replace("USER", &user);
    server.batch("", &format!("CREATE USER {user}@'%'; {grants}"));
    config(&server.url(database).replace("root@", &format!("{user}@")))
}

async fn dumped(config: MysqlConfig) -> Result<Dump> {
    let mut source = open(config).await;
    source.pin(&cut(CutMode::Open)).await?;
    let dumped = stream(&mut *source, 2).await;
    source.release().await?;
    dumped
}

fn names(error: &Error, right: &str) -> bool {
    error.hint().is_some_and(|hint| hint.contains(right))
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_of_a_less_exact_grant_do_not_count() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(&database, TABLES);
        let config = login(
            server,
            &database,
            "GRANT ALL ON `PATTERN`.* TO USER@'%';
             GRANT SELECT, SHOW VIEW, LOCK TABLES, EXECUTE ON `DATABASE`.* TO USER@'%'",
        );
        let error = dumped(config.clone()).await.unwrap_err();
        assert!(names(&error, "`TRIGGER`"), "{version:?}: {error:?}");
        let mut without = config;
        without.triggers = false;
        let error = dumped(without).await.unwrap_err();
        assert!(names(&error, "`EVENT`"), "{version:?}: {error:?}");
        server.drop_database(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_were_taken_in_one_database_are_missed_there() {
    let server = MysqlOptions::new(MysqlVersion::Mysql9_7).setting("partial_revokes", "ON").start();
    let database = server.create_database();
    server.batch(&database, TABLES);
    let config = login(
        &server,
        &database,
        "GRANT SELECT, SHOW VIEW, LOCK TABLES, EXECUTE, TRIGGER, EVENT, RELOAD ON *.* TO USER@'%';
         REVOKE EVENT, TRIGGER ON `DATABASE`.* FROM USER@'%'",
    );
    let error = dumped(config).await.unwrap_err();
    assert!(names(&error, "`TRIGGER`"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_sees_some_tables_only_must_name_what_it_dumps() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let database = server.create_database();
    server.batch(&database, TABLES);
    let mut config = login(server, &database, "GRANT SELECT, TRIGGER ON `DATABASE`.a TO USER@'%'");
    (config.routines, config.events) = (false, false);
    let error = dumped(config.clone()).await.unwrap_err();
    assert!(names(&error, "`SELECT`") && names(&error, "`tables`"), "{error:?}");
    config.tables = vec!["*".to_owned()];
    let dump = dump(config).await;
    assert_eq!(dump.names("tables"), ["a"]);
    assert_eq!(dump.contents["held"]["all_tables"], false);
    server.drop_database(&database);
}
