//! What connections do with real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use dumprestore_driver::{Cancel, Error, ErrorKind};
use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion};

use super::*;
use crate::rdb;

fn target(url: &str) -> Target {
    Target::new(url, Logins::default(), Path::new("/")).unwrap()
}

fn server() -> &'static RedisServer {
    RedisServer::shared(RedisVersion::Redis7_0)
}

fn stopped_soon() -> Cancel {
    let cancel = Cancel::default();
    let other = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.cancel();
    });
    cancel
}

#[test]
fn values_of_any_size_and_bytes_go_both_ways_and_stay_in_order() {
    let server = RedisOptions::new(RedisVersion::Redis7_0).tls().start();
    let tls = format!("{}?tls-ca={}", server.tls_url(0), server.authority().file().display());
    for url in [server.url(0), server.socket_url(0), tls] {
        let mut wire = Wire::open(&target(&url), &Cancel::default()).unwrap();
        let sizes = [0, 1, 65_535, 65_536, 65_537, 9_000_000];
        let value = |size: usize| -> Vec<u8> { (0..size).map(|at| (at * 31 % 256) as u8).collect() };
        // All are sent before any answer is read.
        for size in sizes {
            wire.command(&[b"SET", size.to_string().as_bytes(), &value(size)]).unwrap();
            wire.command(&[b"GET", size.to_string().as_bytes()]).unwrap();
        }
        for size in sizes {
            assert_eq!(wire.reply().unwrap(), Reply::Simple("OK".to_owned()));
            assert_eq!(wire.reply().unwrap(), Reply::Bulk(value(size)), "{size} over {url}");
        }
        assert_eq!(wire.ask(&[b"GET", b"nothing"]).unwrap(), Reply::Null);
    }
}

#[test]
fn what_the_server_sends_can_be_read_as_it_comes() {
    let mut wire = Wire::open(&target(&server().url(0)), &Cancel::default()).unwrap();
    let value = vec![b'v'; 1_000_000];
    wire.ask(&[b"SET", b"streamed", &value]).unwrap();
    wire.command(&[b"GET", b"streamed"]).unwrap();
    wire.command(&[b"PING"]).unwrap();
    assert_eq!(wire.line().unwrap(), b"$1000000");
    let mut read = Vec::new();
    (&mut wire).take(1_000_000).read_to_end(&mut read).unwrap();
    assert!(read == value);
    assert_eq!(wire.line().unwrap(), b"");
    assert_eq!(wire.reply().unwrap(), Reply::Simple("PONG".to_owned()));
}

#[test]
fn who_waits_for_an_answer_is_stopped_with_the_run() {
    let mut wire = Wire::open(&target(&server().url(0)), &stopped_soon()).unwrap();
    wire.command(&[b"BLPOP", b"no such list", b"0"]).unwrap();
    assert_eq!(wire.reply().unwrap_err().kind(), ErrorKind::Cancelled);
    let mut wire = Wire::open(&target(&server().url(0)), &stopped_soon()).unwrap();
    wire.command(&[b"BLPOP", b"no such list", b"0"]).unwrap();
    let error = wire.read(&mut [0; 10]).unwrap_err();
    assert_eq!(Error::io("reading", error).kind(), ErrorKind::Cancelled);
}

