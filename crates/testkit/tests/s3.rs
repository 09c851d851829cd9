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

#[test]
fn a_versioned_bucket_has_what_was_overwritten_and_deleted() {
    each(|server| {
        let bucket = server.create_versioned_bucket();
        bucket.put("a", "old");
        bucket.put("a", "newer");
        bucket.delete("a");
        bucket.put("b", "other");
        let versions = bucket.versions("");
        let seen: Vec<_> =
            versions.iter().map(|one| (one.key.as_str(), one.deleted, one.latest, one.size)).collect();
        assert_eq!(
            seen,
            [("a", true, true, 0), ("a", false, false, 5), ("a", false, false, 3), ("b", false, true, 5)]
        );
        assert_eq!(bucket.get("a"), None);
        assert_eq!(bucket.get_version("a", &versions[2].id).unwrap(), b"old");
        bucket.delete_version("a", &versions[0].id);
        assert_eq!(bucket.get("a").unwrap(), b"newer");
        assert_eq!(bucket.versions("a").len(), 2);
    });
}

#[test]
fn a_put_that_must_not_replace_does_not() {
    each(|server| {
        let bucket = server.create_bucket();
        bucket.put("a", "first");
        let answer = bucket.request("PUT", "a", &[], &[("if-none-match", "*")], b"second");
        assert_eq!(answer.status, 412, "{}", answer.text());
        assert_eq!(bucket.get("a").unwrap(), b"first");
    });
}

#[test]
fn an_upload_in_parts_is_listed_until_it_is_ended() {
    each(|server| {
        let bucket = server.create_bucket();
        let id = bucket.begin_upload("in/parts");
        bucket.upload_part("in/parts", &id, 1, b"part");
        let uploads = bucket.uploads("");
        assert_eq!(uploads.len(), 1);
        assert_eq!((uploads[0].key.as_str(), &uploads[0].id), ("in/parts", &id));
        assert!(bucket.uploads("other").is_empty());
        assert_eq!(bucket.keys(""), [""; 0]);
        bucket.request("DELETE", "in/parts", &[("uploadId", id.as_str())], &[], b"").succeeded();
        assert!(bucket.uploads("").is_empty());
    });
}

#[test]
fn long_listings_are_read_to_their_end() {
    each(|server| {
        let bucket = server.create_versioned_bucket();
        let keys: Vec<_> = (0..1_010).map(|number| format!("{number:05}")).collect();
        std::thread::scope(|scope| {
            for keys in keys.chunks(260) {
                let bucket = &bucket;
                scope.spawn(move || keys.iter().for_each(|key| drop(bucket.put(key, ""))));
            }
        });
        assert_eq!(bucket.keys(""), keys);
        assert_eq!(bucket.versions("").into_iter().map(|one| one.key).collect::<Vec<_>>(), keys);
    });
}

#[test]
fn what_is_locked_cannot_be_deleted() {
    each(|server| {
        let bucket = server.create_bucket_with_locks();
        bucket.put("a", "kept");
        let id = bucket.versions("")[0].id.clone();
        bucket.lock_until("a", &id, "2100-01-01T00:00:00Z");
        let answer = bucket.request("DELETE", "a", &[("versionId", id.as_str())], &[], b"");
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert_eq!(bucket.get_version("a", &id).unwrap(), b"kept");
    });
}

#[test]
fn rules_of_lifecycle_are_kept() {
    each(|server| {
        let bucket = server.create_bucket();
        bucket.set_lifecycle(
            "<Rule><ID>a</ID><Filter><Prefix>x/</Prefix></Filter><Status>Enabled</Status>\
             <NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
        );
        let told = bucket.request("GET", "", &[("lifecycle", "")], &[], b"").succeeded().text();
        assert!(told.contains("<NoncurrentDays>7</NoncurrentDays>"), "{told}");
    });
}

#[test]
fn ceph_lets_nobody_in_who_has_not_the_secret() {
    let server = S3Server::shared(S3Kind::Ceph);
    let bucket = server.create_bucket();
    bucket.put("a", "private");
    let refused = ureq::get(format!("{}/{}/a", server.endpoint(), bucket.name())).call();
    assert!(matches!(refused, Err(ureq::Error::StatusCode(403))), "{refused:?}");
}

#[test]
fn a_store_that_was_killed_comes_again_where_it_was_and_empty() {
    for kind in S3Kind::ALL {
        let server = S3Server::start(kind);
        let (endpoint, bucket) = (server.endpoint(), server.create_bucket());
        server.kill();
        assert!(std::net::TcpStream::connect(server.address()).is_err());
        server.restart();
        assert_eq!(server.endpoint(), endpoint);
        assert_eq!(bucket.request("GET", "", &[], &[], b"").status, 404);
        server.create_bucket().put("a", "content");
    }
}

#[test]
fn a_dropped_store_leaves_nothing() {
    for kind in S3Kind::ALL {
        let server = S3Server::start(kind);
        let folder = server.folder().to_owned();
        assert!(folder.join("log").exists());
        drop(server);
        assert!(!folder.exists());
    }
}

const HOLD: &str = "DUMPRESTORE_TEST_HOLD_A_SERVER";

#[test]
fn a_store_goes_with_a_test_that_is_killed() {
    if std::env::var_os(HOLD).is_some() {
        let servers = S3Kind::ALL.map(S3Server::start);
        println!("\nholding {} {}.", servers[0].folder().display(), servers[1].folder().display());
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
    let mut holder = Process::start(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_store_goes_with_a_test_that_is_killed", "--nocapture"])
            .env(HOLD, "1"),
    );
    holder.wait_for("holding ");
    let said = holder.said();
    let line = said.iter().find(|line| line.starts_with("holding ")).unwrap();
    let (moto, ceph) = line["holding ".len()..].trim_end_matches('.').split_once(' ').unwrap();
    assert!(processes_of(moto) > 0 && processes_of(ceph) > 2);
    holder.kill();
    for folder in [moto, ceph] {
        soon("the end of the servers", || processes_of(folder) == 0);
        soon("the end of their folder", || !Path::new(folder).exists());
    }
}

/// How many processes were told of a folder, or live in it.
fn processes_of(folder: &str) -> usize {
    let there = |process: &Path| {
        let told = |name| std::fs::read(process.join(name)).unwrap_or_default();
        let told = [told("cmdline"), told("environ")].concat();
        String::from_utf8_lossy(&told).contains(folder)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| there(&entry.path())).count()
}
