//! Which archive is meant, and which ones are removed.

#![allow(clippy::unwrap_used, missing_docs, reason = "a surrounding that fails ends the test")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dumprestore::{ArchiveConfig, BackupSet, NodeBuilder};
use dumprestore_archive::{Cut, Edge, Existing, FileOutput, Manifest};
use dumprestore_driver::{BuildContext, Cancel, ErrorKind, NodePath};
use dumprestore_store::{ArchiveOptions, Identities, Keep, Shelf, Verdict};
use dumprestore_testkit::{S3Kind, S3Server};
use serde_json::{Value, json};
use support::archive_as_of;
use time::OffsetDateTime;
use time::macros::datetime;

const EARLY: OffsetDateTime = datetime!(2026-01-01 03:00 UTC);
const LATE: OffsetDateTime = datetime!(2026-01-02 03:00 UTC);

/// Places of the set `shop`, which has these nodes.
fn shelf(folder: &Path, archive: Value, nodes: &[&str]) -> Shelf {
    let options: ArchiveOptions = serde_json::from_value(archive).unwrap();
    let archive = options.build(&BuildContext::new(NodePath::new("set").unwrap(), folder)).unwrap();
    let mut set = BackupSet::builder("shop").base(folder).archive(archive);
    for node in nodes {
        let command: dumprestore_command::CommandConfig =
            serde_json::from_value(json!({ "dump": ["true"], "restore": ["true"] })).unwrap();
        set = set.node(NodeBuilder::new(*node).config(command));
    }
    Shelf::of(&set.build().unwrap(), Identities::none())
}

/// An archive that holds `db`, of a set that had these nodes.
fn write(path: &Path, set: &str, moment: OffsetDateTime, had: &[&str]) {
    write_with(path, set, moment, had, &|_| {});
}

fn write_with(path: &Path, set: &str, moment: OffsetDateTime, had: &[&str], change: &dyn Fn(&mut Manifest)) {
    let nodes: Vec<_> = had.iter().map(|node| json!({ "name": node, "driver": "sqlite" })).collect();
    let output = Box::new(FileOutput::create(path, Existing::Keep).unwrap());
    let change = |manifest: &mut Manifest| {
        manifest.config = json!({ "set": nodes });
        change(manifest);
    };
    archive_as_of(set, 1000, moment, &change, output).unwrap();
}

fn written(path: &Path, ago: Duration) {
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - ago).unwrap();
}

struct Folder {
    _temporary: tempfile::TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().canonicalize().unwrap();
        fs::create_dir(path.join("archives")).unwrap();
        Self { _temporary: temporary, path }
    }

    fn archive(&self, name: &str) -> PathBuf {
        self.path.join("archives").join(name)
    }

    fn shelf(&self, nodes: &[&str]) -> Shelf {
        shelf(&self.path, json!({ "to": "archives" }), nodes)
    }
}

#[test]
fn of_another_set_the_newest_whole_archive_is_meant_and_a_newer_part_is_told_of() {
    let folder = Folder::new();
    let whole = folder.archive("eu-20260101T030000Z.zip");
    write(&whole, "eu", EARLY, &["db"]);
    write(&folder.archive("eu-20260102T030000Z.zip"), "eu", LATE, &["db", "uploads"]);
    let latest = folder.shelf(&["db"]).as_of("eu", "2999-01-01").unwrap();
    assert_eq!(latest.place.local(), Some(&*whole));
    assert!(latest.passed_over.is_some() && latest.lacks.is_empty());
    let error = folder.shelf(&["db"]).as_of("us", "2999-01-01").map(drop).unwrap_err();
    assert!(error.message().contains("`us`"), "{error}");
}

#[test]
fn after_a_node_was_added_a_whole_archive_of_before_counts_more_than_a_part_and_what_it_lacks_is_told() {
    let folder = Folder::new();
    let whole = folder.archive("shop-20260101T030000Z.zip");
    write(&whole, "shop", EARLY, &["db"]);
    write(&folder.archive("shop-20260102T030000Z.zip"), "shop", LATE, &["db", "uploads"]);
    let latest = folder.shelf(&["db", "uploads"]).latest().unwrap();
    assert_eq!(latest.place.local(), Some(&*whole));
    assert_eq!(latest.lacks, ["uploads"]);
    assert!(latest.passed_over.is_some());
}

