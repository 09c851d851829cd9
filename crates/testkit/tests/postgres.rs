//! The throw-away PostgreSQL servers themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use dumprestore_testkit::{PostgresOptions, PostgresServer, PostgresVersion, Process, soon};

#[test]
fn all_versions_run_beside_each_other() {
    std::thread::scope(|scope| {
        for version in PostgresVersion::ALL {
            scope.spawn(move || {
                let server = PostgresServer::start(version);
                let major =
                    server.value("postgres", "SELECT current_setting('server_version_num')::int / 10000");
                assert_eq!(major, version.major().to_string());
            });
        }
    });
}

#[test]
fn a_server_keeps_what_was_committed_when_it_is_killed_and_started_again() {
    let server = PostgresServer::start(PostgresVersion::V15);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t AS SELECT 7 AS n");
    server.kill();
    assert!(server.try_batch(&database, "SELECT 1").is_err());
    server.restart();
    assert_eq!(server.value(&database, "SELECT n FROM t"), "7");
    server.stop();
    server.restart();
    assert_eq!(server.rows(&database, "SELECT n, NULL FROM t"), [[Some("7".to_owned()), None]]);
}

#[test]
fn a_standby_follows_and_only_reads() {
    let server = PostgresServer::start(PostgresVersion::V15);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t AS SELECT 7 AS n");
    let standby = server.standby();
    server.batch(&database, "UPDATE t SET n = 8");
    soon("the update at the standby", || standby.value(&database, "SELECT n FROM t") == "8");
    assert!(standby.try_batch(&database, "CREATE TABLE u ()").unwrap_err().contains("read-only"));
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = PostgresOptions::new(PostgresVersion::V15).tls().start();
    let folder = server.folder().to_owned();
    assert!(folder.join("ca.crt").exists());
    drop(server);
    assert!(!folder.exists());
}

const HOLD: &str = "DUMPRESTORE_TEST_HOLD_A_SERVER";

#[test]
fn a_server_goes_with_a_test_that_is_killed() {
    if std::env::var_os(HOLD).is_some() {
        let server = PostgresServer::shared(PostgresVersion::V15);
        let pid = std::fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
        println!("\nholding {} {}.", pid.lines().next().unwrap(), server.folder().display());
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
    let mut holder = Process::start(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_server_goes_with_a_test_that_is_killed", "--nocapture"])
            .env(HOLD, "1"),
    );
    holder.wait_for("holding ");
    let said = holder.said();
    let line = said.iter().find(|line| line.starts_with("holding ")).unwrap();
    let (pid, folder) = line["holding ".len()..].trim_end_matches('.').split_once(' ').unwrap();
    let (pid, folder) = (Path::new("/proc").join(pid), Path::new(folder));
    assert!(pid.exists() && folder.exists());
    holder.kill();
    soon("the end of the server", || !pid.exists());
    soon("the end of its folder", || !folder.exists());
}
