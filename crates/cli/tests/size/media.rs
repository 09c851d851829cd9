//! A bucket of many small objects and a large one.

use std::time::Instant;

use dumprestore_testkit::{S3Bucket, S3Kind, S3Server};

use crate::content::{asked, content, for_each};
use crate::site::{Site, options};

/// Nothing that is done takes more memory, in megabytes.
const MOST_MB: u64 = 128;
/// The large object is uploaded in parts of that size.
const PART: u64 = 16 << 20;
const LARGE: &str = "shop/film.bin";

fn key(number: u64) -> String {
    format!("shop/{:03}/photo of a customer {number:07}.jpg", number / 1000)
}

fn fill(bucket: &S3Bucket, objects: u64, parts: u64) {
    for_each(objects, |number| {
        bucket.put(&key(number), content(number, 100 + number as usize % 2000));
    });
    let upload = bucket.begin_upload(LARGE);
    let etags = std::sync::Mutex::new(vec![String::new(); parts as usize]);
    for_each(parts, |number| {
        let text = (number + 1).to_string();
        let query = [("partNumber", text.as_str()), ("uploadId", upload.as_str())];
        let answer = bucket.request("PUT", LARGE, &query, &[], &content(number, PART as usize)).succeeded();
        etags.lock().unwrap()[number as usize] = answer.header("etag").unwrap().to_owned();
    });
    let parts =
        etags.into_inner().unwrap().into_iter().zip(1..).map(|(etag, number)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
    let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
    bucket.request("POST", LARGE, &[("uploadId", &upload)], &[], body.as_bytes()).succeeded();
}

/// Names, sizes and ETags of all small objects.
fn small(bucket: &S3Bucket) -> Vec<(String, u64, String)> {
    let objects = bucket.list("").into_iter().filter(|object| object.key != LARGE);
    objects.map(|object| (object.key, object.size, object.etag)).collect()
}

fn check_large(bucket: &S3Bucket, parts: u64) {
    for_each(parts, |number| {
        let range = format!("bytes={}-{}", number * PART, (number + 1) * PART - 1);
        let part = bucket.request("GET", LARGE, &[], &[("range", &range)], b"").succeeded().body;
        assert!(part == content(number, PART as usize), "part {number} of {parts} is another one");
    });
}

/// `DUMPRESTORE_OBJECTS` and `DUMPRESTORE_LARGE` (megabytes) are how much.
#[test]
fn many_objects_and_a_large_one_take_little_memory_on_their_way_into_a_file_and_a_bucket_and_back() {
    let objects = asked("DUMPRESTORE_OBJECTS", 1_000);
    let parts = asked("DUMPRESTORE_LARGE", 96).div_ceil(PART >> 20);
    // Their disks are memory: the first store is gone before the last is filled.
    let (first, second) = (S3Server::start(S3Kind::Ceph), S3Server::start(S3Kind::Ceph));
    let (live, archives, fresh) = (first.create_bucket(), second.create_bucket(), second.create_bucket());
    fill(&live, objects, parts);
    let site = Site::new();
    for (name, media, to) in [
        ("file.yaml", options(&first, &live), "file.zip".to_owned()),
        ("bucket.yaml", options(&first, &live), format!("{{ {} }}", options(&second, &archives))),
        ("fresh.yaml", options(&second, &fresh), format!("{{ {} }}", options(&second, &archives))),
    ] {
        let text =
            "version: 1\nname: shop\narchive: { to: TO }\nset:\n  - { name: media, driver: media, MEDIA }\n";
        site.write(name, &text.replace("TO", &to).replace("MEDIA", &media));
    }
    let measured = |what: &str, arguments: &[&str]| {
        let begun = Instant::now();
        let peak = site.run(arguments).peak_mb;
        println!("{what}: {peak} MB at the peak, {:.1?}", begun.elapsed());
        assert!(peak < MOST_MB, "{what}: {peak} MB");
    };
    println!("{objects} objects, and one of {} MB", (parts * PART) >> 20);
    measured("a dump into a file", &["dump", "-c", "file.yaml"]);
    measured("verifying the file", &["verify", "file.zip"]);
    assert!(site.size("file.zip") > parts * PART / 4);
    measured("a dump into a bucket", &["dump", "-c", "bucket.yaml"]);
    measured("verifying the bucket's", &["verify", "latest", "-c", "bucket.yaml"]);
    let before = small(&live);
    assert_eq!(before.len() as u64, objects);
    drop(first);
    measured("a restore from the bucket into a bucket", &["restore", "latest", "--yes", "-c", "fresh.yaml"]);
    assert!(small(&fresh) == before, "some small object is another one, or missing");
    check_large(&fresh, parts);
}