#[test]
fn what_was_begun_after_a_moment_and_can_not_be_read_does_not_stop_who_asks_for_that_moment() {
    let folder = Folder::new();
    let early = folder.archive("shop-20260101T030000Z.zip");
    write(&early, "shop", EARLY, &["db"]);
    fs::write(folder.archive("shop-20260105T030000Z.zip"), "no archive").unwrap();
    let shelf = folder.shelf(&["db"]);
    assert_eq!(shelf.latest().map(drop).unwrap_err().kind(), ErrorKind::Archive);
    assert_eq!(shelf.as_of("shop", "2026-01-04").unwrap().place.local(), Some(&*early));
    // It was begun before that, and may hold just that state.
    assert!(shelf.as_of("shop", "2026-01-06").is_err());
}

#[test]
fn what_can_not_be_used_and_may_be_meant_is_named() {
    let folder = Folder::new();
    write(&folder.archive("shop-20260101T030000Z.zip"), "shop", EARLY, &["db"]);
    let other = folder.archive("shop-20260105T030000Z.zip");
    fs::write(&other, "no archive").unwrap();
    let error = folder.shelf(&["db"]).latest().map(drop).unwrap_err();
    assert!(error.to_string().contains(&other.display().to_string()), "{error}");
    assert!(error.hint().unwrap().contains("`shop-20260101T030000Z.zip` is older"), "{error:?}");
}

#[test]
fn an_archive_counts_by_when_it_was_written_if_it_says_that_it_is_much_newer() {
    let folder = Folder::new();
    let newest = folder.archive("shop-20260101T030000Z.zip");
    write(&newest, "shop", EARLY, &["db"]);
    let ahead = folder.archive("shop-20260102T030000Z.zip");
    write(&ahead, "shop", LATE, &["db"]);
    written(&ahead, Duration::from_secs(3 * 3600));
    let latest = folder.shelf(&["db"]).latest().unwrap();
    assert_eq!(latest.place.local(), Some(&*newest), "the other one was written three hours earlier");
    assert_eq!(latest.clocks.len(), 1);
    assert_eq!(latest.clocks[0].archive, ahead.display().to_string());
}

#[test]
fn a_last_name_that_two_archives_have_is_refused_and_a_whole_one_is_not() {
    let folder = Folder::new();
    let name = "20260101T030000Z.zip";
    for (set, moment) in [("shop", EARLY), ("eu", LATE)] {
        fs::create_dir(folder.archive(set)).unwrap();
        write(&folder.archive(&format!("{set}/{name}")), set, moment, &["db"]);
    }
    let shelf = shelf(&folder.path, json!({ "to": "archives", "name": "{set}/{utc}.zip" }), &["db"]);
    let error = shelf.place_named(name).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("`eu/")), "{error}");
    let named = shelf.place_named(&format!("shop/{name}")).unwrap();
    assert_eq!(named.local(), Some(&*folder.archive(&format!("shop/{name}"))));
    fs::copy(folder.archive(&format!("shop/{name}")), folder.archive(&format!("eu/{name}"))).unwrap();
    shelf.place_named(name).unwrap();
}

#[test]
fn a_folder_of_several_that_is_not_there_is_not_one_without_archives() {
    let folder = Folder::new();
    write(&folder.archive("shop-20260101T030000Z.zip"), "shop", EARLY, &["db"]);
    let shelf = shelf(&folder.path, json!({ "to": ["archives", "volume/archives"] }), &["db"]);
    let error = shelf.latest().map(drop).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("mounted")), "{error}");
    assert!(shelf.plan_prune(&Keep::default(), &Cancel::default()).is_err());
    fs::create_dir_all(folder.path.join("volume/archives")).unwrap();
    shelf.latest().unwrap();
}

fn last(count: u32) -> Keep {
    serde_json::from_value(json!({ "last": count })).unwrap()
}

