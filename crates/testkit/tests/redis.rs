//! The throw-away Redis and Valkey servers themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use dumprestore_testkit::{Process, RedisCluster, RedisOptions, RedisServer, RedisVersion, soon};
use redis::cmd;

/// What a version's own client is told, and says.
fn client(server: &RedisServer, arguments: &[&str]) -> String {
    let mut command = server.programs().command(&server.version().client());
    let output = command.args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn all_versions_run_beside_each_other() {
    std::thread::scope(|scope| {
        for version in RedisVersion::ALL {
            scope.spawn(move || {
                let server = RedisServer::start(version);
                let name = if version.is_valkey() { "valkey_version" } else { "redis_version" };
                let said = server.info(name);
                assert!(said.starts_with(&format!("{}.", version.number())), "{said}");
                let port = server.port().to_string();
                assert_eq!(client(&server, &["-p", &port, "PING"]), "PONG");
                let socket = server.socket().display().to_string();
                assert_eq!(client(&server, &["-s", &socket, "PING"]), "PONG");
            });
        }
    });
}

#[test]
fn a_durable_server_keeps_what_it_has_answered_to_when_it_is_killed_and_started_again() {
    std::thread::scope(|scope| {
        for version in RedisVersion::ALL {
            scope.spawn(move || {
                let server = RedisOptions::new(version).durable().start();
                server.run(3, cmd("SET").arg("key").arg("value"));
                server.kill();
                assert!(server.try_ask::<()>(0, &cmd("PING")).is_err());
                server.restart();
                assert_eq!(server.ask::<String>(3, cmd("GET").arg("key")), "value");
            });
        }
    });
}

#[test]
fn who_has_the_password_gets_in_and_nobody_else_does() {
    for version in RedisVersion::ALL {
        let password = r#"p "'\ä:@/?#%"#;
        let server =
            RedisOptions::new(version).password(password).user("alice", "on >secret ~* +@all").start();
        let port = server.port().to_string();
        assert!(client(&server, &["-p", &port, "GET", "x"]).contains("NOAUTH"));
        assert_eq!(client(&server, &["-p", &port, "--no-auth-warning", "-a", password, "PING"]), "PONG");
        let alice = ["-p", &port, "--no-auth-warning", "--user", "alice", "-a", "secret", "PING"];
        assert_eq!(client(&server, &alice), "PONG");
        assert!(redis::Client::open(server.url(0)).unwrap().get_connection().is_ok());
    }
}

#[test]
fn settings_take_effect() {
    for version in RedisVersion::ALL {
        let options = RedisOptions::new(version).setting("databases", "4").line("maxclients 77");
        let server = options.start();
        let said: Vec<String> = server.ask(0, cmd("CONFIG").arg("GET").arg("databases"));
        assert_eq!(said, ["databases", "4"]);
        let said: Vec<String> = server.ask(0, cmd("CONFIG").arg("GET").arg("maxclients"));
        assert_eq!(said, ["maxclients", "77"]);
        server.run(0, cmd("DEBUG").arg("SLEEP").arg(0));
    }
}

#[test]
fn with_tls_the_certificate_is_by_its_authority() {
    for version in RedisVersion::ALL {
        let server = RedisOptions::new(version).tls().start();
        let url = server.tls_url(0);
        let port = url.rsplit(':').next().unwrap().trim_end_matches("/0").to_owned();
        let authority = server.authority().file().display().to_string();
        assert_eq!(
            client(&server, &["-h", "localhost", "-p", &port, "--tls", "--cacert", &authority, "PING"]),
            "PONG"
        );
        let (stranger, _) = server.authority().issue("stranger", "stranger", None);
        let stranger = stranger.display().to_string();
        let said = client(&server, &["-h", "localhost", "-p", &port, "--tls", "--cacert", &stranger, "PING"]);
        assert_ne!(said, "PONG");
    }
}

#[test]
fn a_sentinel_tells_of_the_server_that_it_watches() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start(version);
        let sentinel = RedisOptions::new(version).sentinel_of(&server, "cache").start();
        let found: Vec<String> = sentinel.ask(0, cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg("cache"));
        assert_eq!(found, ["127.0.0.1".to_owned(), server.port().to_string()]);
    }
}

#[test]
fn a_replica_has_what_its_primary_has() {
    let primary = RedisOptions::new(RedisVersion::Redis7_0).setting("repl-diskless-sync-delay", "0").start();
    primary.run(0, cmd("SET").arg("key").arg("value"));
    let replica = RedisOptions::new(RedisVersion::Redis7_0).replica_of(&primary).start();
    soon("a link", || replica.info("master_link_status") == "up");
    assert_eq!(replica.ask::<String>(0, cmd("GET").arg("key")), "value");
}

#[test]
fn a_cluster_shares_all_slots() {
    for version in RedisVersion::ALL {
        let cluster = RedisCluster::start(version);
        let mut taken = 0;
        for node in cluster.nodes() {
            // Each key belongs to one of them.
            taken += (0..30)
                .filter(|n| node.try_ask::<()>(0, cmd("SET").arg(format!("key:{n}")).arg("value")).is_ok())
                .count();
        }
        assert_eq!(taken, 30);
    }
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = RedisOptions::new(RedisVersion::Redis7_0).tls().start();
    let folder = server.folder().to_owned();
    assert!(folder.join("ca.crt").exists());
    drop(server);
    assert!(!folder.exists());
}

const HOLD: &str = "DUMPRESTORE_TEST_HOLD_A_SERVER";

#[test]
fn a_server_goes_with_a_test_that_is_killed() {
    if std::env::var_os(HOLD).is_some() {
        let server = RedisServer::shared(RedisVersion::Redis7_0);
        println!("\nholding {} {}.", server.info("process_id"), server.folder().display());
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
    let (pid, folder) = (Path::new("/proc").join(pid.trim()), Path::new(folder));
    assert!(pid.exists() && folder.exists());
    holder.kill();
    soon("the end of the server", || !pid.exists());
    soon("the end of its folder", || !folder.exists());
}
