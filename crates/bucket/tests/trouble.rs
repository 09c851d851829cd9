//! A store that is hard to reach, or says no.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod relay;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl, Versioning};
use dumprestore_driver::{Error, ErrorKind, Secret};
use dumprestore_testkit::{S3Kind, S3Server};
use futures_util::{StreamExt, TryStreamExt};
use relay::{Asked, Fate, Relay};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY";

fn server() -> &'static S3Server {
    S3Server::shared(S3Kind::Moto)
}

fn relay(judge: impl FnMut(&Asked) -> Fate + Send + 'static) -> Relay {
    Relay::to(&server().address(), judge)
}

fn options(relay: &Relay) -> BucketOptions {
    let mut options = BucketOptions::default();
    options.endpoint = Some(relay.endpoint());
    options.access_key_id = Some(Secret::new("AKIAEXAMPLEOFTESTS"));
    options.secret_access_key = Some(Secret::new(SECRET));
    options
}

fn opened(name: &str, options: &BucketOptions) -> Bucket {
    Bucket::open(&BucketUrl::parse(&format!("s3://{name}")).unwrap(), options, Path::new("/")).unwrap()
}

/// Whatever is shown of an error has neither the secret nor a signature in it.
fn told(error: &Error) -> String {
    let told = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
    assert!(!told.contains(SECRET), "{told}");
    assert!(!told.contains("=abc") && !told.contains("AWS4-HMAC"), "{told}");
    told
}

fn content(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn google_is_asked_for_content_as_it_lies_there() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let relay = relay(move |asked| {
        seen.lock().unwrap().push(asked.head.to_ascii_lowercase());
        Fate::Answer(404, "nothing")
    });
    let mut options = BucketOptions::default();
    options.endpoint = Some(relay.endpoint());
    options.anonymous = Some(true);
    let bucket = Bucket::open(&BucketUrl::parse("gs://shop").unwrap(), &options, Path::new("/")).unwrap();
    bucket.once().read("a").await.unwrap_err();
    bucket.once().stat("a").await.unwrap_err();
    let (content, rest): (Vec<_>, Vec<_>) =
        heads.lock().unwrap().clone().into_iter().partition(|head: &String| head.contains("alt=media"));
    assert!(!content.is_empty() && !rest.is_empty());
    assert!(content.iter().all(|head| head.contains("accept-encoding: gzip")), "{content:?}");
    assert!(!rest.iter().any(|head| head.contains("gzip")), "{rest:?}");
}

