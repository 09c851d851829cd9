//! The throw-away MariaDB and MySQL servers themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use dumprestore_testkit::{MysqlFamily, MysqlOptions, MysqlServer, MysqlVersion, Process, soon};

#[test]
fn all_versions_run_beside_each_other() {
    std::thread::scope(|scope| {
        for version in MysqlVersion::ALL {
            scope.spawn(move || {
                let server = MysqlServer::start(version);
                let said = server.value("", "SELECT version()");
                let (major, minor) = version.number();
                assert!(said.starts_with(&format!("{major}.{minor}.")), "{said}");
                assert_eq!(said.contains("MariaDB"), version.family() == MysqlFamily::Mariadb, "{said}");
            });
        }
    });
}

#[test]
fn a_server_keeps_what_was_committed_when_it_is_killed_and_started_again() {
    std::thread::scope(|scope| {
        for version in MysqlVersion::ALL {
            scope.spawn(move || {
                let server = MysqlServer::start(version);
                let database = server.create_database();
                server.batch(&database, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
                server.kill();
                assert!(server.try_batch(&database, "SELECT 1").is_err());
                server.restart();
                assert_eq!(server.value(&database, "SELECT n FROM t"), "7");
                server.stop();
                server.restart();
                assert_eq!(server.rows(&database, "SELECT n, NULL FROM t"), [[Some("7".to_owned()), None]]);
            });
        }
    });
}

#[test]
fn root_gets_in_by_both_addresses_and_nobody_else_does() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        for url in [server.url(&database), server.socket_url(&database)] {
            assert_eq!(ask(&url, "SELECT database()").unwrap(), database);
            let grants = ask(&url, "SHOW GRANTS").unwrap();
            assert!(grants.contains("WITH GRANT OPTION"), "{grants}");
        }
        let stranger = server.url(&database).replace("root@", "stranger@");
        // MySQL does not tell that it knows no such user: it asks for some way of proving it, which a client may lack.
        ask(&stranger, "SELECT 1").unwrap_err();
        let strangers = "SELECT count(*) FROM mysql.user WHERE NOT (user LIKE 'm%.%' OR user = 'root')";
        assert_eq!(server.value("", strangers), "0");
    }
}

#[test]
fn settings_take_effect_and_the_last_of_a_name_counts() {
    for version in MysqlVersion::ALL {
        let options =
            MysqlOptions::new(version).setting("max_connections", "20").setting("max_connections", "30");
        let server = options.binary_log().start();
        assert_eq!(
            server.rows("", "SELECT @@max_connections, @@log_bin"),
            [["30", "1"].map(|n| Some(n.to_owned()))]
        );
        assert_eq!(MysqlServer::shared(version).value("", "SELECT @@log_bin"), "0");
    }
}

#[test]
fn with_tls_the_certificate_is_by_its_authority() {
    for version in MysqlVersion::ALL {
        let server = MysqlOptions::new(version).tls().start();
        let said = trusting(&server, &server.authority().file());
        assert!(said.unwrap().contains("TLS"));
        let other = tempfile::tempdir().unwrap();
        let (stranger, _) = server.authority().issue("stranger", "stranger", None);
        std::fs::copy(stranger, other.path().join("ca.crt")).unwrap();
        trusting(&server, &other.path().join("ca.crt")).unwrap_err();
    }
}

#[test]
fn plugins_that_came_with_a_server_can_be_used() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::start(version);
        server.batch("", match version.family() {
            MysqlFamily::Mariadb => {
                "INSTALL SONAME 'auth_ed25519'; CREATE USER u IDENTIFIED VIA ed25519 USING PASSWORD('secret')"
            }
            MysqlFamily::Mysql => {
                "INSTALL COMPONENT 'file://component_validate_password'; CREATE USER u IDENTIFIED BY 'Secret.123'"
            }
        });
        let password = match version.family() {
            MysqlFamily::Mariadb => "secret",
            MysqlFamily::Mysql => "Secret.123",
        };
        let url = server.url("").replace("root@", &format!("u:{password}@"));
        assert!(ask(&url, "SELECT current_user()").unwrap().starts_with("u@"));
    }
}

/// The version of TLS that a client speaks with it who trusts this authority.
fn trusting(server: &MysqlServer, authority: &Path) -> Result<String, String> {
    let trust = mysql_async::SslOpts::default()
        .with_root_certs(vec![authority.to_owned().into()])
        .with_disable_built_in_roots(true);
    let options = mysql_async::Opts::from_url(&server.url("")).unwrap();
    let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false).ssl_opts(trust);
    ask_with(options.into(), "SHOW STATUS LIKE 'Ssl_version'")
}

fn ask(url: &str, sql: &str) -> Result<String, String> {
    ask_with(mysql_async::Opts::from_url(url).unwrap(), sql)
}

/// The last value of the first row.
fn ask_with(options: mysql_async::Opts, sql: &str) -> Result<String, String> {
    use mysql_async::prelude::Queryable as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut session = mysql_async::Conn::new(options).await.map_err(|error| error.to_string())?;
        let row: mysql_async::Row = session.query_first(sql).await.unwrap().unwrap();
        let value = row.get(row.len() - 1).unwrap();
        session.disconnect().await.unwrap();
        Ok(value)
    })
}

#[test]
fn no_two_servers_have_an_identity_in_common() {
    let identity = || MysqlServer::start(MysqlVersion::Mysql9_7).value("", "SELECT @@server_uuid");
    assert_ne!(identity(), identity());
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = MysqlOptions::new(MysqlVersion::Mariadb10_11).tls().start();
    let folder = server.folder().to_owned();
    assert!(folder.join("ca.crt").exists());
    drop(server);
    assert!(!folder.exists());
}

const HOLD: &str = "DUMPRESTORE_TEST_HOLD_A_SERVER";

#[test]
fn a_server_goes_with_a_test_that_is_killed() {
    if std::env::var_os(HOLD).is_some() {
        let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
        let pid = std::fs::read_to_string(server.folder().join("pid")).unwrap();
        println!("\nholding {} {}.", pid.trim(), server.folder().display());
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
