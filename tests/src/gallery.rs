//! The application of the tests with objects in a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore::{BackupSet, Coherence, Driver, DriverConfig, NodeBuilder, NodePath};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_media::MediaConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Faulty, S3Bucket, S3Kind, S3Server};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::shop::{copy_folder, driver, left_in, open, read_database, read_folder};
use crate::wares::hex_of;
use crate::{Application, Placed, State, watch};

/// An application of four nodes: `db`, a SQLite database whose pictures are objects in `pictures`, with `thumbs` of them in
/// another prefix of the same bucket, and `notes`, a folder.
pub struct Gallery {
    folder: PathBuf,
    place: Place,
    bucket: Option<S3Bucket>,
}

/// Where its objects are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Place {
    endpoint: String,
    tries: u32,
    access_key: String,
    secret_key: String,
    /// The bucket, and what its objects' keys begin with.
    bucket: String,
    prefix: String,
}

/// The nodes in the bucket.
const NODES: [&str; 2] = ["pictures", "thumbs"];

impl Gallery {
    /// A new one with so many pictures, in a bucket of its own. Its nodes go to the server by that endpoint, and try what fails
    /// so often in all.
    pub fn create(folder: &Path, (endpoint, tries): (&str, u32), pictures: u32) -> Self {
        let bucket = S3Server::shared(S3Kind::Moto).create_bucket();
        let gallery = Self::nothing(folder, (endpoint, tries), bucket);
        fs::create_dir_all(folder.join("notes")).unwrap();
        fs::write(folder.join("notes/one.txt"), "a note").unwrap();
        let mut db = gallery.db();
        db.execute_batch(SCHEMA).unwrap();
        let db = db.transaction().unwrap();
        for id in 1..=pictures {
            let content = format!("picture {id} ").repeat(40);
            let key = format!("{:02}/{id}.jpg", id % 3);
            let row = (id, &key, hex_of(content.as_bytes()));
            db.execute("INSERT INTO picture VALUES (?, ?, ?)", row).unwrap();
            gallery.put("pictures", &key, &content);
            gallery.put("thumbs", &key, &format!("thumb {id}"));
        }
        db.commit().unwrap();
        gallery
    }

    fn nothing(folder: &Path, (endpoint, tries): (&str, u32), bucket: S3Bucket) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let server = S3Server::shared(S3Kind::Moto);
        let place = Place {
            endpoint: endpoint.to_owned(),
            tries,
            access_key: server.access_key().to_owned(),
            secret_key: server.secret_key().to_owned(),
            bucket: bucket.name().to_owned(),
            prefix: format!("gallery-{}", NUMBER.fetch_add(1, Ordering::SeqCst)),
        };
        Self::note(folder, &place);
        Self { folder: folder.to_owned(), place, bucket: Some(bucket) }
    }

    fn bucket(&self) -> &S3Bucket {
        self.bucket.as_ref().unwrap()
    }

    /// A connection to its database.
    pub fn db(&self) -> rusqlite::Connection {
        open(&self.folder.join("gallery.db"))
    }

    /// Writes an object of a node.
    pub fn put(&self, node: &str, key: &str, content: &str) {
        let headers = [("content-type", "image/jpeg"), ("x-amz-meta-node", node)];
        self.bucket().put_with(&format!("{}/{node}/{key}", self.place.prefix), content, &headers);
    }

    fn media(&self, node: &str) -> Arc<dyn Driver> {
        let options: Value = json!({
            "url": format!("s3://{}/{}/{node}", self.place.bucket, self.place.prefix),
            "endpoint": self.place.endpoint,
            "access_key_id": self.place.access_key,
            "secret_access_key": self.place.secret_key,
            "timeout": 5,
            "retries": self.place.tries,
        });
        let config: MediaConfig = serde_json::from_value(options).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), &self.folder);
        config.build(&cx).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        self.bucket().keys(&format!("{}/", self.place.prefix))
    }
}

impl Placed for Gallery {
    type Place = Place;
    const FILE: &'static str = "gallery.json";

    fn placed(folder: &Path, place: Place) -> Self {
        Self { folder: folder.to_owned(), place, bucket: None }
    }
}

impl Application for Gallery {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn set_watched(&self, faults: &[&Arc<Faulty>], coherence: Coherence) -> BackupSet {
        let watched = |driver| faults.iter().fold(driver, |driver, faults| watch(driver, faults));
        let db = watched(driver::<SqliteConfig>(&self.folder, "gallery.db"));
        let db = NodeBuilder::new("db").driver(db);
        BackupSet::builder("shop")
            .base(&self.folder)
            .coherence(coherence)
            .node(
                NodeBuilder::new("notes").driver(watched(driver::<FilesystemConfig>(&self.folder, "notes"))),
            )
            .node(NodeBuilder::new("thumbs").driver(watched(self.media("thumbs"))))
            .node(NodeBuilder::new("pictures").driver(watched(self.media("pictures"))))
            .node(db.refers_to("pictures", json!("SELECT image, sha256 FROM picture"), None))
            .build()
            .unwrap()
    }

    fn state(&self) -> State {
        let mut state = BTreeMap::new();
        for key in self.keys().into_iter().filter(|key| !is_ours(key)) {
            let content = self.bucket().get(&key).unwrap();
            let head = self.bucket().head(&key).unwrap();
            let told = format!(
                "{} {:?} {:?}",
                hex_of(&content),
                head.header("content-type"),
                head.header("x-amz-meta-node")
            );
            state.insert(key[self.place.prefix.len()..].to_owned(), told);
        }
        if self.folder.join("gallery.db").exists() {
            read_database(&self.db(), "gallery.db", &mut state);
        }
        read_folder(&self.folder, "notes", &mut state);
        State(state)
    }

    fn leftovers(&self) -> Vec<String> {
        let own = ["gallery.db", "gallery.db-wal", "gallery.db-shm", "notes", Self::FILE];
        let mut left = left_in(&self.folder, &own);
        left.extend(self.keys().into_iter().filter(|key| is_ours(key)));
        let uploads = self.bucket().uploads(&format!("{}/", self.place.prefix));
        left.extend(uploads.into_iter().map(|upload| format!("an upload of {}", upload.key)));
        left
    }

    fn spoil(&self) {
        for node in NODES {
            self.put(node, "01/1.jpg", "oops");
            self.put(node, "oops.jpg", "extra");
            self.bucket().delete(&format!("{}/{node}/02/2.jpg", self.place.prefix));
        }
        self.db()
            .execute_batch("UPDATE picture SET image = 'oops.jpg'; DELETE FROM picture WHERE id = 2")
            .unwrap();
        fs::write(self.folder.join("notes/one.txt"), "oops").unwrap();
    }

    fn copy(&self, to: &Path) -> Self {
        copy_folder(&self.folder, to);
        let bucket = S3Server::shared(S3Kind::Moto).bucket(self.bucket().name());
        let copy = Self::nothing(to, (&self.place.endpoint, self.place.tries), bucket);
        for key in self.keys() {
            let (node, name) = key[self.place.prefix.len() + 1..].split_once('/').unwrap();
            copy.put(node, name, &String::from_utf8(self.bucket().get(&key).unwrap()).unwrap());
        }
        copy
    }

    fn remove(&self) {
        for key in self.keys() {
            self.bucket().delete(&key);
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn is_ours(key: &str) -> bool {
    key.contains("/.dumprestore/")
}

const SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE picture (id INTEGER PRIMARY KEY, image TEXT NOT NULL, sha256 TEXT NOT NULL);";
