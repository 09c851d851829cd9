//! The throw-away stores of objects themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use dumprestore_testkit::{Process, S3Kind, S3Server, soon};

/// Names that stores must not touch.
const HOSTILE: [&str; 12] = [
    "a//b",
    "a/../b",
    "..",
    "./x",
    "/lead",
    "trail/",
    "ü +&%?#",
    "%25",
    "a\u{1}\r\tb",
    "\u{1F5FF}",
    "<&>\"'",
    "*:|\\",
];

fn each(test: impl Fn(&'static S3Server) + Sync) {
    std::thread::scope(|scope| {
        for kind in S3Kind::ALL {
            let test = &test;
            scope.spawn(move || test(S3Server::shared(kind)));
        }
    });
}

#[test]
fn an_object_is_there_from_its_put_to_its_deletion() {
    each(|server| {
        let bucket = server.create_bucket();
        assert_eq!(bucket.keys(""), [""; 0]);
        let headers = [("content-type", "image/png"), ("x-amz-meta-owner", "alice")];
        let etag = bucket.put_with("a/photo", "content", &headers);
        bucket.put("b", "");
        assert_eq!(bucket.get("a/photo").unwrap(), b"content");
        let head = bucket.head("a/photo").unwrap();
        assert_eq!(head.header("content-type"), Some("image/png"));
        assert_eq!(head.header("x-amz-meta-owner"), Some("alice"));
        assert_eq!(bucket.keys(""), ["a/photo", "b"]);
        let listed = bucket.list("a/");
        assert_eq!((listed.len(), listed[0].size, &listed[0].etag), (1, 7, &etag));
        bucket.delete("a/photo");
        assert_eq!(bucket.get("a/photo"), None);
        assert!(bucket.head("a/photo").is_none());
        assert_eq!(bucket.keys(""), ["b"]);
    });
}

#[test]
fn names_come_back_as_they_were_given() {
    each(|server| {
        let bucket = server.create_bucket();
        for key in HOSTILE {
            bucket.put(key, key);
        }
        for key in HOSTILE {
            assert_eq!(bucket.get(key).as_deref(), Some(key.as_bytes()), "{key:?}");
        }
        let mut expected = HOSTILE.to_vec();
        expected.sort_unstable();
        assert_eq!(bucket.keys(""), expected);
    });
}
