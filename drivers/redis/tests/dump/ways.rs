//! The ways in which a server sends its data, and what else it is doing meanwhile.

use std::time::{Duration, Instant};

use dumprestore_driver::{CutContext, CutMode};
use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion};
use redis::Commands;

use crate::dump_support::{all, cut, dump, fill, loaded, open, pinned, read_once, state};

fn with(settings: &[(&str, &str)]) -> RedisServer {
    let options = RedisOptions::new(RedisVersion::Redis7_0);
    settings.iter().fold(options, |options, (name, value)| options.setting(name, value)).start()
}

fn has_file(server: &RedisServer) -> bool {
    server.folder().join("data/dump.rdb").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_is_the_one_that_begins_at_once() {
    for (settings, way) in [
        (vec![("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "0")], "stream"),
        (
            vec![("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "60"), ("appendonly", "yes")],
            "file",
        ),
        (vec![("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "60"), ("save", "3600 1")], "file"),
        (vec![("repl-diskless-sync", "no")], "file"),
    ] {
        let server = with(&settings);
        fill(&server);
        let begun = Instant::now();
        let mut source = pinned(all(&server)).await;
        println!("{way}: pinned in {:?}", begun.elapsed());
        let dump = read_once(&mut *source).await.unwrap();
        source.release().await.unwrap();
        assert_eq!(dump.facts["transfer"], way, "{settings:?}");
        assert_eq!(state(&loaded(RedisVersion::Redis7_0, &dump.bytes)), state(&server));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_to_keep_nothing_is_left_without_a_file() {
    // What it kept once, it would load when it is started again.
    let server = with(&[("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "1")]);
    server.run(0, redis::cmd("SET").arg("k").arg("before"));
    let begun = Instant::now();
    let mut source = pinned(all(&server)).await;
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
    server.run(0, redis::cmd("SET").arg("k").arg("after"));
    let dump = read_once(&mut *source).await.unwrap();
    source.release().await.unwrap();
    assert!(dump.has("before") && !dump.has("after"));
    assert!(!has_file(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_to_keep_nothing_and_can_not_do_without_a_file_is_told_to_remove_it() {
    for version in [RedisVersion::Redis6_0, RedisVersion::Redis7_0, RedisVersion::Valkey9] {
        let server = RedisOptions::new(version).setting("repl-diskless-sync", "no").start();
        server.run(0, redis::cmd("SET").arg("k").arg("x"));
        let dump = dump(all(&server)).await;
        assert_eq!((dump.keys, dump.facts["transfer"].as_str()), (1, "file"));
        let told = dump.ledger.iter().any(|entry| entry.what == "rdb-del-sync-files" && !entry.degrades);
        assert!(told, "{:?}", dump.ledger);
        let until = Instant::now() + Duration::from_secs(20);
        while has_file(&server) {
            assert!(Instant::now() < until, "{version:?}: the server has kept its file");
            std::thread::sleep(Duration::from_millis(50));
        }
        let again = crate::dump_support::dump(all(&server)).await;
        assert!(again.ledger.is_empty(), "{:?}", again.ledger);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_after_the_pin_is_not_dumped() {
    for diskless in ["yes", "no"] {
        for delay in [0, 20] {
            let server = with(&[("repl-diskless-sync", diskless), ("rdb-key-save-delay", "100")]);
            for n in 0..1000 {
                server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg("before"));
            }
            let mut source = pinned(all(&server)).await;
            for n in 0..1000 {
                server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg("after"));
            }
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let dump = read_once(&mut *source).await.unwrap();
            source.release().await.unwrap();
            assert_eq!(dump.keys, 1000);
            assert!(!dump.has("after"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_in_progress_is_waited_for_and_not_taken_for_ours() {
    for diskless in ["yes", "no"] {
        // A thousand keys take half a second to save.
        let server = with(&[("repl-diskless-sync", diskless), ("rdb-key-save-delay", "500")]);
        for n in 0..1000 {
            server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg("before"));
        }
        server.run(0, &redis::cmd("BGSAVE"));
        server.run(0, redis::cmd("SET").arg("k0").arg("after the save began"));
        let dump = dump(all(&server)).await;
        assert!(dump.has("after the save began"), "{diskless}");
        assert_eq!(dump.keys, 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_no_hindrance_before_during_and_after() {
    for diskless in ["yes", "no"] {
        let server = with(&[("repl-diskless-sync", diskless), ("rdb-key-save-delay", "300")]);
        for n in 0..1000 {
            server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg("first"));
        }
        // It asks for all data just when we do, again and again.
        let replica = RedisOptions::new(RedisVersion::Redis7_0).replica_of(&server).start();
        for round in 0..3 {
            server.run(0, redis::cmd("SET").arg("round").arg(round));
            let dump = dump(all(&server)).await;
            assert_eq!(dump.keys, 1001);
            let again = loaded(RedisVersion::Redis7_0, &dump.bytes);
            let found: u64 = again.connection(0).get("round").unwrap();
            assert_eq!(found, round);
        }
        let until = Instant::now() + Duration::from_secs(30);
        while replica.info("master_link_status").trim() != "up" {
            assert!(Instant::now() < until, "the replica has lost its primary");
            std::thread::sleep(Duration::from_millis(50));
        }
        // A replica can be dumped as well.
        let dump = dump(all(&replica)).await;
        assert_eq!(dump.keys, 1001);
        assert_eq!(dump.facts["replication_id"], server.info("master_replid").trim());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_go_ends_at_the_server() {
    for diskless in ["yes", "no"] {
        let server = with(&[("repl-diskless-sync", diskless), ("rdb-key-save-delay", "20000")]);
        for n in 0..1000 {
            server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg("x"));
        }
        let mut source = pinned(all(&server)).await;
        source.unpin().await.unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while server.info("connected_slaves").trim() != "0" {
            assert!(Instant::now() < until, "the server still has us for a replica");
            std::thread::sleep(Duration::from_millis(20));
        }
        if diskless == "yes" {
            // And then it can begin the next one at once.
            source.pin(&cut()).await.unwrap();
        }
        source.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_while_the_cut_is_locked_and_go_on_afterwards() {
    for version in [RedisVersion::Redis7_0, RedisVersion::Valkey9] {
        let server = RedisServer::start(version);
        server.run(0, redis::cmd("SET").arg("k").arg("before"));
        let mut source = open(all(&server)).await;
        source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Locked)).await.unwrap();
        let server = std::sync::Arc::new(server);
        let writer = {
            let server = server.clone();
            tokio::task::spawn_blocking(move || server.run(0, redis::cmd("SET").arg("k").arg("after")))
        };
        // Longer than writers wait if nobody says so again.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let early = writer.is_finished();
        let value: String = server.connection(0).get("k").unwrap();
        source.unlock().await.unwrap();
        writer.await.unwrap();
        let written = (early, value);
        assert_eq!(written, (false, "before".to_owned()));
        let dump = read_once(&mut *source).await.unwrap();
        source.release().await.unwrap();
        assert!(dump.has("before"));
        assert!(dump.facts["writers_waited_ms"].parse::<u64>().unwrap() >= 4000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_does_not_take_a_dump_for_a_replica() {
    use std::io::{Read as _, Write as _};

    // More than fits between two machines: the server is at it until it is read.
    let server = with(&[("rdbcompression", "no")]);
    server.run(0, redis::cmd("DEBUG").arg("POPULATE").arg(50_000).arg("key").arg(1000));
    let sentinel = RedisOptions::new(RedisVersion::Redis7_0).sentinel_of(&server, "cache").start();
    sentinel.run(0, redis::cmd("SENTINEL").arg("DEBUG").arg("info-period").arg(50));
    let source = pinned(all(&server)).await;
    dumprestore_testkit::soon("our connection", || server.info("connected_slaves") == "1");
    // One that it does take for a replica: what it knows by then, it knows of both.
    let mut other = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    other.write_all(b"REPLCONF listening-port 1\r\n").unwrap();
    other.read_exact(&mut [0; 5]).unwrap();
    other.write_all(b"SYNC\r\n").unwrap();
    dumprestore_testkit::soon("the other one", || server.info("connected_slaves") == "2");
    let replicas = || -> String {
        let told: String = sentinel.ask(0, redis::cmd("INFO").arg("sentinel"));
        told.lines().find_map(|line| line.split("slaves=").nth(1)).unwrap_or_default().to_owned()
    };
    dumprestore_testkit::soon("a replica", || !replicas().starts_with('0'));
    assert_eq!(server.info("connected_slaves"), "2");
    assert!(replicas().starts_with("1,"), "{}", replicas());
    drop(source);
}