#[tokio::test]
async fn a_busy_server_gets_another_try() {
    let made = server().create_bucket();
    let relay = relay(|asked| match asked.number % 2 {
        0 => Fate::Answer(
            503,
            "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        ),
        _ => Fate::Pass,
    });
    let bucket = opened(made.name(), &options(&relay));
    let large = content(11 << 20);
    let mut writer = bucket.operator().writer_with("large").chunk(5 << 20).await.unwrap();
    writer.write(large.clone()).await.unwrap();
    writer.close().await.unwrap();
    assert!(made.get("large").unwrap() == large);
    assert_eq!(bucket.versioning().await.unwrap(), Versioning::Off);
    assert!(made.uploads("").is_empty());
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_taken_up_where_it_ended() {
    let made = server().create_bucket();
    let large = content(8 << 20);
    made.put("large", &large);
    let relay = relay(|asked| match asked.number % 3 {
        0 => Fate::Cut(1 << 20),
        1 => Fate::Reset,
        _ => Fate::Pass,
    });
    let bucket = opened(made.name(), &options(&relay));
    let read = bucket.operator().read("large").await.unwrap();
    assert!(read.to_vec() == large);
    assert!(relay.asked() >= 3);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up() {
    let relay = relay(|_| Fate::Reset);
    let mut options = options(&relay);
    options.retries = Some(3);
    let bucket = opened("shop", &options);
    let error = bucket.check().await.unwrap_err();
    assert_eq!(relay.asked(), 3);
    assert!(told(&error).contains("can't list `s3://shop`: the connection broke"), "{error}");
    bucket.versioning().await.unwrap_err();
    assert_eq!(relay.asked(), 6);
}

#[tokio::test]
async fn nobody_listens_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = BucketOptions::default();
    options.endpoint = Some(format!("http://{}", free.local_addr().unwrap()));
    options.access_key_id = Some(Secret::new("AKIAEXAMPLEOFTESTS"));
    options.secret_access_key = Some(Secret::new(SECRET));
    options.retries = Some(1);
    drop(free);
    let bucket = opened("shop", &options);
    for error in [bucket.check().await.unwrap_err(), bucket.versioning().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(told(&error).contains("can't connect: Connection refused"), "{error}");
        assert!(error.hint().unwrap().contains("`endpoint`"));
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_given_up() {
    let relay = relay(|_| Fate::Silence);
    let mut options = options(&relay);
    (options.retries, options.timeout) = (Some(1), Some(1));
    let error = opened("shop", &options).check().await.unwrap_err();
    assert!(told(&error).contains("stood still for 1 s"), "{error}");
}

#[tokio::test]
async fn a_body_may_take_longer_than_the_server_may_stand_still() {
    let made = server().create_bucket();
    let relay = relay(|_| Fate::Slow(16 << 10, Duration::from_millis(30)));
    let mut options = options(&relay);
    (options.retries, options.timeout) = (Some(1), Some(1));
    let bucket = opened(made.name(), &options);
    let large = content(2 << 20);
    bucket.operator().write("large", large.clone()).await.unwrap();
    let read = bucket.operator().read("large").await.unwrap();
    assert!(read.to_vec() == large);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed_and_open_readers_don_t_count() {
    let made = server().create_bucket();
    let large = content(1 << 20);
    made.put("large", &large);
    let relay = relay(|asked| match asked.method.as_str() {
        "HEAD" => Fate::Late(Duration::from_millis(100)),
        _ => Fate::Pass,
    });
    let mut options = options(&relay);
    options.concurrency = Some(3);
    let bucket = opened(made.name(), &options);
    let stats = (0..12).map(|_| bucket.operator().stat("large"));
    futures_util::stream::iter(stats).buffer_unordered(12).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(relay.most_late_at_once(), 3);

    let mut open = Vec::new();
    for _ in 0..5 {
        let mut stream =
            bucket.operator().reader("large").await.unwrap().into_bytes_stream(..).await.unwrap();
        stream.try_next().await.unwrap().unwrap();
        open.push(stream);
    }
    tokio::time::timeout(Duration::from_secs(20), bucket.operator().stat("large")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_private_authority_has_to_be_named() {
    let made = server().create_bucket();
    made.put("a", "content");
    let relay = Relay::encrypted(&server().address());
    let mut options = options(&relay);
    let error = opened(made.name(), &options).check().await.unwrap_err();
    assert!(told(&error).contains("no encrypted connection"), "{error}");
    assert!(error.hint().unwrap().contains("`ca_file`"));
    options.ca_file = Some(relay.authority());
    let bucket = opened(made.name(), &options);
    assert_eq!(bucket.operator().read("a").await.unwrap().to_vec(), b"content");
    assert_eq!(bucket.versioning().await.unwrap(), Versioning::Off);
    options.ca_file = Some("/no/such/file".into());
    let url = BucketUrl::parse("s3://shop").unwrap();
    let error = Bucket::open(&url, &options, Path::new("/")).unwrap_err();
    assert!(told(&error).contains("can't read certificates"));
}

/// What AWS documents that it says, and no store for tests does.
const REFUSALS: [(u16, &str, ErrorKind, &str, &str); 12] = [
    (503, "SlowDown", ErrorKind::Environment, "SlowDown", "`concurrency`"),
    (403, "InvalidObjectState", ErrorKind::Environment, "InvalidObjectState", "cold storage"),
    (400, "KMS.DisabledException", ErrorKind::Config, "KMS.DisabledException", "`kms_key_id`"),
    (404, "NoSuchBucket", ErrorKind::Config, "NoSuchBucket", "make the bucket"),
    (403, "AccessDenied", ErrorKind::Environment, "not permitted", "`s3:ListBucket`"),
    (403, "InvalidAccessKeyId", ErrorKind::Config, "InvalidAccessKeyId", "check the access key"),
    (403, "SignatureDoesNotMatch", ErrorKind::Config, "SignatureDoesNotMatch", "check the access key"),
    (400, "ExpiredToken", ErrorKind::Environment, "ExpiredToken", "log in again"),
    (403, "RequestTimeTooSkewed", ErrorKind::Environment, "RequestTimeTooSkewed", "clock"),
    (
        301,
        "PermanentRedirect",
        ErrorKind::Config,
        "PermanentRedirect",
        "not in region `us-east-1` but in `eu-west-1`",
    ),
    (400, "AuthorizationHeaderMalformed", ErrorKind::Config, "AuthorizationHeaderMalformed", "set `region`"),
    (501, "NotImplemented", ErrorKind::Environment, "NotImplemented", ""),
];

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    for (status, code, kind, why, hint) in REFUSALS {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>So it is</Message>\
             <StringToSign>AWS4-HMAC-SHA256 {SECRET}</StringToSign><SignatureProvided>Signature=abc</SignatureProvided></Error>"
        );
        let body: &'static str = body.leak();
        let relay = relay(move |_| Fate::Answer(status, body));
        let mut options = options(&relay);
        options.retries = Some(1);
        let error = opened("shop", &options).check().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(told(&error).contains(why), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{code}: {:?}", error.hint());
    }
}

#[tokio::test]
async fn a_refusal_without_words_is_told_by_its_number() {
    let relay = relay(|_| Fate::Answer(400, ""));
    let bucket = opened("shop", &options(&relay));
    let error = bucket.failed("look at", "a", bucket.operator().stat("a").await.unwrap_err());
    assert!(told(&error).contains("`s3://shop/a`: the store says no more than status 400"), "{error}");
    let error = bucket.versioning().await.unwrap_err();
    assert!(told(&error).contains("status 400"), "{error}");
}

#[tokio::test]
async fn what_may_not_be_asked_is_not_taken_for_nothing() {
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let relay = relay(move |_| Fate::Answer(403, denied));
    let bucket = opened("shop", &options(&relay));
    assert!(
        matches!(bucket.versioning().await.unwrap(), Versioning::Unknown(why) if why.contains("s3:GetBucketVersioning"))
    );
    let error = bucket.lifecycle().await.unwrap_err();
    assert!(error.hint().unwrap().contains("`s3:GetLifecycleConfiguration`"), "{error:?}");
    let error = bucket.unfinished_uploads().await.unwrap_err();
    assert!(error.hint().unwrap().contains("`s3:ListBucketMultipartUploads`"), "{error:?}");
    let error = bucket.lock("a", None).await.unwrap_err();
    assert!(error.hint().unwrap().contains("`s3:GetObjectRetention`"), "{error:?}");
    let error = bucket.operator().stat("a").await.unwrap_err();
    let error = bucket.failed("look at", "a", error);
    assert!(told(&error).starts_with("can't look at `s3://shop/a`: not permitted"), "{error}");
    assert!(error.hint().unwrap().contains("`s3:GetObject`"));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_a_mistake_in_the_configuration() {
    let relay = relay(|_| Fate::Pass);
    let error = opened("no-such-bucket-anywhere", &options(&relay)).check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(told(&error).contains("NoSuchBucket"));
}

#[tokio::test]
async fn who_has_no_credentials_is_told_where_they_were_looked_for() {
    let relay = relay(|_| Fate::Pass);
    let mut options = BucketOptions::default();
    options.endpoint = Some(relay.endpoint());
    options.profile = Some("no-such-profile-anywhere".to_owned());
    options.retries = Some(2);
    let bucket = opened("shop", &options);
    for error in [bucket.check().await.unwrap_err(), bucket.versioning().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(told(&error).contains("no credentials were found; looked in: profile"), "{error}");
        assert!(error.hint().unwrap().contains("access_key_id"));
    }
    assert_eq!(relay.asked(), 0, "nothing is sent that is not signed");
}

#[tokio::test]
async fn what_is_uploaded_says_what_it_should_be_when_it_arrives() {
    let made = server().create_bucket();
    let (told, heads) = std::sync::mpsc::channel();
    let relay = relay(move |asked| {
        told.send((asked.method.clone(), asked.head.clone())).unwrap();
        Fate::Pass
    });
    let bucket = opened(made.name(), &options(&relay));
    bucket.operator().write("small", "content").await.unwrap();
    let mut writer = bucket.operator().writer_with("large").chunk(5 << 20).await.unwrap();
    writer.write(content(6 << 20)).await.unwrap();
    writer.close().await.unwrap();
    bucket.operator().copy("small", "copy").await.unwrap();
    assert_eq!(made.get("copy").unwrap(), b"content");
    let puts: Vec<_> = heads.try_iter().filter(|(method, _)| method == "PUT").map(|(_, head)| head).collect();
    let (copies, uploads): (Vec<_>, Vec<_>) =
        puts.iter().partition(|head| head.contains("x-amz-copy-source"));
    assert_eq!((copies.len(), uploads.len()), (1, 3));
    assert!(uploads[0].contains("mgNkuembtIDdJeHwKEyFVQ=="), "{}", uploads[0]);
    assert!(uploads.iter().all(|head| head.to_lowercase().contains("content-md5: ")));
}

#[tokio::test]
async fn other_stores_tell_their_troubles_too() {
    let refusal = "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>So it is\nSignature=abc</Message></Error>";
    let relay = relay(move |_| Fate::Answer(403, refusal));
    let mut options = BucketOptions::default();
    options.endpoint = Some(relay.endpoint());
    options.account_name = Some("account".to_owned());
    // It has to be Base64 there, which it is.
    options.account_key = Some(Secret::new(format!("{SECRET}AA")));
    options.retries = Some(1);
    let url = BucketUrl::parse("azblob://media/a").unwrap();
    let error = Bucket::open(&url, &options, Path::new("/")).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(told(&error).starts_with("can't list `azblob://media/a`: `AuthenticationFailed`"), "{error}");

    let mut options = BucketOptions::default();
    options.endpoint = Some(relay.endpoint());
    options.anonymous = Some(true);
    options.retries = Some(1);
    let url = BucketUrl::parse("gs://media/a").unwrap();
    let bucket = Bucket::open(&url, &options, Path::new("/")).unwrap();
    let error = bucket.check().await.unwrap_err();
    assert!(told(&error).starts_with("can't list `gs://media/a`: not permitted"), "{error}");
    assert!(matches!(bucket.versioning().await.unwrap(), Versioning::Unknown(_)));
    assert_eq!(bucket.lifecycle().await.unwrap_err().kind(), ErrorKind::Unsupported);
}
