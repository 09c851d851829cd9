//! A bucket of a store that speaks S3.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::time::{Duration, SystemTime};

use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl, Expiration, LockMode, Locking, Versioning};
use dumprestore_driver::Secret;
use dumprestore_testkit::{S3Bucket, S3Kind, S3Server};
use futures_util::TryStreamExt;

fn server() -> &'static S3Server {
    S3Server::shared(S3Kind::Moto)
}

fn opened(made: &S3Bucket, prefix: &str) -> Bucket {
    let mut options = BucketOptions::default();
    options.endpoint = Some(server().endpoint());
    options.access_key_id = Some(Secret::new(server().access_key()));
    options.secret_access_key = Some(Secret::new(server().secret_key()));
    let url = BucketUrl::parse(&format!("s3://{}/{prefix}", made.name())).unwrap();
    Bucket::open(&url, &options, Path::new("/")).unwrap()
}

#[tokio::test]
async fn what_is_written_below_a_prefix_is_there_for_others() {
    let made = server().create_bucket();
    let bucket = opened(&made, "shop/media");
    assert_eq!(bucket.shown(), format!("s3://{}/shop/media", made.name()));
    bucket.operator().write("a/photo", "content").await.unwrap();
    bucket.within("deeper").unwrap().operator().write("b", "more").await.unwrap();
    assert_eq!(made.keys(""), ["shop/media/a/photo", "shop/media/deeper/b"]);
    assert_eq!(made.get("shop/media/a/photo").unwrap(), b"content");
    let listed: Vec<_> =
        bucket.operator().lister_with("").recursive(true).await.unwrap().try_collect().await.unwrap();
    let mut paths: Vec<_> = listed.iter().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a/photo", "deeper/b"]);
    bucket.check().await.unwrap();
}

#[tokio::test]
async fn an_upload_in_parts_arrives_whole_and_one_that_is_aborted_leaves_nothing() {
    let made = server().create_bucket();
    let bucket = opened(&made, "");
    let content: Vec<u8> = (0..12_u32 << 20).map(|at| (at % 251) as u8).collect();
    let mut writer = bucket.operator().writer_with("large").chunk(5 << 20).concurrent(3).await.unwrap();
    for piece in content.chunks(1 << 20) {
        writer.write(piece.to_vec()).await.unwrap();
    }
    writer.close().await.unwrap();
    assert!(made.get("large").unwrap() == content);
    let mut writer = bucket.operator().writer_with("gone").chunk(5 << 20).concurrent(3).await.unwrap();
    for piece in content.chunks(1 << 20) {
        writer.write(piece.to_vec()).await.unwrap();
    }
    writer.abort().await.unwrap();
    assert_eq!(made.keys(""), ["large"]);
    assert!(made.uploads("").is_empty());
}

#[tokio::test]
async fn versioning_is_off_then_enabled_then_suspended() {
    let made = server().create_bucket();
    let bucket = opened(&made, "p");
    assert_eq!(bucket.versioning().await.unwrap(), Versioning::Off);
    made.set_versioning("Enabled");
    assert_eq!(bucket.versioning().await.unwrap(), Versioning::Enabled);
    made.set_versioning("Suspended");
    assert_eq!(bucket.versioning().await.unwrap(), Versioning::Suspended);
}

