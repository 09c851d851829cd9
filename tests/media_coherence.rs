//! Dumps under live load, with references from rows of SQLite to objects in a bucket, which keeps versions or does not:
//! nothing dangles and nothing is torn in any restored copy; with certification switched off, something is.
//!
//! `DUMPRESTORE_DUMPS` says how many dumps are made of each (3 by default), `DUMPRESTORE_LOAD` how many operations a
//! second are asked for (100 by default).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: what they can't go on without ends them"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dumprestore::{
    BackupSet, Destination, Driver, DriverConfig, DumpOptions, DumpOutcome, NodeBuilder, NodePath,
    OpenArchive, RestoreFrom, RestoreOptions, RestoreOutcome,
};
use dumprestore_media::MediaConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{S3Bucket, S3Kind, S3Server};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const PRODUCTS: u64 = 150;
const WRITERS: u64 = 3;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// What the rows know of their objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Alone,
    WithDigest,
}

/// An application: rows in SQLite, objects in a bucket.
struct Gallery {
    folder: PathBuf,
    bucket: S3Bucket,
    prefix: String,
    keys: Keys,
}

impl Gallery {
    fn create(folder: &Path, bucket: S3Bucket, keys: Keys) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let gallery = Self { folder: folder.to_owned(), bucket, prefix: "live".to_owned(), keys };
        let db = gallery.db();
        db.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE product (id INTEGER PRIMARY KEY, image TEXT NOT NULL, sha256 TEXT NOT NULL)",
        )
        .unwrap();
        for id in 0..PRODUCTS {
            let (image, content) = (format!("{:02}/{id}.jpg", id % 16), content(id));
            gallery.put(&image, &content);
            db.execute("INSERT INTO product VALUES (?, ?, ?)", (id as i64, image, hex_of(&content))).unwrap();
        }
        gallery
    }

    /// Where a copy is restored to: nothing is there.
    fn copy(&self, folder: &Path, nth: u64) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let prefix = format!("copy-{nth}");
        Self { folder: folder.to_owned(), bucket: self.bucket.clone(), prefix, keys: self.keys }
    }

    fn db(&self) -> Connection {
        let db = Connection::open(self.folder.join("gallery.db")).unwrap();
        db.busy_timeout(Duration::from_secs(20)).unwrap();
        db
    }

    fn put(&self, image: &str, content: &[u8]) {
        self.bucket.put(&format!("{}/{image}", self.prefix), content);
    }

    fn delete(&self, image: &str) {
        self.bucket.delete(&format!("{}/{image}", self.prefix));
    }

    fn driver<C: DriverConfig>(&self, options: Value) -> Arc<dyn Driver> {
        let config: C = serde_json::from_value(options).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), &self.folder);
        config.build(&cx).unwrap()
    }

    fn set(&self) -> BackupSet {
        let server = S3Server::shared(S3Kind::Ceph);
        let media = json!({
            "url": self.bucket.url(&self.prefix),
            "endpoint": server.endpoint(),
            "region": server.region(),
            "access_key_id": server.access_key(),
            "secret_access_key": server.secret_key(),
        });
        let keys = match self.keys {
            Keys::Alone => "SELECT image FROM product",
            Keys::WithDigest => "SELECT image, sha256 FROM product",
        };
        BackupSet::builder("gallery")
            .base(&self.folder)
            .node(NodeBuilder::new("media").driver(self.driver::<MediaConfig>(media)))
            .node(
                NodeBuilder::new("db")
                    .driver(self.driver::<SqliteConfig>(json!({ "path": "gallery.db" })))
                    .refers_to("media", keys, None),
            )
            .build()
            .unwrap()
    }

    /// What is wrong in it: what dangles, and what is not what its row says.
    fn faults(&self) -> Vec<String> {
        let db = self.db();
        let mut rows = db.prepare("SELECT image, sha256 FROM product").unwrap();
        let rows =
            rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        let mut faults = Vec::new();
        for (image, sha256) in rows.map(Result::unwrap) {
            match self.bucket.get(&format!("{}/{image}", self.prefix)) {
                None => faults.push(format!("`{image}` dangles")),
                Some(content) if hex_of(&content) != sha256 => faults.push(format!("`{image}` is another")),
                Some(_) => {}
            }
        }
        faults
    }

    fn remove(&self) {
        for key in self.bucket.keys(&format!("{}/", self.prefix)) {
            self.bucket.delete(&key);
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn content(seed: u64) -> Vec<u8> {
    format!("image {seed} ").repeat(20 + (seed % 300) as usize).into_bytes()
}

fn hex_of(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Writers with the rules of any application whose rows name objects: an object is there before its row says so, and goes
/// after it.
struct Visitors {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<u64>>,
    begun: Instant,
}

static FRESH: AtomicU64 = AtomicU64::new(1_000_000);

impl Visitors {
    fn start(gallery: &Gallery) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rate = number("DUMPRESTORE_LOAD", 100) / WRITERS;
        let writer = |share| {
            let own = Gallery {
                folder: gallery.folder.clone(),
                bucket: gallery.bucket.clone(),
                prefix: gallery.prefix.clone(),
                keys: gallery.keys,
            };
            let stop = stop.clone();
            std::thread::spawn(move || work(&own, share, rate, &stop))
        };
        let writers = (0..WRITERS).map(writer).collect();
        Self { stop, writers, begun: Instant::now() }
    }

    /// How many operations a second they did.
    fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        let done: u64 = self.writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        done as f64 / self.begun.elapsed().as_secs_f64()
    }
}

fn work(gallery: &Gallery, share: u64, rate: u64, stop: &AtomicBool) -> u64 {
    let db = gallery.db();
    let mut mine: BTreeMap<u64, String> = (0..PRODUCTS)
        .filter(|id| id % WRITERS == share)
        .map(|id| (id, format!("{:02}/{id}.jpg", id % 16)))
        .collect();
    let begun = Instant::now();
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let fresh = FRESH.fetch_add(1, Ordering::Relaxed);
        let (new, name) = (content(fresh), format!("{:02}/{fresh}.jpg", fresh % 16));
        let chosen =
            mine.iter().nth((fresh as usize * 7) % mine.len().max(1)).map(|(id, image)| (*id, image.clone()));
        let update = "UPDATE product SET image = ?, sha256 = ? WHERE id = ?";
        match (fresh % 4, chosen) {
            (0, _) | (_, None) => {
                gallery.put(&name, &new);
                db.execute("INSERT INTO product VALUES (?, ?, ?)", (fresh as i64, &name, hex_of(&new)))
                    .unwrap();
                mine.insert(fresh, name);
            }
            (1, Some((id, image))) => {
                db.execute("DELETE FROM product WHERE id = ?", [id as i64]).unwrap();
                gallery.delete(&image);
                mine.remove(&id);
            }
            (2, Some((id, image))) => {
                gallery.put(&name, &new);
                db.execute(update, (&name, hex_of(&new), id as i64)).unwrap();
                gallery.delete(&image);
                mine.insert(id, name);
            }
            // Without a digest nobody can tell which content an old row means once it is overwritten.
            (_, Some((id, image))) if gallery.keys == Keys::WithDigest => {
                gallery.put(&image, &new);
                db.execute(update, (&image, hex_of(&new), id as i64)).unwrap();
            }
            _ => {}
        }
        done += 1;
        let due = begun + Duration::from_secs(1) * done as u32 / rate.max(1) as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    done
}

async fn dump_and_look(
    gallery: &Gallery,
    folder: &Path,
    nth: u64,
    certify: bool,
) -> (usize, String, Vec<String>) {
    let archive = folder.join(format!("{nth}.zip"));
    let mut options = DumpOptions::default();
    options.certify = certify;
    let dumped = dumprestore::dump(&gallery.set(), Destination::new_file(&archive), options).await.unwrap();
    assert_eq!(dumped.outcome, DumpOutcome::Ok, "{dumped:?}");
    let copy = gallery.copy(&folder.join("copy"), nth);
    let from = RestoreFrom::Archive(OpenArchive::open(&archive).unwrap());
    let restored = dumprestore::restore(&copy.set(), &from, &RestoreOptions::default()).await.unwrap();
    if certify {
        assert!(dumped.edges.iter().all(|edge| edge.certified), "{:?}", dumped.edges);
        assert_eq!(restored.outcome, RestoreOutcome::Ok, "{restored:?}");
    }
    let faults = copy.faults();
    copy.remove();
    (dumped.cuts, dumped.verdict.to_string(), faults)
}

async fn prove(bucket: S3Bucket, keys: Keys) -> Vec<usize> {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::create(&folder.path().join("gallery"), bucket, keys);
    let visitors = Visitors::start(&gallery);
    let mut cuts = Vec::new();
    for nth in 0..number("DUMPRESTORE_DUMPS", 3) {
        let (tries, verdict, faults) = dump_and_look(&gallery, folder.path(), nth, true).await;
        assert!(faults.is_empty(), "dump {nth}: {faults:?}");
        println!("cuts {tries}, {verdict}");
        cuts.push(tries);
    }
    let rate = visitors.stop();
    assert!(gallery.faults().is_empty(), "the application itself breaks its rules: {:?}", gallery.faults());
    println!("{rate:.0} operations a second, cuts {cuts:?}");
    assert!(rate > number("DUMPRESTORE_LOAD", 100) as f64 / 20.0, "only {rate:.0} operations a second");
    cuts
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_in_dumps_of_a_bucket_without_versions_under_live_load() {
    prove(S3Server::shared(S3Kind::Ceph).create_bucket(), Keys::WithDigest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_without_versions_and_without_digests() {
    prove(S3Server::shared(S3Kind::Ceph).create_bucket(), Keys::Alone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_in_dumps_of_a_versioned_bucket_under_live_load() {
    prove(S3Server::shared(S3Kind::Ceph).create_versioned_bucket(), Keys::WithDigest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cut_of_a_versioned_bucket_is_certified_without_digests() {
    let cuts = prove(S3Server::shared(S3Kind::Ceph).create_versioned_bucket(), Keys::Alone).await;
    assert!(cuts.iter().all(|tries| *tries == 1), "{cuts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certification_the_same_load_shows_dangling_links() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = S3Server::shared(S3Kind::Ceph).create_bucket();
    let gallery = Gallery::create(&folder.path().join("gallery"), bucket, Keys::WithDigest);
    let visitors = Visitors::start(&gallery);
    let mut found = Vec::new();
    for nth in 0..40 {
        found.extend(dump_and_look(&gallery, folder.path(), nth, false).await.2);
        if !found.is_empty() {
            break;
        }
    }
    visitors.stop();
    assert!(!found.is_empty(), "nothing dangled in 40 dumps without certification");
}
