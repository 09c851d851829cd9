//! What belongs to an object beside its bytes.

use dumprestore_driver::OldState;
use dumprestore_testkit::{S3Kind, Step};

use crate::restore_support::Case;

const PLAIN: &[(&str, &str)] = &[("content-type", "text/plain")];
const RICH: &[(&str, &str)] = &[
    ("content-type", "image/png"),
    ("cache-control", "max-age=60"),
    ("content-disposition", "attachment; filename=\"a.png\""),
    ("x-amz-meta-by", "somebody"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_in_its_headers_alone_is_restored_and_rolled_back() {
    for kind in S3Kind::ALL {
        let case = Case::new(kind);
        case.put_with("a", "same bytes", RICH);
        let content = case.content();
        let archived = case.dump().await;
        case.put_with("a", "same bytes", PLAIN);
        let changed = case.content();
        assert_ne!(content, changed);
        let mut restoring = case.restored(&archived, Step::Commit).await;
        assert_eq!(case.content(), content, "{kind:?}");
        restoring.staging().rollback().await.unwrap();
        assert_eq!(case.content(), changed, "{kind:?}");
        let mut restoring = case.restored(&archived, Step::Commit).await;
        restoring.staging().finish(OldState::Drop).await.unwrap();
        assert_eq!(case.content(), content, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_the_application_keeps_spares_what_has_another_etag() {
    let case = Case::new(S3Kind::Moto);
    let content = "0123456789abcdef".repeat(6 << 16);
    // The SHA-256 of it.
    let digest = sha256(content.as_bytes());
    let headers: &[(&str, &str)] = &[("content-type", "text/x"), ("x-amz-meta-sha256", &digest)];
    case.put_with("a", &content, headers);
    let archived = case.dump().await;
    // The same in two parts: another ETag.
    in_parts(&case, "a", content.as_bytes(), headers);
    let changes = case.changes(&archived).await.unwrap();
    assert_eq!((changes.replace, changes.unchanged), (0, 1));
    // Nor does it prove anything where the store's own digests differ.
    case.put_with("a", &content.replace('0', "1"), headers);
    let changes = case.changes(&archived).await.unwrap();
    assert_eq!((changes.replace, changes.unchanged), (1, 0));
    // A digest that is not the one of the content spares nothing.
    case.put_with(
        "a",
        &content.replace('0', "1"),
        &[("content-type", "text/x"), ("x-amz-meta-sha256", "ab")],
    );
    let changes = case.changes(&archived).await.unwrap();
    assert_eq!((changes.replace, changes.unchanged), (1, 0));
}

fn sha256(content: &[u8]) -> String {
    use sha2::Digest as _;
    dumprestore_driver::Digest::new(sha2::Sha256::digest(content).into()).to_string()
}

fn in_parts(case: &Case, key: &str, content: &[u8], headers: &[(&str, &str)]) {
    let key = format!("media/{key}");
    let begun = case.bucket.request("POST", &key, &[("uploads", "")], headers, b"").succeeded().text();
    let (_, rest) = begun.split_once("<UploadId>").unwrap();
    let (upload, _) = rest.split_once("</UploadId>").unwrap();
    let (first, second) = content.split_at(5 << 20);
    let mut parts = String::new();
    for (number, part) in [(1, first), (2, second)] {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload)];
        let sent = case.bucket.request("PUT", &key, &query, &[], part).succeeded();
        let etag = sent.header("etag").unwrap();
        parts.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    case.bucket.request("POST", &key, &[("uploadId", upload)], &[], body.as_bytes()).succeeded();
}