#[test]
fn who_sends_to_a_server_that_does_not_listen_is_stopped_with_the_run() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    let pid = server.info("process_id");
    let mut wire = Wire::open(&target(&server.url(0)), &stopped_soon()).unwrap();
    let signal = |name: &str| {
        assert!(
            std::process::Command::new("kill").args(["-s", name, pid.trim()]).status().unwrap().success()
        );
    };
    signal("STOP");
    let error = loop {
        if let Err(error) = wire.write_all(&vec![b'x'; 1 << 20]) {
            break Error::io("writing", error);
        }
    };
    signal("CONT");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_connection_that_is_lost_says_so() {
    let server = RedisServer::start(RedisVersion::Valkey8_1);
    let mut session = Session::open(&target(&server.url(0))).unwrap();
    session.query::<String>(&redis::cmd("PING")).unwrap();
    server.kill();
    let error = session.query::<String>(&redis::cmd("PING")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(
        error.to_string().contains("the connection to the server was lost") && error.hint().is_some(),
        "{error}"
    );
}

#[test]
fn a_refusal_tells_the_command_and_no_value() {
    let mut session = Session::open(&target(&server().url(0))).unwrap();
    session.query::<()>(redis::cmd("SET").arg("text").arg("a-secret-value")).unwrap();
    let error =
        session.query::<()>(redis::cmd("HSET").arg("text").arg("a-secret-field").arg("x")).unwrap_err();
    assert_eq!(code(&error), Some("WRONGTYPE"));
    assert!(error.to_string().contains("command: HSET") && !is_refusal(&error), "{error}");
    let error = session.query::<()>(redis::cmd("HSTE").arg("a-secret-value")).unwrap_err();
    assert!(is_refusal(&error) && error.kind() == ErrorKind::Unsupported);
    assert!(!format!("{error:?}").contains("a-secret"), "{error}");
    let error = session.query::<u64>(redis::cmd("GET").arg("text")).unwrap_err();
    assert!(!format!("{error:?}").contains("a-secret"), "{error}");
    // What came after a refusal is answered as ever.
    assert_eq!(session.query::<String>(&redis::cmd("PING")).unwrap(), "PONG");
}

#[test]
fn a_transaction_answers_for_its_commands_or_for_what_kept_it_from_being_executed() {
    let mut session = Session::open(&target(&server().url(5))).unwrap();
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("SET").arg("n").arg(1).cmd("INCR").arg("n");
    assert_eq!(session.replies(&pipeline).unwrap(), [Reply::Simple("OK".to_owned()), Reply::Integer(2)]);
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("INCR").arg("n").cmd("NOTHING");
    let replies = session.replies(&pipeline).unwrap();
    assert!(matches!(&replies[1], Reply::Error(text) if text.contains("unknown command")), "{replies:?}");
    assert_eq!(session.query::<i64>(redis::cmd("GET").arg("n")).unwrap(), 2);
}

#[test]
fn a_server_tells_its_version_and_the_one_of_its_files() {
    let known = [(6, false, 9), (7, false, 10), (8, false, 12), (8, true, 11), (9, true, 80)];
    for (version, (major, valkey, number)) in RedisVersion::ALL.into_iter().zip(known) {
        let running = RedisServer::start(version);
        let found = Server::of(&mut Session::open(&target(&running.url(0))).unwrap()).unwrap();
        assert_eq!((found.version.0, found.valkey), (major, valkey));
        assert_eq!(found.rdb, rdb::Version { valkey: number >= 80, number }, "{version:?}");
        assert_eq!(found.role, Role::Primary);
        assert!(!found.cluster && found.is_since(6, 0));
        if version == RedisVersion::Redis6_0 {
            continue;
        }
        // Without the right to ask for it, it follows from the version.
        let rights = ["on", ">p", "~*", "+@all", "-function"];
        running.run(0, redis::cmd("ACL").arg("SETUSER").arg("u").arg(&rights));
        let url = running.url(0).replace("://", "://u:p@");
        let guessed = Server::of(&mut Session::open(&target(&url)).unwrap()).unwrap();
        assert_eq!(guessed.rdb, found.rdb, "{version:?}");
    }
}

#[test]
fn who_connects_is_called_dumprestore_in_the_database_of_the_url() {
    let mut session = Session::open(&target(&server().url(11))).unwrap();
    let name: String = session.query(redis::cmd("CLIENT").arg("GETNAME")).unwrap();
    assert_eq!(name, "dumprestore");
    let list: String = session.query(redis::cmd("CLIENT").arg("LIST")).unwrap();
    assert!(
        list.lines().any(|line| line.contains(" name=dumprestore ") && line.contains(" db=11 ")),
        "{list}"
    );
}
