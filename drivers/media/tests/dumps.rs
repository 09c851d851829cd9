//! Dumps of buckets that change meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod place;

use std::time::Duration;

use dumprestore_bucket::{BucketOptions, BucketUrl};
use dumprestore_driver::{CutMode, ErrorKind, OpenContext, PartWriter, Reference, Severity, Why};
use dumprestore_testkit::{S3Kind, TempDir};
use futures_util::StreamExt;
use place::dump::{Dump, driver};
use place::turns::Turns;
use place::{Place, noise, to, whole};
use serde_json::json;

/// Longer than what stores can't tell apart by their clocks.
async fn let_time_pass() {
    tokio::time::sleep(Duration::from_millis(3_300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_dumped_with_their_exact_keys_and_what_belongs_to_them() {
    for kind in S3Kind::ALL {
        let place = Place::new(kind);
        let keys = [
            "a b/ c ",
            " leading",
            "%41%2F",
            "a+b&c=d?e#f",
            "<t a=\"x\">'&amp;",
            "a//b",
            "two/",
            "two",
            "two/x",
            "ü/🎨",
        ];
        for key in keys {
            place.put(key, key);
        }
        let headers = [
            ("content-type", "image/jpeg"),
            ("cache-control", "no-store"),
            ("content-encoding", "gzip"),
            ("content-disposition", "inline; filename=\"a b\""),
            ("x-amz-meta-by", "a shop"),
        ];
        place.put_with("full", "full", &headers).put(".dumprestore/run/new/1", "ours");
        let mut dump = Dump::open(&place).await;
        assert_eq!(dump.pass().await, keys.len() + 1);
        assert_eq!(dump.pass().await, 0, "nothing has changed");
        dump.pin(CutMode::Open).await;
        let archive = dump.finish().await;
        let mut expected: Vec<&str> = keys.into_iter().chain(["full"]).collect();
        expected.sort_unstable();
        assert_eq!(archive.keys(), expected, "{kind:?}");
        for key in keys {
            assert_eq!(archive.object(key), Some(key.as_bytes()), "{key}");
        }
        let line = archive.line("full");
        assert_eq!(line["content_type"], "image/jpeg");
        assert_eq!(line["cache_control"], "no-store");
        assert_eq!(line["content_encoding"], "gzip");
        assert_eq!(line["content_disposition"], "inline; filename=\"a b\"");
        assert_eq!(line["metadata"], json!({ "by": "a shop" }));
        assert!(archive.ledger.is_empty(), "{:?}", archive.ledger);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_neither_dumped_nor_referred_to() {
    let place = Place::new(S3Kind::Moto);
    place.put("img/1.jpg", "1").put("img/1.tmp", "t").put("cache/1.jpg", "c").put("doc/1.txt", "d");
    let options = json!({ "include": ["img", "*.jpg"], "exclude": ["*.tmp", "/cache"] });
    let mut dump = Dump::with(place.options_with(options)).await;
    dump.pass().await;
    dump.pin(CutMode::Open).await;
    let unresolved = dump.resolve(&[to("img/1.jpg", "1"), to("cache/1.jpg", "c")]).await;
    assert_eq!(unresolved.len(), 1);
    assert!(matches!(&unresolved[0].why, Why::Unreadable(why) if why.contains("exclude")), "{unresolved:?}");
    assert_eq!(dump.finish().await.keys(), ["img/1.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_or_vanishes_before_it_is_read_is_read_again_or_told() {
    let place = Place::new(S3Kind::Moto);
    // Too large to be fetched ahead; one of them so large that it is read by ranges.
    let (old, new) = (noise(1, 400_000), noise(2, 400_000));
    let (old_video, new_video) = (noise(3, 17 << 20), noise(4, 17 << 20));
    place.put("changes", &old).put("vanishes", &old).put("video", &old_video).put("stays", "s");
    let mut dump = Dump::open(&place).await;
    let parts = dump.list().await;
    place.put("changes", &new).delete("vanishes").put("video", &new_video);
    let mut torn = 0;
    for part in &parts {
        torn += dump.dump(part).await.1;
    }
    assert_eq!(torn, 2, "both were read again");
    dump.pin(CutMode::Open).await;
    let archive = dump.finish().await;
    assert_eq!(archive.keys(), ["changes", "stays", "video"]);
    assert!(archive.object("changes") == Some(&new[..]) && archive.object("video") == Some(&new_video[..]));
    assert!(archive.degraded().is_empty(), "{:?}", archive.ledger);
    assert!(archive.ledger.iter().any(|entry| entry.what == "vanishes"), "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_with_a_digest_resolves_to_what_it_means_whenever_that_was_there() {
    let place = Place::new(S3Kind::Moto);
    place.put("old", "one").put("gone", "g");
    let mut dump = Dump::open(&place).await;
    dump.pass().await;
    place.put("old", "two").put("late", "l").delete("gone");
    dump.pin(CutMode::Open).await;
    let good = [to("old", "one"), to("late", "l"), to("gone", "g")];
    assert!(dump.resolve(&good).await.is_empty());
    let bad = [to("old", "two"), to("late", "m"), Reference::to("nowhere")];
    let unresolved = dump.resolve(&bad).await;
    assert!(matches!(unresolved[..], [_, _, _]), "{unresolved:?}");
    assert!(unresolved.iter().any(|one| one.why == Why::Missing));
    let archive = dump.finish().await;
    assert_eq!(archive.object("old"), Some(&b"one"[..]));
    assert_eq!((archive.object("late"), archive.object("gone")), (Some(&b"l"[..]), Some(&b"g"[..])));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_versions_and_digests_an_object_must_be_older_than_the_cut_or_writers_wait() {
    for kind in S3Kind::ALL {
        let place = Place::new(kind);
        place.put("settled", "s");
        let_time_pass().await;
        place.put("fresh", "f");
        let mut dump = Dump::open(&place).await;
        dump.pass().await;
        let both = [Reference::to("settled"), Reference::to("fresh")];
        dump.pin(CutMode::Open).await;
        let unresolved = dump.resolve(&both).await;
        assert_eq!(unresolved.len(), 1, "{kind:?}: {unresolved:?}");
        assert_eq!((&unresolved[0].reference, &unresolved[0].why), (&both[1], &Why::Unsettled));
        dump.unpin().await;
        place.put("late", "l");
        dump.pin(CutMode::Locked).await;
        assert!(dump.resolve(&both).await.is_empty());
        assert!(dump.resolve(&[Reference::to("late")]).await.is_empty());
        dump.unlock().await;
        dump.unpin().await;
        let_time_pass().await;
        assert_eq!(dump.pass().await, 0);
        dump.pin(CutMode::Open).await;
        place.put("settled", "overwritten after the cut");
        let unresolved = dump.resolve(&both).await;
        assert_eq!(unresolved.len(), 1, "{kind:?}: {unresolved:?}");
        assert_eq!(unresolved[0].reference, both[0], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_versioned_bucket_is_dumped_as_of_the_cut() {
    for kind in S3Kind::ALL {
        let place = Place::versioned(kind);
        place.put("over", "one").put("deleted", "d").put("stays", "s").put("gone before", "g");
        let mut dump = Dump::open(&place).await;
        dump.pass().await;
        place.put("over", "two").put("late", "l").delete("gone before");
        let_time_pass().await;
        dump.pin(CutMode::Open).await;
        let all = ["over", "deleted", "stays", "late"].map(Reference::to);
        // Asks for the store's clock: what happens a while after that, surely happens after the cut.
        assert!(dump.resolve(&all[2..3]).await.is_empty());
        let_time_pass().await;
        place.put("over", "three").delete("deleted").put("new", "n").delete("late");
        assert!(dump.resolve(&all).await.is_empty(), "{kind:?}");
        assert_eq!(dump.resolve(&["new", "gone before"].map(Reference::to)).await.len(), 2, "{kind:?}");
        let archive = dump.finish().await;
        assert_eq!(archive.keys(), ["deleted", "late", "over", "stays"], "{kind:?}");
        assert_eq!(archive.object("over"), Some(&b"two"[..]), "{kind:?}");
        assert_eq!(archive.object("deleted"), Some(&b"d"[..]));
        assert!(archive.degraded().is_empty(), "{:?}", archive.ledger);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_overwritten_about_the_cut_comes_back_from_its_version() {
    for kind in S3Kind::ALL {
        let place = Place::versioned(kind);
        place.put("over", "one");
        let mut dump = Dump::open(&place).await;
        dump.pass().await;
        place.put("upload", "u");
        dump.pin(CutMode::Open).await;
        place.delete("upload").put("over", "two").put("over", "three").delete("over");
        // One version alone can have been there, or nothing.
        assert!(dump.resolve(&[Reference::to("upload")]).await.is_empty(), "{kind:?}");
        // One of three.
        let unsettled = dump.resolve(&[Reference::to("over")]).await;
        assert!(matches!(unsettled[..], [ref one] if one.why == Why::Unsettled), "{kind:?}: {unsettled:?}");
        assert!(dump.resolve(&[to("over", "two")]).await.is_empty(), "{kind:?}");
        let archive = dump.finish().await;
        assert_eq!(archive.object("upload"), Some(&b"u"[..]));
        assert_eq!(archive.object("over"), Some(&b"two"[..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_that_ends_after_the_cut_is_not_taken_for_what_was_there_before() {
    for kind in S3Kind::ALL {
        let place = Place::versioned(kind);
        let key = whole("video");
        let upload = place.bucket.begin_upload(&key);
        let query = [("partNumber", "1"), ("uploadId", upload.as_str())];
        let part = place.bucket.request("PUT", &key, &query, &[], &noise(1, 100)).succeeded();
        place.put("video", "the old one");
        let_time_pass().await;
        let mut dump = Dump::open(&place).await;
        dump.pass().await;
        dump.pin(CutMode::Open).await;
        let etag = part.header("etag").unwrap();
        let body = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        place.bucket.request("POST", &key, &[("uploadId", &upload)], &[], body.as_bytes()).succeeded();
        assert!(dump.resolve(&[to("video", "the old one")]).await.is_empty(), "{kind:?}");
        let archive = dump.finish().await;
        assert_eq!(archive.object("video"), Some(&b"the old one"[..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_removed_for_good_before_it_is_read_degrades_the_dump() {
    let place = Place::versioned(S3Kind::Moto);
    place.put("stays", "s").put("over", noise(1, 400_000));
    let mut dump = Dump::open(&place).await;
    dump.pass().await;
    place.put("over", noise(2, 400_000));
    let_time_pass().await;
    dump.pin(CutMode::Open).await;
    let parts = dump.parts().await;
    let newest = place.bucket.versions(&whole("over")).remove(0);
    place.bucket.delete_version(&whole("over"), &newest.id);
    let archive = dump.finish_with(parts).await;
    assert_eq!(
        archive.keys(),
        ["stays"],
        "what was there later, or before, is not what was there at the cut"
    );
    let told = archive.degraded();
    assert!(matches!(&told[..], [only] if only.what == "over" && only.why.contains("for good")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_what_other_lanes_have_yet_to_read() {
    let place = Place::versioned(S3Kind::Moto);
    place.put_with("late", noise(1, 400_000), &[("content-type", "image/png")]).put("stays", "s");
    let mut dump = Dump::open(&place).await;
    dump.pass().await;
    place.put_with("late", noise(2, 400_000), &[("content-type", "image/gif")]);
    dump.pin(CutMode::Open).await;
    let mut parts = dump.parts().await;
    // Another lane has the object, and has not begun.
    parts.rotate_right(1);
    assert_eq!(parts[0].name.as_str(), "objects.jsonl");
    let archive = dump.finish_with(parts).await;
    assert_eq!(archive.keys(), ["late", "stays"]);
    assert_eq!(archive.object("late"), Some(&noise(2, 400_000)[..]));
    assert_eq!(archive.line("late")["content_type"], "image/gif");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mode_versions_only_the_versions_are_listed() {
    for kind in S3Kind::ALL {
        let place = Place::versioned(kind);
        place.put("over", "one").put("over", "two").put("deleted", "d").put("stays", "s").delete("deleted");
        let_time_pass().await;
        let mut dump = Dump::with(place.options_with(json!({ "mode": "versions" }))).await;
        assert_eq!(dump.pass().await, 0, "nothing is read");
        dump.pin(CutMode::Open).await;
        let there = [Reference::to("over"), to("stays", "s")];
        assert!(dump.resolve(&there).await.is_empty());
        assert_eq!(dump.resolve(&[Reference::to("deleted")]).await.len(), 1);
        let_time_pass().await;
        place.put("over", "three").delete("stays");
        let archive = dump.finish().await;
        assert_eq!(archive.keys(), ["over", "stays"], "{kind:?}");
        let version = archive.line("over")["version"].as_str().unwrap();
        assert_eq!(place.bucket.get_version(&whole("over"), version).as_deref(), Some(&b"two"[..]));
        assert_eq!(archive.line("over")["size"], 3);
        assert!(archive.line("over")["part"].is_null() && archive.line("over")["etag"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_an_archive_without_bytes_depends_on() {
    let place = Place::versioned(S3Kind::Moto);
    let versions = place.options_with(json!({ "mode": "versions" }));
    let told = driver(versions.clone()).inspect().await.unwrap().problems;
    assert!(matches!(&told[..], [only] if only.message.contains("as long as")), "{told:?}");
    place.bucket.set_lifecycle(
        "<Rule><ID>tidy</ID><Status>Enabled</Status><Filter><Prefix>shop/</Prefix></Filter>\
         <NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
         <Rule><ID>elsewhere</ID><Status>Enabled</Status><Filter><Prefix>logs/</Prefix></Filter>\
         <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
    );
    let told = driver(versions.clone()).inspect().await.unwrap().problems;
    assert!(
        matches!(&told[..], [_, rule] if rule.message.contains("`tidy`") && rule.message.contains("7 days")),
        "{told:?}"
    );
    place.bucket.set_versioning("Suspended");
    let told = driver(versions).inspect().await.unwrap().problems;
    assert!(matches!(&told[..], [only] if only.severity == Severity::NoDump), "{told:?}");
    assert!(driver(place.options()).inspect().await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_that_are_read_at_once_get_on_though_only_one_can_be_written() {
    let place = Place::new(S3Kind::Moto);
    let content = noise(5, (34 << 20) + 1);
    for key in ["a", "b", "c", "d"] {
        place.put(key, &content);
    }
    let scratch = TempDir::with_prefix("dumprestore-").unwrap();
    let options = place.options_with(json!({ "concurrency": 4 }));
    let mut source =
        driver(options).open(OpenContext::new("20260101t000000z-1", scratch.path())).await.unwrap();
    let parts: Vec<_> = source.capture().await.unwrap().map(|part| part.unwrap()).collect().await;
    assert_eq!(parts.len(), 4);
    let (turns, runtime) = (Turns::default(), tokio::runtime::Handle::current());
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            for part in &parts {
                let (source, turns, runtime, content) = (&source, &turns, &runtime, &content);
                scope.spawn(move || {
                    let mut sink = turns.sink();
                    runtime.block_on(source.dump(part, &mut PartWriter::new(&mut sink))).unwrap();
                    assert!(sink.content() == content, "{part:?}");
                });
            }
        });
    });
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_lie_in_a_bucket_are_not_dumped_with_it() {
    let place = Place::new(S3Kind::Moto);
    place.put("a", "a").put("backups/1.zip", "old").put("backups2/b", "b").put("one.zip", "old");
    let options: BucketOptions =
        serde_json::from_value(json!({ "endpoint": place.server.endpoint() })).unwrap();
    let within = |below: &str| {
        let url = BucketUrl::parse(&place.bucket.url(&format!("{}/{below}", place::PREFIX))).unwrap();
        url.identity(&options).unwrap()
    };
    let ours = vec![within("backups"), within("one.zip"), "elsewhere/shop/media/a".to_owned()];
    let scratch = TempDir::with_prefix("dumprestore-").unwrap();
    let cx = OpenContext::new("20260101t000000z-1", scratch.path()).with_our_places(ours);
    let mut source = driver(place.options()).open(cx).await.unwrap();
    let parts = source.capture().await.unwrap().map(|part| part.unwrap().name.as_str().to_owned());
    let parts: Vec<_> = parts.collect().await;
    assert_eq!(parts, ["objects/a", "objects/backups2/b"]);
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_has_half_replaced_is_not_dumped_as_if_it_were_whole() {
    let place = Place::new(S3Kind::Moto);
    place.put("a", "a");
    let says = |step: &str| {
        let state = json!({
            "node": "media", "step": step, "copies_keep_etags": true, "plan": { "steps": 0, "bytes": 0 }
        });
        place.put(".dumprestore/restore.json", json!({ "run": "r", "node": "media" }).to_string());
        place.put(".dumprestore/r/state.json", state.to_string());
    };
    // What is only staged changes nothing yet.
    says("prepared");
    let mut dump = Dump::open(&place).await;
    dump.pass().await;
    dump.pin(CutMode::Open).await;
    says("committing");
    let archive = dump.finish().await;
    let told: Vec<_> = archive.degraded().iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(told, [".dumprestore"], "{:?}", archive.ledger);
    let scratch = TempDir::with_prefix("dumprestore-").unwrap();
    let cx = OpenContext::new("20260101t000000z-2", scratch.path());
    let error = driver(place.options()).open(cx).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_lie_in_a_folder_are_not_dumped_with_it() {
    let folder = TempDir::with_prefix("dumprestore-").unwrap();
    let media = folder.path().join("media");
    for (file, content) in
        [("a", "a"), ("backups/1.zip", "old"), ("backups2/b", "b"), (".run/3.zip.part", "new")]
    {
        let path = media.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    // By another way to the same place, and not there yet.
    std::os::unix::fs::symlink(&media, folder.path().join("link")).unwrap();
    let ours = vec![folder.path().join("link/backups"), media.join(".run/3.zip.part"), media.join("later")];
    let cx = OpenContext::new("20260101t000000z-1", folder.path()).with_ours(ours);
    let options = json!({ "url": format!("fs://{}", media.display()) });
    let mut source = driver(options).open(cx).await.unwrap();
    let parts = source.capture().await.unwrap().map(|part| part.unwrap().name.as_str().to_owned());
    let mut parts: Vec<_> = parts.collect().await;
    parts.sort();
    assert_eq!(parts, ["objects/a", "objects/backups2/b"]);
    source.release().await.unwrap();
}
