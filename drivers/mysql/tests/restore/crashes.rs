//! A server that is killed at any moment of a restore, and comes up again.

use std::sync::Arc;
use std::time::Duration;

use dumprestore_driver::{Error, OldState, StageContext};
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

use crate::archive::{Archive, load, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

/// A server of its own, a database with something in it, and an archive of something else.
async fn ground(version: MysqlVersion) -> (&'static MysqlServer, Database, Arc<Archive>, String, String) {
    let server: &'static MysqlServer = Box::leak(Box::new(MysqlServer::start(version)));
    let database = Database::of(server);
    database.seed(Seed::Ordinary);
    // MariaDB forgets partitions in its dictionary if it is killed while it renames them: the next table of that name is
    // refused.
    database.batch("ALTER TABLE log REMOVE PARTITIONING");
    let archive = Archive::of(config(&database.root_url())).await;
    let dumped = database.fingerprint();
    database.seed(Seed::Hostile);
    database.batch("CREATE TRIGGER hurt BEFORE INSERT ON kid FOR EACH ROW SET new.p = new.p");
    let before = database.fingerprint();
    (server, database, archive, dumped, before)
}

/// What MySQL needs if it was killed in the middle of a rename, and says so.
fn start_once_more(server: &MysqlServer, error: &Error) {
    assert!(server.version() == MysqlVersion::Mysql9_7, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("restart the server once more")), "{error:?}");
    tokio::task::block_in_place(|| {
        server.stop();
        server.restart();
    });
}

async fn a_killed_server_is_recovered(version: MysqlVersion) {
    let (server, database, archive, dumped, before) = ground(version).await;
    let driver = driver(config(&database.root_url())).unwrap();
    // How far it comes, and how long after the next step has begun the server is killed.
    for (steps, after) in
        [(0, 3), (1, 0), (1, 10), (2, 5), (3, 0), (3, 10), (3, 25), (3, 45), (3, 70), (4, 0)]
    {
        let run = run();
        let mut staging = driver.stage(archive.clone(), StageContext::new(run.clone())).await.unwrap();
        if steps > 0 {
            staging.begin().await.unwrap();
        }
        if steps > 1 {
            load(&*staging, &archive).await.unwrap();
        }
        if steps > 2 {
            staging.prepare().await.unwrap();
        }
        if steps > 3 {
            staging.commit().await.unwrap();
        }
        let token = staging.journal();
        let next = async {
            match steps {
                0 => staging.begin().await,
                1 => load(&*staging, &archive).await,
                2 => staging.prepare().await,
                3 => staging.commit().await,
                _ => Ok(()),
            }
        };
        let killer = async {
            tokio::time::sleep(Duration::from_millis(after)).await;
            tokio::task::block_in_place(|| server.kill());
        };
        let (_, ()) = tokio::join!(next, killer);
        drop(staging);
        server.restart();
        let mut again = driver.resume(&token, StageContext::new(run.clone())).await.unwrap();
        if let Err(error) = again.rollback().await {
            start_once_more(server, &error);
            again.rollback().await.unwrap();
        }
        again.rollback().await.unwrap();
        assert_eq!(database.fingerprint(), before, "{steps} steps and {after} ms");
        assert!(database.beside().is_empty(), "{steps} steps and {after} ms");
    }
    for after in [0, 15, 40] {
        let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
        let token = staging.journal();
        let killer = async {
            tokio::time::sleep(Duration::from_millis(after)).await;
            tokio::task::block_in_place(|| server.kill());
        };
        let (_, ()) = tokio::join!(staging.commit(), killer);
        drop(staging);
        server.restart();
        let mut again = driver.resume(&token, StageContext::new("again")).await.unwrap();
        if let Err(error) = again.commit().await {
            start_once_more(server, &error);
            again.commit().await.unwrap();
        }
        again.finish(OldState::Drop).await.unwrap();
        assert_eq!(database.fingerprint(), dumped, "{after} ms");
        assert!(database.beside().is_empty());
    }
    drop(database);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mariadb_is_recovered() {
    a_killed_server_is_recovered(MysqlVersion::Mariadb10_11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mysql_is_recovered() {
    a_killed_server_is_recovered(MysqlVersion::Mysql9_7).await;
}
