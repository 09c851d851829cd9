//! What goes wrong, and what is said of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use dumprestore_driver::{Cancel, ErrorKind, OpenContext, PartName, PartWriter, Severity};
use dumprestore_testkit::{RedisCluster, RedisOptions, RedisServer, RedisVersion};
use futures_util::TryStreamExt;

use crate::dump_support::{
    Sink, all, config, cut, driver, dump, open_for, pinned, scanned, try_dump, write_part,
};

fn with_values(options: &RedisOptions, megabytes: u64) -> RedisServer {
    let server = options.start();
    let noise: Vec<u8> = (0..1 << 20).map(|at: u64| (at.wrapping_mul(at + 1) >> 7) as u8).collect();
    for n in 0..megabytes {
        server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg(&noise));
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_fails_the_dump() {
    for diskless in ["yes", "no"] {
        let options = RedisOptions::new(RedisVersion::Redis7_0).setting("repl-diskless-sync", diskless);
        // While it is read.
        let server = with_values(&options, 40);
        let mut source = pinned(all(&server)).await;
        let parts: Vec<_> = source.capture().await.unwrap().try_collect().await.unwrap();
        server.kill();
        let mut sink = Sink::new(false);
        let error = source.dump(&parts[0], &mut PartWriter::new(&mut sink)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        assert!(error.hint().is_some(), "{error}");
        source.release().await.unwrap();
        // Before anything has come.
        server.restart();
        server.run(0, redis::cmd("SET").arg("k").arg("x"));
        let mut source = pinned(all(&server)).await;
        server.kill();
        let ended = match source.capture().await {
            Ok(_) => write_part_again(&mut *source).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        }
        source.release().await.unwrap();
    }
}

async fn write_part_again(source: &mut dyn dumprestore_driver::Source) -> dumprestore_driver::Result<()> {
    let part = dumprestore_driver::Part::new(PartName::new("dump.rdb").unwrap());
    source.dump(&part, &mut PartWriter::new(&mut Sink::new(false))).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_all_of_it() {
    for diskless in ["yes", "no"] {
        let options = RedisOptions::new(RedisVersion::Redis7_0).setting("repl-diskless-sync", diskless);
        let server = with_values(&options, 30);
        let mut source = pinned(all(&server)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut sink = Sink::new(true);
        sink.pause = Duration::from_millis(10);
        assert_eq!(write_part(&mut *source, &mut sink, true).await.unwrap(), 30);
        source.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_buffers_are_small_need_not_keep_our_changes() {
    let limit = "client-output-buffer-limit replica 1mb 1mb 1";
    let options = RedisOptions::new(RedisVersion::Redis7_0).line(limit).setting("repl-diskless-sync", "no");
    let server = with_values(&options, 20);
    let mut source = pinned(all(&server)).await;
    for n in 0..20 {
        server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg(vec![b'x'; 1 << 20]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut sink = Sink::new(true);
    assert_eq!(write_part(&mut *source, &mut sink, true).await.unwrap(), 20);
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_whose_buffers_are_too_small_says_so() {
    let limit = "client-output-buffer-limit replica 1mb 1mb 1";
    let options =
        RedisOptions::new(RedisVersion::Redis6_0).line(limit).setting("rdb-key-save-delay", "200000");
    let server = with_values(&options, 10);
    let mut source = pinned(all(&server)).await;
    for n in 0..10 {
        server.run(0, redis::cmd("SET").arg(format!("k{n}")).arg(vec![b'x'; 1 << 20]));
    }
    let error = match source.capture().await {
        Ok(_) => write_part_again(&mut *source).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.hint().unwrap().contains("client-output-buffer-limit"), "{error:?}");
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_stops_at_once() {
    let options = RedisOptions::new(RedisVersion::Redis7_0).setting("rdb-key-save-delay", "1000000");
    for diskless in ["yes", "no"] {
        let server = with_values(&options.clone().setting("repl-diskless-sync", diskless), 60);
        // While it is waited for, or read.
        let cancel = Cancel::default();
        let mut source = open_for(all(&server), &cancel).await;
        source.pin(&cut()).await.unwrap();
        let stopper = cancel.clone();
        let stopping = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stopper.cancel();
        });
        let error = write_part(&mut *source, &mut Sink::new(false), true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        stopping.await.unwrap();
        source.release().await.unwrap();
        // While another save is waited for.
        let cancel = Cancel::default();
        let mut source = open_for(all(&server), &cancel).await;
        // The one before may take a moment to end.
        while server.try_ask::<String>(0, &redis::cmd("BGSAVE")).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let stopper = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stopper.cancel();
        });
        let error = source.pin(&cut()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        source.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_is_told_what_it_needs() {
    let options = RedisOptions::new(RedisVersion::Redis7_0)
        .user("reader", "on >secret ~* +@read +@connection +info +time +multi +exec +@transaction +scan +dump +function|list +function|dump");
    let server = options.start();
    server.run(0, redis::cmd("SET").arg("k").arg("x"));
    let url = format!("redis://reader:secret@127.0.0.1:{}/0", server.port());
    let error = try_dump(config(&url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
    assert!(error.hint().unwrap().contains("mode: scan"), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
    assert_eq!(dump(scanned(config(&url))).await.keys, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_that_is_documented_for_dumps_is_enough_for_them() {
    let rights = "on >secret ~* +sync +replconf +info +time +select +type +hgetall +config|get";
    for version in RedisVersion::ALL {
        for databases in [config as fn(&str) -> _, every_database] {
            let server = RedisOptions::new(version).user("reader", rights).start();
            server.run(0, redis::cmd("CONFIG").arg("SET").arg("save").arg("3600 1"));
            server.run(0, redis::cmd("SET").arg("k").arg("x"));
            server.run(1, redis::cmd("SET").arg("k").arg("x"));
            let url = format!("redis://reader:secret@127.0.0.1:{}/0", server.port());
            let looked = crate::dump_support::driver(databases(&url)).inspect().await.unwrap();
            let in_the_way = looked
                .problems
                .iter()
                .find(|problem| matches!(problem.severity, Severity::Error | Severity::NoDump));
            assert!(in_the_way.is_none(), "{version:?}: {in_the_way:?}");
            assert!(dump(databases(&url)).await.keys >= 1, "{version:?}");
        }
    }
}

fn every_database(url: &str) -> dumprestore_redis::RedisConfig {
    let mut config = config(url);
    config.databases = Some(dumprestore_redis::Databases::All(dumprestore_redis::All::All));
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_no_room_for_a_file_is_asked_to_do_without() {
    let options =
        RedisOptions::new(RedisVersion::Redis7_0).setting("appendonly", "no").setting("save", "3600 1");
    let server = options.setting("repl-diskless-sync-delay", "3").start();
    server.run(0, redis::cmd("SET").arg("k").arg("x"));
    // Where it would write its file, there is a folder.
    std::fs::create_dir(server.folder().join("data/dump.rdb")).unwrap();
    let (began, _): (u64, u64) = server.ask(0, &redis::cmd("TIME"));
    let dump = dump(all(&server)).await;
    assert_eq!((dump.keys, dump.facts["transfer"].as_str()), (1, "stream"));
    assert_eq!(dump.facts["pinned_again"], "1");
    // It is of a later instant than the cut, and says so.
    assert!(dump.facts["cut_at_ms"].parse::<u64>().unwrap() >= (began + 2) * 1000, "{:?}", dump.facts);
    assert!(dump.ledger.iter().any(|entry| entry.degrades && entry.what == "the cut"), "{:?}", dump.ledger);
    // Where references are certified as of the cut, no other instant will do.
    let driver = crate::dump_support::driver(config(&server.url(0)));
    driver.check_keys(&serde_json::json!({ "pattern": "k", "value": true })).unwrap();
    let cx = dumprestore_driver::OpenContext::new("run", std::path::Path::new("/tmp"));
    let mut source = driver.open(cx).await.unwrap();
    source.pin(&cut()).await.unwrap();
    let error = source.capture().await.err().unwrap();
    assert!(error.to_string().contains("as of the cut"), "{error}");
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_has_lost_its_primary_is_refused() {
    let primary = RedisServer::start(RedisVersion::Redis7_0);
    let replica = RedisOptions::new(RedisVersion::Redis7_0).replica_of(&primary).start();
    primary.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = try_dump(all(&replica)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.hint().unwrap().contains("primary"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_has_lost_a_primary_is_refused_and_not_dumped_in_part() {
    let cluster = RedisCluster::start(RedisVersion::Redis7_0);
    cluster.nodes()[2].kill();
    for config in [config(&cluster.url()), scanned(config(&cluster.url()))] {
        let error = driver(config).open(OpenContext::new("run", Path::new("/tmp"))).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error:?}");
    }
}

/// Passes bytes on, and flips one of them when a file goes by.
fn flipping(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
            let (mut requests, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut requests, &mut to_server)));
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(read @ 1..) = server.read(&mut buffer) {
                    let piece = &mut buffer[..read];
                    if let Some(at) = piece.windows(6).position(|window| window == b"marked") {
                        piece[at + 2] ^= 1;
                    }
                    if client.write_all(piece).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_is_flipped_on_its_way_is_found() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    server.run(0, redis::cmd("SET").arg("k").arg("marked"));
    let url = format!("redis://127.0.0.1:{}/0", flipping(server.port()));
    for config in [config(&url), scanned(config(&url))] {
        let error = try_dump(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error:?}");
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_half_restored_is_refused() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    server.run(0, redis::cmd("SET").arg("k").arg("x"));
    for (mark, refused) in [("loading", false), ("moving", true), ("renaming", true)] {
        server.run(0, redis::cmd("HSET").arg("dumprestore:restore").arg("run:0").arg(mark));
        for config in [all(&server), config(&server.url(0))] {
            let dumped = try_dump(config).await;
            assert_eq!(dumped.is_err(), refused, "{mark}: {dumped:?}");
        }
    }
}
