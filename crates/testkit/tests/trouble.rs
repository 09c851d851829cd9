//! What goes wrong on purpose, and what does not.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use dumprestore_testkit::{Mishap, Requests, S3Bucket, S3Kind, S3Server, Trouble};

/// A bucket of each store, itself and by way of trouble.
fn each(test: impl Fn(&S3Bucket, &S3Bucket, &Trouble) + Sync) {
    std::thread::scope(|scope| {
        for kind in S3Kind::ALL {
            let test = &test;
            scope.spawn(move || {
                let server = S3Server::shared(kind);
                let trouble = Trouble::before(&server.address());
                let bucket = server.create_bucket();
                test(&bucket, &bucket.by_way_of(&trouble), &trouble);
            });
        }
    });
}

fn put(bucket: &S3Bucket, key: &str, content: &[u8]) -> Result<u16, String> {
    bucket.try_request("PUT", key, &[], &[], content).map(|answer| answer.status)
}

fn get(bucket: &S3Bucket, key: &str) -> Result<Vec<u8>, String> {
    bucket.try_request("GET", key, &[], &[], b"").map(|answer| answer.succeeded().body)
}

#[test]
fn without_a_mishap_all_goes_through() {
    each(|bucket, by_way, trouble| {
        let content = vec![7; 3 << 20];
        by_way.put("large", &content);
        by_way.put("empty", "");
        assert!(bucket.get("large").unwrap() == content && by_way.get("large").unwrap() == content);
        assert_eq!(by_way.get("empty").unwrap(), b"");
        assert_eq!(by_way.head("large").unwrap().header("content-length"), Some("3145728"));
        assert_eq!(by_way.get("missing"), None);
        assert_eq!(by_way.keys(""), ["empty", "large"]);
        by_way.delete("large");
        assert_eq!(bucket.keys(""), ["empty"]);
        assert_eq!(trouble.mishaps(), 0);
        let first = format!("PUT /{}/large", bucket.name());
        assert_eq!((trouble.seen().len(), &trouble.seen()[0]), (8, &first));
    });
}

#[test]
fn only_the_requests_that_were_meant_go_wrong() {
    each(|_, by_way, trouble| {
        let meant = Requests::all().method("PUT").with("/bad").after(1).every(2).times(2);
        trouble.make(meant, Mishap::Status(503));
        let outcomes: Vec<_> = (0..8).map(|_| put(by_way, "bad", b"x").unwrap()).collect();
        assert_eq!(outcomes, [200, 503, 200, 503, 200, 200, 200, 200]);
        assert_eq!(put(by_way, "good", b"x"), Ok(200));
        assert_eq!(get(by_way, "bad").unwrap(), b"x");
        assert_eq!(trouble.mishaps(), 2);
    });
}

#[test]
fn what_is_refused_or_put_off_or_cut_never_arrives() {
    each(|bucket, by_way, trouble| {
        for mishap in [Mishap::Refuse, Mishap::Status(500), Mishap::CutRequest(70_000)] {
            trouble.make(Requests::all().times(1), mishap);
            let outcome = put(by_way, "key", &vec![1; 200_000]);
            assert!(outcome.is_err() || outcome == Ok(500), "{mishap:?}: {outcome:?}");
            assert_eq!(bucket.keys(""), [""; 0], "{mishap:?}");
        }
        assert_eq!(put(by_way, "key", b"x"), Ok(200));
    });
}

#[test]
fn what_lost_its_answer_has_happened() {
    each(|bucket, by_way, trouble| {
        trouble.make(Requests::all(), Mishap::LoseAnswer);
        put(by_way, "key", b"content").unwrap_err();
        assert_eq!(bucket.get("key").unwrap(), b"content");
        trouble.clear();
        assert_eq!(get(by_way, "key").unwrap(), b"content");
    });
}

#[test]
fn an_answer_that_is_cut_is_short() {
    each(|bucket, by_way, trouble| {
        bucket.put("key", vec![1; 200_000]);
        trouble.make(Requests::all().method("GET"), Mishap::CutAnswer(70_000));
        get(by_way, "key").unwrap_err();
        let mut stream = TcpStream::connect(trouble.address()).unwrap();
        let path = format!("/{}/key", bucket.name());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert!(said.len() < 72_000);
    });
}

#[test]
fn a_slow_body_takes_its_time_and_arrives() {
    each(|_, by_way, trouble| {
        trouble.make(Requests::all().method("PUT"), Mishap::Slow(200_000));
        let began = Instant::now();
        assert_eq!(put(by_way, "key", &vec![1; 100_000]), Ok(200));
        // It has to be at least so long: no machine is slow enough to be faster.
        assert!(began.elapsed() > Duration::from_millis(400), "{:?}", began.elapsed());
        assert_eq!(get(by_way, "key").unwrap().len(), 100_000);
    });
}

#[test]
fn an_answer_that_stalls_is_waited_for() {
    each(|bucket, by_way, trouble| {
        trouble.make(Requests::all().with("key"), Mishap::Stall);
        let mut stream = TcpStream::connect(trouble.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        write!(stream, "GET /{}/key HTTP/1.1\r\nHost: x\r\n\r\n", bucket.name()).unwrap();
        let waited = stream.read(&mut [0]).unwrap_err();
        assert_eq!(waited.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(put(by_way, "other", b"x"), Ok(200));
    });
}

#[test]
fn a_connection_serves_request_after_request_and_a_mishap_ends_it() {
    each(|bucket, _, trouble| {
        let mut stream = TcpStream::connect(trouble.address()).unwrap();
        let ask = format!("HEAD /{}/key HTTP/1.1\r\nHost: x\r\n\r\n", bucket.name());
        let mut answer = [0; 4096];
        for _ in 0..3 {
            stream.write_all(ask.as_bytes()).unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut answer).unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&said));
                said.extend_from_slice(&answer[..read]);
            }
            assert!(said.starts_with(b"HTTP/1.1 40"), "{}", String::from_utf8_lossy(&said));
        }
        trouble.make(Requests::all(), Mishap::Refuse);
        stream.write_all(ask.as_bytes()).unwrap();
        assert!(stream.read(&mut answer).is_err());
    });
}

#[test]
fn trouble_ends_with_its_connections() {
    let server = S3Server::shared(S3Kind::Moto);
    let trouble = Trouble::before(&server.address());
    let mut stream = TcpStream::connect(trouble.address()).unwrap();
    let address = trouble.address();
    drop(trouble);
    assert!(!matches!(stream.read(&mut [0]), Ok(read) if read > 0));
    dumprestore_testkit::soon("the end", || TcpStream::connect(&address).is_err());
}
