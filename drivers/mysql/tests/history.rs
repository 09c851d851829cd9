//! Rows of the past, and those that are not, from a server of one version into one of another.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;
mod restore_support;

#[path = "restore_support/archive.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses its share")]
mod archive;

use archive::{Archive, prepared, run};
use dump_support::{config, driver};
use dumprestore_driver::StageContext;
use dumprestore_testkit::{MysqlOptions, MysqlServer, MysqlVersion};
use restore_support::Database;

const TABLES: &str = "
    CREATE TABLE v (a int PRIMARY KEY, b int) WITH SYSTEM VERSIONING;
    INSERT INTO v VALUES (1, 1), (2, 2);
    UPDATE v SET b = 3 WHERE a = 1;
    CREATE TABLE named (a int, s timestamp(6) GENERATED ALWAYS AS ROW START, `e, x` timestamp(6) GENERATED ALWAYS AS ROW END,
        z varchar(30), PERIOD FOR SYSTEM_TIME (s, `e, x`)) WITH SYSTEM VERSIONING;
    INSERT INTO named (a, z) VALUES (1, '2106-02-07 06:28:15.999999');
    DELETE FROM named;
    INSERT INTO named (a) VALUES (2);";

/// What servers of all versions tell alike.
const TOLD: [&str; 4] = [
    "SELECT a, b FROM v ORDER BY a",
    "SELECT a, b FROM v FOR SYSTEM_TIME ALL ORDER BY a, b",
    "SELECT a, z FROM named",
    "SELECT a, z, s, IF(`e, x` > '2038-01-01', 'never', `e, x`) FROM named FOR SYSTEM_TIME ALL ORDER BY a",
];

async fn survives(from: &'static MysqlServer, to: &'static MysqlServer) {
    let origin = Database::of(from);
    origin.make();
    origin.batch(TABLES);
    let archive = Archive::of(config(&origin.root_url())).await;
    let target = Database::of(to);
    target.make();
    let driver = driver(config(&target.root_url())).unwrap();
    let mut staging = prepared(&*driver, &archive, StageContext::new(run())).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(dumprestore_driver::OldState::Drop).await.unwrap();
    for sql in TOLD {
        assert_eq!(
            to.rows(&target.name, sql),
            from.rows(&origin.name, sql),
            "{:?} to {:?}: {sql}",
            from.version(),
            to.version()
        );
    }
    origin.drop();
    target.drop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_for_ever_does_so_on_a_server_of_another_version() {
    let older = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let newer = MysqlServer::shared(MysqlVersion::Mariadb11_8);
    for (from, to) in [(older, newer), (newer, older), (older, older)] {
        survives(from, to).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_so_where_rows_have_to_be_inserted() {
    let older = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let options = MysqlOptions::new(MysqlVersion::Mariadb11_8).setting("local_infile", "OFF");
    let newer: &'static MysqlServer = Box::leak(Box::new(options.start()));
    survives(older, newer).await;
}