#[tokio::test]
async fn lifecycle_rules_are_read_as_they_were_set() {
    let made = server().create_versioned_bucket();
    let bucket = opened(&made, "p");
    assert!(bucket.lifecycle().await.unwrap().is_empty());
    made.set_lifecycle(
        "<Rule><ID>old</ID><Filter><Prefix>shop/</Prefix></Filter><Status>Enabled</Status>\
         <Expiration><Days>30</Days></Expiration>\
         <NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
         <Rule><ID>uploads</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
         <AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
         <Rule><ID>tagged</ID><Filter><And><Prefix>shop/tmp/</Prefix><Tag><Key>a</Key><Value>1</Value></Tag>\
         <Tag><Key>b</Key><Value>2</Value></Tag></And></Filter><Status>Disabled</Status>\
         <Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>",
    );
    let rules = bucket.lifecycle().await.unwrap();
    let [old, uploads, tagged] = &rules[..] else { panic!("{rules:?}") };
    assert_eq!((old.id.as_str(), old.enabled, old.prefix.as_str()), ("old", true, "shop/"));
    assert_eq!(old.expiration, Some(Expiration::Days(30)));
    assert_eq!((old.noncurrent_days, old.noncurrent_kept), (Some(7), None));
    assert!(old.covers("shop/a") && old.reaches("sh") && !old.covers("sh") && !old.reaches("other/"));
    assert_eq!((uploads.prefix.as_str(), uploads.abort_days), ("", Some(2)));
    assert!(uploads.covers("anything"));
    let tags = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
    assert_eq!((tagged.enabled, tagged.prefix.as_str(), &tagged.tags[..]), (false, "shop/tmp/", &tags[..]));
    assert_eq!((tagged.transitions[0].days, tagged.transitions[0].class.as_str()), (Some(9), "GLACIER"));
    assert!(!tagged.reaches("shop/tmp/"));
}

#[tokio::test]
async fn unfinished_uploads_below_the_prefix_are_found_and_aborted_and_no_others() {
    let made = server().create_bucket();
    let keys = ["p/a", "p/a", "p/b c+%&=?#", "p//d", "p2/a", "q"];
    for key in keys {
        let upload = made.begin_upload(key);
        made.upload_part(key, &upload, 1, b"part");
    }
    let bucket = opened(&made, "p");
    let mut found = bucket.unfinished_uploads().await.unwrap();
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let names: Vec<_> = found.iter().map(|upload| upload.key.as_str()).collect();
    assert_eq!(names, ["/d", "a", "a", "b c+%&=?#"]);
    for (key, count) in [("a", 2), ("b c+%&=?#", 1), ("b", 0)] {
        let of = bucket.unfinished_uploads_of(key).await.unwrap();
        assert!(of.len() == count && of.iter().all(|upload| found.contains(upload)), "{key}: {of:?}");
    }
    for upload in &found {
        bucket.abort_upload(upload).await.unwrap();
        bucket.abort_upload(upload).await.expect("it is gone, which is what was asked for");
    }
    assert!(bucket.unfinished_uploads().await.unwrap().is_empty());
    let mut left: Vec<_> = made.uploads("").into_iter().map(|upload| upload.key).collect();
    left.sort();
    assert_eq!(left, ["p2/a", "q"]);
}

#[tokio::test]
async fn locks_are_told() {
    let open = server().create_bucket();
    open.put("a", "x");
    let without = opened(&open, "");
    assert_eq!(without.locking().await.unwrap(), Locking::Off);
    assert!(!without.lock("a", None).await.unwrap().holds_at(SystemTime::UNIX_EPOCH));

    let made = server().create_bucket_with_locks();
    made.put("p/a", "x");
    let version = made.versions("p/a")[0].id.clone();
    let bucket = opened(&made, "p");
    assert!(matches!(bucket.locking().await.unwrap(), Locking::Enabled { .. }));
    assert!(!bucket.lock("a", Some(&version)).await.unwrap().holds_at(SystemTime::now()));
    made.lock_until("p/a", &version, "2999-01-01T00:00:00Z");
    let lock = bucket.lock("a", Some(&version)).await.unwrap();
    assert!(lock.holds_at(SystemTime::now()), "{lock:?}");
    assert!(matches!(lock.retention, Some((LockMode::Compliance | LockMode::Governance, _))));
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(40_000_000_000);
    assert!(!lock.holds_at(late));
}

#[tokio::test]
async fn the_servers_clock_is_told() {
    let bucket = opened(&server().create_bucket(), "");
    let before = SystemTime::now() - Duration::from_secs(2);
    let told = bucket.server_time().await.unwrap();
    assert!(told > before && told < SystemTime::now() + Duration::from_secs(2));
}