#[test]
fn nothing_is_removed_once_the_archive_is_gone_for_whose_sake_it_would_be() {
    let folder = Folder::new();
    let (old, newest) =
        (folder.archive("shop-20260101T030000Z.zip"), folder.archive("shop-20260102T030000Z.zip"));
    write(&old, "shop", EARLY, &["db"]);
    write(&newest, "shop", LATE, &["db"]);
    let plan = folder.shelf(&["db"]).plan_prune(&last(1), &Cancel::default()).unwrap().remove(0);
    assert!(!plan.is_idle());
    fs::remove_file(&newest).unwrap();
    let pruned = plan.perform(&Cancel::default());
    assert!(old.exists() && pruned.removed.is_empty());
    assert!(pruned.failed[0].why.contains("all stay"), "{:?}", pruned.failed);
    let cancelled = Cancel::default();
    cancelled.cancel();
    let error = folder.shelf(&["db"]).plan_prune(&last(1), &cancelled).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn links_that_dangle_in_the_application_too_make_no_archive_a_bad_one() {
    let folder = Folder::new();
    let dangling = |outcome: &'static str| {
        move |manifest: &mut Manifest| {
            let mut edge = Edge::new("db", "db");
            edge.dangling.add("broken.jpg");
            manifest.edges.push(edge);
            manifest.cuts.push(Cut::new(EARLY, EARLY, 1, outcome));
        }
    };
    write_with(&folder.archive("shop-20260101T030000Z.zip"), "shop", EARLY, &["db"], &dangling("known"));
    write_with(&folder.archive("shop-20260102T030000Z.zip"), "shop", LATE, &["db"], &dangling("degraded"));
    let listed = folder.shelf(&["db"]).look(false);
    let verdicts: Vec<_> = listed.archives.iter().map(|archive| archive.verdict).collect();
    assert_eq!(verdicts, [Verdict::Degraded, Verdict::Good]);
}

/// A place in a bucket of a server.
fn place(server: &S3Server, url: &str) -> Value {
    json!({ "url": url, "endpoint": server.endpoint(), "access_key_id": server.access_key(), "secret_access_key": server.secret_key() })
}

#[test]
fn archives_in_cold_storage_and_those_of_others_stop_neither_latest_nor_prune() {
    let server = S3Server::shared(S3Kind::Moto);
    let (bucket, folder) = (server.create_bucket(), Folder::new());
    let local = folder.archive("a.zip");
    write(&local, "shop", EARLY, &["db"]);
    bucket.put_with(
        "shop/20260101T030000Z.zip",
        fs::read(&local).unwrap(),
        &[("x-amz-storage-class", "GLACIER")],
    );
    // The store tells times in seconds.
    std::thread::sleep(Duration::from_millis(1100));
    fs::remove_file(&local).unwrap();
    write(&local, "shop", LATE, &["db"]);
    bucket.put("shop/20260102T030000Z.zip", fs::read(&local).unwrap());
    bucket.put_with(
        "shop/20260103T030000Z.zip",
        "age-encryption.org/v1\n-> X25519 others",
        &[("x-amz-meta-dumprestore-set", "eu")],
    );
    let archive = json!({ "to": place(server, &bucket.url("shop")), "name": "{utc}.zip" });
    let shelf = shelf(&folder.path, archive, &["db"]);
    let latest = shelf.latest().unwrap();
    assert!(latest.place.shown().ends_with("20260102T030000Z.zip"), "{}", latest.place.shown());
    assert_eq!(latest.unusable.len(), 2, "{:?}", latest.unusable);
    let plan = shelf.plan_prune(&last(1), &Cancel::default()).unwrap().remove(0);
    assert_eq!((plan.archives.len(), plan.unreadable.len()), (1, 1), "{plan:?}");
    assert!(plan.unreadable[0].why.contains("InvalidObjectState"), "{:?}", plan.unreadable);
}

#[test]
fn a_url_is_got_to_as_the_place_that_it_lies_in_and_never_as_another_server() {
    let folder = Folder::new();
    let at = |url: &str, endpoint: &str, part: &str| json!({ "url": url, "endpoint": endpoint, "part_size": part });
    let archive = json!({ "to": [
        at("s3://b/one", "http://localhost:1", "16MiB"),
        at("s3://b/two", "http://localhost:2", "32MiB"),
    ] });
    let shelf = shelf(&folder.path, archive, &["db"]);
    let place = |url: &str| shelf.set_place_at(url);
    assert_eq!(place("s3://b/two/a.zip").unwrap().part_size, Some(32 << 20));
    assert!(place("s3://b/one").unwrap().place.identity().contains("localhost:1"));
    let error = place("s3://b/three/a.zip").unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("endpoint")), "{error}");
    assert!(place("s3://b/three/a.zip?endpoint=http://localhost:3").is_ok());
    assert_eq!(place("s3://c/a.zip?region=eu-west-1").unwrap().part_size, None);
}
