//! Views that read more than their own database, or are more than views.

use dumprestore_driver::{OldState, StageContext};
use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};

/// Dumps one database, and restores it into another. Gives that one's name.
async fn copied(server: &MysqlServer, database: &str) -> String {
    let archive = Archive::of(config(&server.url(database))).await;
    let copy = server.create_database();
    let driver = driver(config(&server.url(&copy))).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn views_read_the_database_that_they_are_restored_into_and_not_the_one_that_was_dumped() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let (database, other) = (server.create_database(), server.create_database());
        server.batch(&other, "CREATE TABLE c (id int); INSERT INTO c VALUES (1)");
        server.batch(
            &database,
            &format!(
                "CREATE TABLE t (id int); INSERT INTO t VALUES (1);
                 CREATE VIEW mix AS SELECT t.id FROM t JOIN {other}.c ON c.id = t.id;
                 CREATE VIEW of_mix AS SELECT id FROM mix"
            ),
        );
        let copy = copied(server, &database).await;
        assert_eq!(server.value(&copy, "SELECT COUNT(*) FROM of_mix"), "1");
        server.batch(&copy, "DELETE FROM t");
        for view in ["mix", "of_mix"] {
            let left = server.value(&copy, &format!("SELECT COUNT(*) FROM {view}"));
            assert_eq!(left, "0", "{version:?}: {view} reads the database that was dumped");
        }
        for database in [&database, &other, &copy] {
            server.drop_database(database);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duality_views_of_mysql_are_there_again_and_a_second_time() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE t (id int PRIMARY KEY, name varchar(20)); INSERT INTO t VALUES (1, 'a');
         CREATE JSON RELATIONAL DUALITY VIEW d AS
             SELECT JSON_DUALITY_OBJECT(WITH (INSERT, UPDATE) '_id': id, 'name': name) FROM t",
    );
    let copy = copied(server, &database).await;
    let insert = "INSERT INTO d VALUES (JSON_OBJECT('_id', 2, 'name', 'b'))";
    server.batch(&copy, insert);
    assert_eq!(server.value(&copy, "SELECT GROUP_CONCAT(name ORDER BY id) FROM t"), "a,b");
    // Over one that is there, but is another.
    server.batch(
        &copy,
        "DROP VIEW d; CREATE JSON RELATIONAL DUALITY VIEW d AS SELECT JSON_DUALITY_OBJECT('_id': id) FROM t",
    );
    let archive = Archive::of(config(&server.url(&database))).await;
    let driver = driver(config(&server.url(&copy))).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    server.batch(&copy, insert);
    staging.rollback().await.unwrap();
    assert_eq!(server.value(&copy, "SELECT COUNT(*) FROM d"), "2");
    assert!(server.try_batch(&copy, insert).is_err(), "the view is not the one that was there before");
    for database in [&database, &copy] {
        server.drop_database(database);
    }
}
