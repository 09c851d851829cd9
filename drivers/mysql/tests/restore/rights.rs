//! Logins that may not do everything.

use dumprestore_driver::{OldState, StageContext};
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
